//! `sealock send`

use std::path::{Path, PathBuf};

use sealock_bundle::Archive;
use sealock_bundle::verify::{self, Against};
use sealock_bundle::volumes::{self, Percent, Sending, SentVolume, VolumeSize};
use sealock_trust::Digest;
use sealock_trust::tuf::Rules;
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::time;
use crate::ui::{Table, bytes, facts};

/// Write a signed bundle to media: cut into volumes with parity, or as one file
///
/// Only a bundle that carries enough signatures is sent, as the trust root that travels in it demands. All that was
/// written is read back and checked. A volume appears under its name when it is whole and durable; run again, it goes on
/// with those that are missing. The index of the volumes goes to every folder.
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    /// The bundle
    bundle: PathBuf,
    /// Folder on a medium; given more than once, volumes are dealt to the folders in turns
    #[arg(long, value_name = "DIR", required = true)]
    to: Vec<PathBuf>,
    /// Size of a volume, like 4G, 700M or 4GiB; without it the bundle is copied as one file
    #[arg(long, value_name = "SIZE")]
    volume_size: Option<VolumeSize>,
    /// Parity to add, in percent of the bundle: what may get lost on the way and be rebuilt
    #[arg(long, value_name = "PERCENT", default_value = "0%", requires = "volume_size")]
    parity: Percent,
}

#[derive(Serialize)]
struct Outcome {
    /// The digest of the manifest, which names the set.
    digest: Digest,
    files: Vec<Written>,
    index: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    path: PathBuf,
    /// Bytes of the file.
    size: u64,
    parity: bool,
    /// False where it was there already, and right.
    written: bool,
}

pub fn run(args: &SendArgs, context: &Context) -> Result<()> {
    if let Some(folder) = args.to.iter().find(|folder| !folder.is_dir()) {
        return Err(CommandError::usage(format!("{} is no folder", folder.display()))
            .hint("A medium that is not mounted has none: it is never made here."));
    }
    let archive = source::open(&args.bundle)?;
    let sending = Sending { folders: &args.to, size: args.volume_size, parity: args.parity };
    let root = travelling_root(&archive)?;
    let against = Against {
        root: &root,
        now: time::now(),
        state: None,
        accept_gap: None,
        recipient: None,
        rules: Rules::default(),
    };
    if context.dry_run {
        let volumes = volumes::plan(&archive, &sending)?;
        let header = verify::header(archive, &against)?;
        let outcome = outcome(header.digest().clone(), &volumes, Vec::new());
        context.ui.note("nothing was written");
        return context.ui.result(&outcome, table(&outcome, &args.to));
    }
    let progress = context.ui.progress();
    let sent = volumes::send(archive, &against, &sending, &mut source::show(&progress));
    progress.end();
    let sent =
        sent.map_err(|error| CommandError::from(error).context(format!("{} was not sent", args.bundle.display())))?;
    let outcome = outcome(sent.set, &sent.volumes, sent.index);
    context.ui.result(&outcome, text(&outcome, args))
}

/// The first root of the chain in the bundle: here it only says how many signatures there have to be.
fn travelling_root(archive: &Archive) -> Result<Vec<u8>> {
    let set = verify::metadata(archive)?;
    let root = set.roots.values().next().cloned();
    root.ok_or_else(|| CommandError::failed("the bundle carries no trust root"))
}

fn outcome(digest: Digest, volumes: &[SentVolume], index: Vec<PathBuf>) -> Outcome {
    let written = |volume: &SentVolume| Written {
        path: volume.path.clone(),
        size: volume.size,
        parity: volume.is_parity,
        written: !volume.was_there,
    };
    Outcome { digest, files: volumes.iter().map(written).collect(), index }
}

fn text(outcome: &Outcome, args: &SendArgs) -> String {
    let of = |parity: bool| outcome.files.iter().filter(move |file| file.parity == parity);
    let sum = |parity: bool| bytes(of(parity).map(|file| file.size).sum());
    let kept = outcome.files.iter().filter(|file| !file.written).count();
    let mut lines = vec![("manifest", outcome.digest.to_string())];
    match args.volume_size {
        None => lines.push(("copies", format!("{}, each {}", outcome.files.len(), bytes(outcome.files[0].size)))),
        Some(_) => {
            lines.push(("volumes", format!("{}, {}", of(false).count(), sum(false))));
            lines.push(("parity", format!("{}, {} ({})", of(true).count(), sum(true), args.parity)));
        }
    }
    if kept > 0 {
        lines.push(("there already", kept.to_string()));
    }
    format!("{}\n{}", facts(lines), table(outcome, &args.to))
}

/// What is, or would be, in each folder.
fn table(outcome: &Outcome, folders: &[PathBuf]) -> String {
    let mut table = Table::new(["folder", "files", "size"]);
    for folder in folders {
        let here = |path: &Path| path.parent() == Some(folder);
        let files: Vec<&Written> = outcome.files.iter().filter(|file| here(&file.path)).collect();
        let index = outcome.index.iter().filter(|path| here(path)).count();
        let size = files.iter().map(|file| file.size).sum();
        table.row([folder.display().to_string(), (files.len() + index).to_string(), bytes(size)]);
    }
    table.to_string()
}
