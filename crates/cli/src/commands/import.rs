//! `sealock import`

use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sealock_bundle::delta::{BaseMissing, Inside, check_base};
use sealock_bundle::import::{self, ImportError, ImportOutcome, Imported, Notice, Terms};
use sealock_bundle::volumes::INDEX_SUFFIX;
use sealock_server::control::{self, ControlError};
use sealock_store::StoreError;
use sealock_trust::{Digest, Justification};
use serde::Serialize;

use super::source::Source;
use super::trust::revocations;
use super::{source, verify};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::Passphrases;
use crate::station::Station;
use crate::ui::{Table, bytes};
use crate::{files, mirrors, time};

/// Take a bundle into the store, and publish a release
///
/// The header is verified before anything is written, every digest while it streams. The release appears as a whole or
/// not at all. Interrupted, it goes on where it stopped; done already, it changes nothing. A refused bundle leaves the
/// store as it was. Volumes are read where they lie, and never joined. A revocation list comes in by the same command, or
/// with a bundle, even one that is refused; it holds at once.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The bundle; or its volumes, or folders with them; or a publisher's revocation list
    #[arg(required = true, value_name = "BUNDLE")]
    bundle: Vec<PathBuf>,
    /// Sequences of the stream that may be missing, like 4-6; refused as GAP otherwise
    #[arg(long, value_name = "FIRST-LAST")]
    accept_gap: Option<Gap>,
    /// Why a bundle is taken that is older than the site lets pass without a word; refused as STALE otherwise. Recorded
    #[arg(long, value_name = "REASON")]
    accept_stale: Option<Justification>,
    /// The clock is right, however far it is ahead of all that was accepted; refused as CLOCK otherwise
    #[arg(long)]
    confirm_clock: bool,
    /// The token with which two people let this one bundle in: see `site break-glass`
    #[arg(long, value_name = "FILE")]
    break_glass: Option<PathBuf>,
    /// Serve the bundle as it is, and copy it into the store later
    ///
    /// For a large bundle on the store's own filesystem, which is to be served now, or where the disk has no room for it twice.
    /// It is verified as ever, but its blobs are not written: the store takes the file away from where it is, serves from it, and
    /// moves the blobs into files of their own in the background while `serve` runs, or by `store migrate`. One whole bundle in
    /// one file, which belongs to you and nobody else can write; not volumes, not a delta
    #[arg(long)]
    in_place: bool,
    /// Write the signed receipt to this file, for the publisher
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Where the site lacks what a delta builds on: write the want-list to this file, to be carried out
    #[arg(long, value_name = "FILE")]
    want_list: Option<PathBuf>,
    /// File whose first line is the passphrase of the site's keys, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Sequences that may be missing.
#[derive(Clone, Debug)]
struct Gap(RangeInclusive<u64>);

impl FromStr for Gap {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self(first..=last)),
            _ => Err("a gap is written FIRST-LAST, like 4-6"),
        }
    }
}

