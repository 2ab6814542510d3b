//! `sealock repair`

use std::path::PathBuf;

use sealock_bundle::volumes::{self, Target, VolumeSet};
use sealock_trust::Digest;
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::facts;

/// Rebuild what is damaged or missing of a bundle's volumes
///
/// The result is a new bundle file, or new volumes in the place of those that are lost; the media are left as they are.
/// All digests of the bundle are checked before anything appears. That says that it is whole; whether it is genuine,
/// `sealock verify` says.
#[derive(Debug, clap::Args)]
pub struct RepairArgs {
    /// Volumes, or folders with volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<PathBuf>,
    /// The bundle to write; or a folder that is there, for new volumes
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "in_place", conflicts_with = "in_place")]
    to: Option<PathBuf>,
    /// Write into the damaged volumes themselves, and missing ones beside the index
    #[arg(long)]
    in_place: bool,
}

#[derive(Serialize)]
struct Outcome {
    /// The digest of the manifest, which names the set.
    digest: Digest,
    /// The files that were written.
    files: Vec<PathBuf>,
    /// Blocks of 1 MiB that were rebuilt.
    rebuilt: u64,
}

pub fn run(args: &RepairArgs, context: &Context) -> Result<()> {
    let set = VolumeSet::find(&args.volumes)?;
    let target = match &args.to {
        None => Target::InPlace,
        Some(path) if path.is_dir() => Target::Folder(path),
        Some(path) => Target::File(path),
    };
    if context.dry_run {
        let damage = source::scan(&set, 0, context);
        return super::verify::show_damage(&set, &damage, context);
    }
    let progress = context.ui.progress();
    let repaired = volumes::repair(&set, target, &mut source::show(&progress));
    progress.end();
    let repaired = repaired
        .map_err(|error| CommandError::from(error).context(format!("{} was not repaired", set.index().name())))?;
    let outcome = Outcome { digest: set.index().set().clone(), files: repaired.files, rebuilt: repaired.rebuilt };
    let files: Vec<String> = outcome.files.iter().map(|path| path.display().to_string()).collect();
    let text = facts([
        ("manifest", outcome.digest.to_string()),
        ("rebuilt", format!("{} of 1 MiB", source::blocks(outcome.rebuilt))),
        ("written", if files.is_empty() { "nothing: the volumes are whole".to_owned() } else { files.join(" ") }),
    ]);
    context.ui.result(&outcome, text)
}
