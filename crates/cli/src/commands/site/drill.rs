//! `sealock site drill`

use std::path::Path;

use sealock_cluster::backup::drill::drill_station;
use sealock_cluster::backup::evidence::Whose;
use sealock_cluster::backup::{Folder, Subject};

use crate::commands::backup_drill::{DrillFileArgs, foretell};
use crate::context::Context;
use crate::error::Result;
use crate::interrupt;
use crate::station::Station;

/// Try out whether another machine could take the station's place from a backup, and keep a signed record of it
///
/// The backup is opened on this machine, laid out in a folder and judged there as `site restore` does; then it is removed, also where the
/// drill is interrupted. The station itself is as it was. What it came to, how long it took and how old the backup was is signed by the site and kept in the state folder,
/// also where the drill failed. Layers are no part of the backup: that the bundles are still there is for you to look at.
#[derive(Debug, clap::Args)]
pub struct DrillArgs {
    #[command(flatten)]
    drill: DrillFileArgs,
}

pub fn run(args: &DrillArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let newest = |folder: &Path| Ok(Folder::newest(folder, &station.site, Subject::Station)?);
    let ready = args.drill.ready(&station, newest, context)?;
    if context.dry_run {
        return foretell(&ready, context);
    }
    let runtime = context.runtime()?;
    let interrupt = interrupt::watched(&runtime)?;
    let outcome = drill_station(&ready.order(&station, &interrupt))?;
    ready.conclude(Whose::Station, outcome, context)
}