#[derive(Serialize)]
struct Outcome {
    /// False where the bundle was imported before.
    changed: bool,
    release: u64,
    stream: String,
    sequence: u64,
    digest: Digest,
    /// Its soft expiry has passed.
    stale: bool,
    /// Bytes of blobs that were new, and written.
    written: u64,
    /// Bytes of blobs that were new, and that the bundle lends.
    #[serde(skip_serializing_if = "is_nothing")]
    lent: u64,
    /// What somebody should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What an import would come to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prospect {
    would_change: bool,
    #[serde(flatten)]
    verification: verify::Verification,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_nothing(bytes: &u64) -> bool {
    *bytes == 0
}

/// No token or revocation list is longer than this; in bytes.
const MAX_DOCUMENT: u64 = 4 << 20;

pub fn run(args: &ImportArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    mirrors::check(&station, context)?;
    if let [path] = args.bundle.as_slice()
        && is_document(path)
    {
        return revocations::import(path, args.passphrase_file.as_deref(), &station, context);
    }
    let source = Source::find(&args.bundle, context)?;
    let terms = terms(args)?;
    if args.in_place && source.volumes().is_some() {
        return Err(CommandError::usage("a bundle in volumes cannot be imported in place")
            .hint("Without --in-place volumes are read where they lie, and the store gets a copy."));
    }
    if context.dry_run {
        return dry_run(args, &source, &station, &terms, context);
    }
    let site = station.keys(context, &Passphrases::new(context, args.passphrase_file.as_deref()))?;
    let parts = import::Station { store: &station.store, trust: &station.directory, site: &site };
    let progress = context.ui.progress();
    let mut begun = false;
    let archive = source.open().map_err(|error| importing(&source, error))?;
    let revoked = station.directory.revoked()?;
    let outcome = import::import_archive(archive, parts, &terms, &mut |at| {
        if !begun {
            progress.begin(&format!("importing {}", source.name()), at.total);
            begun = true;
        }
        progress.at(at.done);
    });
    progress.end();
    let is_list_kept = revocations::tell_kept(&revoked, &station, context)?;
    if is_list_kept && outcome.is_err() {
        tell_server(context);
    }
    let outcome = outcome.map_err(|error| match &error {
        ImportError::Base(missing) => {
            let shown = show_wanted(args, missing, context);
            shown.err().unwrap_or_else(|| importing(&source, error.into()))
        }
        _ if args.in_place => importing(&source, not_in_place(error)),
        _ => importing(&source, error.into()),
    })?;
    if is_list_kept || matches!(outcome, ImportOutcome::Published(_)) {
        tell_server(context);
    }
    if let (Some(path), ImportOutcome::Published(imported) | ImportOutcome::Already(imported)) =
        (&args.receipt, &outcome)
    {
        files::replace(path, &imported.receipt)?;
        mirrors::keep_receipt(&imported.receipt, &station, context)?;
    }
    show(&outcome, context)
}

fn importing(source: &Source, error: CommandError) -> CommandError {
    let is_damage = source.volumes().is_some() && error.code().is_some_and(source::may_be_damage);
    let error = error.context(format!("{} was not imported", source.name()));
    match is_damage {
        true => error.hint(
            "`sealock verify` with the same volumes says what is damaged, and whether `sealock repair` rebuilds it.",
        ),
        false => error,
    }
}

/// What to do where the bundle itself is well, and cannot be taken in as it is.
fn not_in_place(error: ImportError) -> CommandError {
    let hint = match &error {
        ImportError::DeltaInPlace => "Import it without --in-place: a delta is small.",
        ImportError::Store(StoreError::OtherFilesystem { .. }) => {
            "Import it without --in-place: then the store gets a copy. Or move it to the store's filesystem first."
        }
        ImportError::Store(StoreError::Writable { .. }) => {
            "Make it yours first (`chown`, `chmod 0444`), or import it without --in-place: then the store gets a copy."
        }
        ImportError::Store(StoreError::OtherFile { .. }) => {
            "Name the file itself, and no link to it; nobody may change it meanwhile."
        }
        _ => return error.into(),
    };
    match &error {
        ImportError::DeltaInPlace => CommandError::usage(error.to_string()).hint(hint),
        _ => CommandError::from(error).hint(hint),
    }
}

/// Tells what the site lacks, and writes it to the file that was asked for.
fn show_wanted(args: &ImportArgs, missing: &BaseMissing, context: &Context) -> Result<()> {
    let Some(wanted) = missing.want_list() else { return Ok(()) };
    if let Some(path) = &args.want_list {
        files::replace(path, &wanted.to_bytes()?)?;
        context.ui.note(format_args!("{} is written: carry it out, and build with --want", path.display()));
    }
    let mut table = Table::new(["wanted", "size", "role", "needed by"]);
    for blob in &wanted.blobs {
        let role = format!("{:?}", blob.role).to_lowercase();
        table.row([blob.digest.to_string(), bytes(blob.size), role, blob.needed_by.join(" ")]);
    }
    for blob in &wanted.blobs {
        if let Some(base) = &blob.base {
            context.ui.note(format_args!("{} is a patch on {base}, which is not here, or is damaged", blob.digest));
        }
    }
    context.ui.result(wanted, table)
}

/// A bundle is a tar; what begins like JSON is a document. A set of volumes is described by one, too.
fn is_document(path: &Path) -> bool {
    let mut first = [0];
    let is_index = path.to_string_lossy().ends_with(INDEX_SUFFIX);
    !is_index && File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"{"
}

fn terms(args: &ImportArgs) -> Result<Terms> {
    Ok(Terms {
        accept_gap: args.accept_gap.clone().map(|gap| gap.0),
        accept_stale: args.accept_stale.clone(),
        confirm_clock: args.confirm_clock,
        break_glass: args.break_glass.as_deref().map(|path| files::read(path, MAX_DOCUMENT)).transpose()?,
        in_place: args.in_place,
        ..Terms::at(time::now())
    })
}

/// A running server finds the release by itself; telling it saves the wait.
pub fn tell_server(context: &Context) {
    match control::reload(&context.paths.control_socket()) {
        Ok(release) => context.ui.detail(format_args!("the running server serves {release}")),
        Err(ControlError::NotRunning { .. }) => context.ui.detail("no server is running"),
        Err(error) => context.ui.warn(format_args!("the server does not serve it yet: {error}")),
    }
}

fn show(outcome: &ImportOutcome, context: &Context) -> Result<()> {
    let (changed, imported) = match outcome {
        ImportOutcome::Published(imported) => (true, imported),
        ImportOutcome::Already(imported) => (false, imported),
    };
    let Imported { release, stream, sequence, manifest, stale, written, lent, left_at, notices, .. } = imported;
    warn(notices, context);
    if let Some(path) = left_at {
        let path = path.display();
        context
            .ui
            .warn(format_args!("the store has taken {path} in, and could not remove it there: remove it yourself"));
    }
    let text = match changed {
        true if *lent > 0 => {
            let lent = bytes(*lent);
            format!(
                "release {release} is published: {stream} {sequence}, {lent} new, served from the bundle until it is migrated"
            )
        }
        true => format!("release {release} is published: {stream} {sequence}, {} new", bytes(*written)),
        false => format!("nothing to do: {stream} {sequence} is imported already, in release {release}"),
    };
    let outcome = Outcome {
        changed,
        release: *release,
        stream: stream.to_string(),
        sequence: *sequence,
        digest: manifest.clone(),
        stale: *stale,
        written: *written,
        lent: *lent,
        warnings: notices.iter().map(ToString::to_string).collect(),
    };
    context.ui.result(&outcome, text)
}

/// Says what is no reason to refuse, but what somebody should know.
pub fn warn(notices: &[Notice], context: &Context) {
    for notice in notices {
        match notice.code() {
            Some(code) => context.ui.warn(format_args!("{code}: {notice}")),
            None => context.ui.warn(notice),
        }
    }
}

/// Checks everything that an import checks, but writes nothing.
fn dry_run(args: &ImportArgs, source: &Source, station: &Station, terms: &Terms, context: &Context) -> Result<()> {
    let judged = verify::judge(source.open()?, station, terms)?;
    let inside = Inside { store: &station.store, trust: &station.directory, site: &station.site };
    let root = station.directory.root_for(&judged.header.manifest().stream)?;
    if let Err(missing) = check_base(&judged.header, inside, &root) {
        show_wanted(args, &missing, context)?;
        return Err(importing(source, missing.into()));
    }
    if args.in_place {
        import::check_in_place(&judged.header, &station.store)
            .map_err(|error| importing(source, not_in_place(error)))?;
    }
    let would_change = !judged.header.trust().is_already_accepted();
    let verification = verify::as_judged(judged, &source.name(), terms, station, context)?;
    context.ui.note(match would_change {
        true => "this bundle would be imported; nothing was written",
        false => "nothing to do: this bundle is imported already",
    });
    let text = verification.text();
    context.ui.result(&Prospect { would_change, verification }, text)
}
