//! `sealock site backup`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_cluster::backup::evidence::{Shelf, Whose};
use sealock_cluster::backup::station::{Bundle, Source, StationBackup, StationManifest, take};
use sealock_cluster::backup::{Draft, Recipients, Subject};
use sealock_cluster::plan::ReleaseId;
use sealock_trust::{Digest, format};
use serde::Serialize;

use super::people;
use crate::commands::backup_file::BackupFileArgs;
use crate::commands::backup_folder::{Kept, made_anyway, not_remembered};
use crate::context::Context;
use crate::error::Result;
use crate::mirrors;
use crate::paths::SETTINGS_DIR;
use crate::station::Station;
use crate::time;
use crate::ui::{bytes, facts};

/// Write all that the station remembers and signs with into one file
///
/// Trust state, keys, the registry's authority, releases, logs, what belongs to clusters, and the settings: what another machine needs to
/// take this one's place (`sealock site restore`). What bundles and pushes bring again is not in it: no layer. The file is encrypted for
/// the recipients, with a table of contents in front that the site signs. The digest that is printed names the backup: write it down where
/// the file is not.
///
/// With --keep-last, --keep-daily or --keep-weekly older backups of the station in the same folder are removed afterwards, but for those that
/// one of the three names. Only what the site has signed, and what is whole, is ever removed.
///
/// With --check a file is looked at instead: the site's signature and every byte of it, and with --recovery-key also what is encrypted.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    file: BackupFileArgs,
    /// The folder of the station's settings
    #[arg(long, value_name = "DIR", default_value = SETTINGS_DIR)]
    settings_dir: PathBuf,
}

/// A backup, as it is told.
#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a PathBuf,
    digest: &'a Digest,
    manifest: &'a StationManifest,
    /// Whether what is encrypted was read, too.
    opened: bool,
    /// What became of older ones, where something was said of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a Kept>,
}

pub fn run(args: &BackupArgs, context: &Context) -> Result<()> {
    match &args.file.check {
        Some(file) => check(file, args, context),
        None => make(args, context),
    }
}

fn make(args: &BackupArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let recipients = Recipients::parse(&args.file.recipients)?;
    let taken = time::now();
    let site = station.site.id().as_str();
    let is_keeping = args.file.is_keeping()?;
    let to = args.file.to(&format!("{site}-station"), taken);
    if context.dry_run {
        context.ui.note(format_args!("would write a backup of the station of {site} to {}", to.display()));
        let of = (&station.site, Subject::Station);
        return if is_keeping { args.file.keep.foretell(&to, taken, of, context) } else { Ok(()) };
    }
    let (manifest, digest) = write((&to, taken, &recipients), args, &station, context)?;
    let remembered = Shelf::new(context.paths.evidence()).keep_backup(Whose::Station, &to);
    let of = (&station.site, Subject::Station);
    let kept = is_keeping.then(|| args.file.keep.carry_out((&to, &digest, taken), of, context)).transpose();
    let told = kept.as_ref().ok().and_then(Option::as_ref);
    let outcome = Outcome { file: &to, digest: &digest, manifest: &manifest, opened: false, kept: told };
    // The digest is told whatever became of older ones.
    context.ui.result(&outcome, text(&outcome))?;
    remembered.map_err(|error| not_remembered(&to)(error.into()))?;
    kept.map(drop).map_err(made_anyway(&to))
}

/// Writes the new backup; the locks of the station are let go of when it is there.
fn write(
    (to, taken, recipients): (&Path, Timestamp, &Recipients),
    args: &BackupArgs,
    station: &Station,
    context: &Context,
) -> Result<(StationManifest, Digest)> {
    let keys = station.keys(context, &args.file.passphrases(context))?;
    // It counts as an older copy wherever it comes back, so one may be taken of an older copy, too.
    if let Err(error) = mirrors::check(station, context).and_then(|()| Ok(station.directory.check_not_frozen()?)) {
        context.ui.warn(format_args!("the backup holds an older trust state: {}", error.chain().join(": ")));
    }
    people::warn_if_too_few(&station.site, context);
    // Nothing is imported, and nothing enrolled, while the files are read.
    let _store = station.store.lock()?;
    let _trust = station.directory.lock()?;
    let mut draft = Draft::new(to)?;
    let source = Source { state: context.paths.state(), settings: &args.settings_dir };
    let gathered = take(&source, recipients, &mut draft)?;
    let release = station.store.current_release(station.site.site_keys())?;
    let selected = release.iter().flat_map(|published| &published.release.streams);
    let manifest = StationManifest {
        format: format::SITE_BACKUP.current.to_owned(),
        site: station.site.id().to_string(),
        taken,
        sealock: env!("CARGO_PKG_VERSION").to_owned(),
        generation: station.directory.generation()?,
        bundles: selected
            .map(|one| Bundle { stream: one.stream.clone(), sequence: one.sequence, manifest: one.manifest.clone() })
            .collect(),
        release: release
            .as_ref()
            .map(|published| ReleaseId { number: published.release.number, digest: published.digest.clone() }),
        clusters: clusters(context)?,
        recipients: recipients.names(),
        files: gathered.files,
        bytes: gathered.bytes,
        payload: draft.payload(),
    };
    let digest = draft.finish_station(&manifest, &keys)?;
    Ok((manifest, digest))
}

fn clusters(context: &Context) -> Result<Vec<String>> {
    let folder = context.paths.clusters();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn check(file: &PathBuf, args: &BackupArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let backup = StationBackup::open(file, &station.site)?;
    let identities = args.file.identities(context)?;
    if let Some(identities) = &identities {
        backup.read(identities)?;
    }
    let outcome = Outcome {
        file,
        digest: backup.digest(),
        manifest: backup.manifest(),
        opened: identities.is_some(),
        kept: None,
    };
    context.ui.result(&outcome, text(&outcome))
}

fn text(outcome: &Outcome<'_>) -> String {
    let manifest = outcome.manifest;
    let opened = if outcome.opened { "opened, and all of it is what was signed" } else { "not opened" };
    let kept = outcome.kept.map(|kept| ("kept", kept.text()));
    let said = [
        ("backup", outcome.file.display().to_string()),
        ("digest", outcome.digest.to_string()),
        ("size", bytes(manifest.payload.size)),
        ("station", format!("of the site {}, trust state {}", manifest.site, manifest.generation)),
        ("taken", format!("{}, by Sealock {}", manifest.taken, manifest.sealock)),
        ("release", release(manifest)),
        ("clusters", if manifest.clusters.is_empty() { "none".to_owned() } else { manifest.clusters.join(", ") }),
        ("recipients", manifest.recipients.join(", ")),
        ("content", format!("{} files of {}; {opened}", manifest.files, bytes(manifest.bytes))),
    ];
    facts(said.into_iter().chain(kept))
}

fn release(manifest: &StationManifest) -> String {
    match &manifest.release {
        None => "none yet".to_owned(),
        Some(release) => format!("{}: {}", release.number, bundles(manifest)),
    }
}

/// The bundles that bring the content of the release again.
pub(super) fn bundles(manifest: &StationManifest) -> String {
    let named: Vec<String> =
        manifest.bundles.iter().map(|bundle| format!("{} {}", bundle.stream, bundle.sequence)).collect();
    named.join(", ")
}
