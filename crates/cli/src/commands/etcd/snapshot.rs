//! `sealock etcd snapshot`

use std::path::PathBuf;

use sealock_cluster::etcd::snapshot::{self, Snapshot, Taken};
use sealock_trust::Digest;

use super::restore::absolute;
use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{bytes, facts};

/// Write a snapshot of all that the cluster holds to a new file
///
/// Its size and the SHA-256 that etcd sends behind it are checked before it gets its name; a broken stream is begun anew,
/// three times at most. With --check an existing file is checked, and nothing is written. Write the digest down, and keep it
/// where the snapshot is not.
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check this file, and ask no cluster
    #[arg(long)]
    check: bool,
    /// The digest that the file must have
    #[arg(long, value_name = "DIGEST", requires = "check")]
    digest: Option<Digest>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub fn run(args: &SnapshotArgs, context: &Context) -> Result<()> {
    if args.check {
        let snapshot = snapshot::check(&args.file, args.digest.as_ref())?;
        return context.ui.result(&snapshot, facts(rows(&snapshot)));
    }
    let path = absolute(&args.file)?;
    let etcd = args.cluster.etcd()?;
    if context.dry_run {
        context.ui.note(format_args!("would write a snapshot to {}", path.display()));
        return Ok(());
    }
    let taken = {
        let live = context.ui.live();
        live.begin("snapshot", "streaming");
        let progress = |done: u64, all: u64| live_says(&live, done, all);
        let taken = context.runtime()?.block_on(etcd.snapshot(&path, &progress));
        live.rest("snapshot");
        taken?
    };
    context.ui.result(&taken, text(&taken))
}

fn live_says(live: &crate::ui::Live<'_>, done: u64, all: u64) {
    // On a terminal only: a line for each piece would drown everything else.
    if live.is_watched() {
        live.says("snapshot", &format!("{} of {}", bytes(done), bytes(all)));
    }
}

fn text(taken: &Taken) -> String {
    let mut facts_of = rows(&taken.snapshot);
    facts_of.push(("revision", taken.revision.to_string()));
    facts_of.push(("from", taken.endpoint.clone()));
    facts(facts_of)
}

fn rows(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    vec![
        ("snapshot", snapshot.path.display().to_string()),
        ("size", bytes(snapshot.size)),
        ("digest", snapshot.digest.to_string()),
    ]
}
