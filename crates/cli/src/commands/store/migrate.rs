//! `sealock store migrate`

use std::ops::ControlFlow;

use sealock_server::control::{self, ControlError};
use sealock_store::StoreError;
use sealock_store::lent::{Lent, Migrated, Migration};

use super::gc::amount;
use crate::amounts::Bytes;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::time;
use crate::ui::{bytes, count};

/// Copy into the store what bundles lend that were imported in place
///
/// Blob by blob, each hashed while it is copied; a bundle is removed when all of it is copied. What has rotted is moved into
/// quarantine, as `store scrub` does, and the rest goes on. Interrupted, it goes on where it stopped. A running server does that by
/// itself, slowly; asked by this command it does it at once.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// What has to stay free on the disk, like 512M or 10G; a running server has its own [default: 1G]
    #[arg(long, value_name = "BYTES")]
    headroom: Option<Bytes>,
}

/// Where nobody says; in bytes.
const HEADROOM: u64 = 1 << 30;

pub fn run(args: &MigrateArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let lent = station.store.lent()?;
    if lent.bundles == 0 {
        return context.ui.result(&Migrated::default(), "nothing to do: no bundle lends anything");
    }
    if context.dry_run {
        return context
            .ui
            .result(&lent, format!("would copy {}, of {}", amount(lent.blobs), count(lent.bundles, "bundle")));
    }
    let migrated = migrate(args, &station, &lent, context)?;
    context.ui.result(&migrated, text(&migrated))?;
    outcome(&migrated, &station)
}

/// By the server, which is at it already; or here, where none runs.
fn migrate(args: &MigrateArgs, station: &Station, lent: &Lent, context: &Context) -> Result<Migrated> {
    match control::migrate(&context.paths.control_socket()) {
        Err(ControlError::NotRunning { .. }) => here(args, station, lent, context),
        migrated => Ok(migrated?),
    }
}

fn here(args: &MigrateArgs, station: &Station, lent: &Lent, context: &Context) -> Result<Migrated> {
    let headroom = args.headroom.map_or(HEADROOM, |Bytes(bytes)| bytes);
    let progress = context.ui.progress();
    progress.begin("copying what bundles lend", lent.blobs.bytes);
    let mut done = 0;
    let mut pace = |bytes: u64| {
        done += bytes;
        progress.at(done);
        ControlFlow::Continue(())
    };
    let migration = Migration { store: &station.store, guard: None, clock: &time::now, headroom, pace: &mut pace };
    let migrated = migration.run();
    progress.end();
    migrated.map_err(|error| match error {
        StoreError::Locked { .. } => CommandError::from(error).hint("Another process copies already: look for it."),
        error => error.into(),
    })
}

fn text(migrated: &Migrated) -> String {
    let moved = format!("copied: {}", amount(migrated.moved));
    let bundles = match migrated.bundles {
        0 => String::new(),
        bundles => format!("; {} removed, which nothing is read from any more", count(bundles, "bundle")),
    };
    let rotten = migrated.rotten.iter().map(|rotten| format!("\nrotten: {}, {}", rotten.digest, rotten.problem));
    format!("{moved}{bundles}{}", rotten.collect::<String>())
}

/// Said when all else is said, and by the exit code.
fn outcome(migrated: &Migrated, station: &Station) -> Result<()> {
    if !migrated.rotten.is_empty() {
        let rotten = count(migrated.rotten.len() as u64, "blob");
        return Err(CommandError::failed(format!("rotten: {rotten}"))
            .hint("`sealock store scrub --heal BUNDLE` brings them back from another copy of the bundle."));
    }
    if migrated.no_room {
        let (left, free) = (amount(migrated.left), bytes(station.store.free_bytes()?));
        let problem = format!("no room for {left}: {free} are free, and the headroom stays so");
        return Err(CommandError::environment(problem).hint(
            "What is left is served from its bundle as before. Collect garbage, or grow the disk, and run it again.",
        ));
    }
    if station.store.lent()?.bundles > 0 {
        return Err(CommandError::environment("a bundle could not be removed now, though all of it is copied")
            .hint("An import is at work. Once it has ended, the same command works."));
    }
    Ok(())
}
