//! `sealock import`

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use sealock_bundle::delta::{BaseMissing, Inside, check_base};
use sealock_bundle::import::{self, ImportError, ImportOutcome, Imported, Terms};
use sealock_bundle::verify::{Against, Recipient};
use sealock_server::control::{self, ControlError};
use sealock_trust::Digest;
use serde::Serialize;

use super::source::Source;
use super::{source, verify};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::Passphrases;
use crate::station::Station;
use crate::ui::{Table, bytes};
use crate::{files, time};

/// Take a bundle into the store, and publish a release
///
/// The header is verified before anything is written, every digest while it streams. The release appears as a whole or
/// not at all. Interrupted, it goes on where it stopped; done already, it changes nothing. A refused bundle leaves the
/// store as it was. Volumes are read where they lie, and never joined.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The bundle; or its volumes, or folders with them
    #[arg(required = true, value_name = "BUNDLE")]
    bundle: Vec<PathBuf>,
    /// Sequences of the stream that may be missing, like 4-6; refused as GAP otherwise
    #[arg(long, value_name = "FIRST-LAST")]
    accept_gap: Option<Gap>,
    /// Where the site lacks what a delta builds on: write the want-list to this file, to be carried out
    #[arg(long, value_name = "FILE")]
    want_list: Option<PathBuf>,
    /// File whose first line is the passphrase of the site's keys
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
    /// Bytes of blobs that were new.
    written: u64,
}

pub fn run(args: &ImportArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let source = Source::find(&args.bundle, context)?;
    if context.dry_run {
        return dry_run(args, &source, &station, context);
    }
    let site = station.keys(context, &Passphrases::new(context, args.passphrase_file.as_deref()))?;
    let terms = Terms { now: time::now(), accept_gap: args.accept_gap.clone().map(|gap| gap.0) };
    let parts = import::Station { store: &station.store, trust: &station.directory, site: &site };
    let progress = context.ui.progress();
    let mut begun = false;
    let archive = source.open().map_err(|error| importing(&source, error))?;
    let outcome = import::import_archive(archive, parts, &terms, &mut |at| {
        if !begun {
            progress.begin(&format!("importing {}", source.name()), at.total);
            begun = true;
        }
        progress.at(at.done);
    });
    progress.end();
    let outcome = outcome.map_err(|error| match &error {
        ImportError::Base(missing) => {
            let shown = show_wanted(args, missing, context);
            shown.err().unwrap_or_else(|| importing(&source, error.into()))
        }
        _ => importing(&source, error.into()),
    })?;
    if matches!(outcome, ImportOutcome::Published(_)) {
        tell_server(context);
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
    context.ui.result(wanted, table)
}

/// A running server finds the release by itself; telling it saves the wait.
fn tell_server(context: &Context) {
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
    let Imported { release, stream, sequence, manifest, stale, written } = imported;
    if *stale {
        context.ui.warn("the bundle is old: its soft expiry has passed");
    }
    let text = match changed {
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
    };
    context.ui.result(&outcome, text)
}

/// Checks everything that an import checks, but writes nothing.
fn dry_run(args: &ImportArgs, source: &Source, station: &Station, context: &Context) -> Result<()> {
    let archive = source.open()?;
    sealock_bundle::verify::metadata(&archive)?;
    let stream = archive.unverified_manifest()?.stream;
    let root = station.directory.root_for(&stream)?;
    let state = station.directory.stream_state(&stream)?;
    let against = Against {
        root: &root.bytes,
        now: time::now(),
        state: state.as_ref(),
        accept_gap: args.accept_gap.clone().map(|gap| gap.0),
        recipient: Some(Recipient { site: station.site.id(), classification: station.site.classification() }),
    };
    let header = sealock_bundle::verify::header(source.open()?, &against)?;
    let inside = Inside { store: &station.store, trust: &station.directory, site: &station.site };
    if let Err(missing) = check_base(&header, inside, &root) {
        show_wanted(args, &missing, context)?;
        return Err(importing(&source, missing.into()));
    }
    let verification = verify::check(archive, &source.name(), &against, context)?;
    context.ui.note("this bundle would be imported; nothing was written");
    context.ui.result(&verification, verification.text())
}
