//! `sealock cluster drill`

use std::path::{Path, PathBuf};

use sealock_cluster::backup::drill::drill;
use sealock_cluster::backup::evidence::Whose;
use sealock_cluster::backup::{BackupError, Folder, Subject};
use sealock_cluster::release::ReleaseView;
use sealock_cluster::tools::Toolbox;

use super::target;
use crate::commands::backup_drill::{DrillFileArgs, foretell};
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::Result;
use crate::interrupt;
use crate::station::Station;

/// Try out whether the cluster could be made again from a backup, and keep a signed record of it
///
/// The backup is opened on this machine, etcd's data restored and served on loopback by the etcd of the release, and read; the authorities, the
/// keys of service accounts and the encryption of Secrets are looked at. No host is asked, nothing of the cluster changes, and nothing of
/// the backup stays here, also where the drill is interrupted. What it came to, how long it took and how old the backup was is signed by the site and kept in the state folder, also
/// where the drill failed.
#[derive(Debug, clap::Args)]
pub struct DrillArgs {
    #[command(flatten)]
    drill: DrillFileArgs,
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(args: &DrillArgs, context: &Context) -> Result<()> {
    let cluster = target::load(&args.file)?;
    let name = cluster.name().as_str();
    let station = Station::open(context)?;
    let subject = Subject::Cluster { name, ca_hash: None };
    let newest = |folder: &Path| Ok(Folder::newest(folder, &station.site, subject)?);
    let ready = args.drill.ready(&station, newest, context)?;
    if context.dry_run {
        return foretell(&ready, context);
    }
    let release = station.current_release()?;
    let revoked = revocations::facts(&station, &release, context)?;
    let toolbox = Toolbox::new(&station.store, ReleaseView::new(&release), &revoked, context.paths.programs());
    let programs = |version: &str| toolbox.etcd(version).map_err(|error| BackupError::from(Box::new(error)));
    let outcome = {
        let live = context.ui.live();
        live.begin("drill", "opening the backup, and restoring etcd's data");
        let runtime = context.runtime()?;
        let interrupt = interrupt::watched(&runtime)?;
        let order = ready.order(&station, &interrupt);
        let outcome = runtime.block_on(drill(&order, name, &programs));
        live.rest("drill");
        outcome?
    };
    ready.conclude(Whose::Cluster { name, ca_hash: None }, outcome, context)
}
