//! `sealock store`

pub mod check;
pub mod gc;
pub mod migrate;
pub mod scrub;
pub mod status;

use sealock_server::bound;
use sealock_store::Bound;
use sealock_store::gc::{Plan, Request};

use crate::context::Context;
use crate::error::Result;
use crate::station::Station;

#[derive(Debug, clap::Subcommand)]
pub enum StoreCommand {
    Status(status::StatusArgs),
    Gc(gc::GcArgs),
    Scrub(scrub::ScrubArgs),
    Migrate(migrate::MigrateArgs),
    Check(check::CheckArgs),
}

pub fn run(command: &StoreCommand, context: &Context) -> Result<()> {
    match command {
        StoreCommand::Status(args) => status::run(args, context),
        StoreCommand::Gc(args) => gc::run(args, context),
        StoreCommand::Scrub(args) => scrub::run(args, context),
        StoreCommand::Migrate(args) => migrate::run(args, context),
        StoreCommand::Check(args) => check::run(args, context),
    }
}

/// What clusters and applications were made from.
///
/// # Errors
/// Their plans cannot be read: it is not known what is needed.
pub fn bound_releases(context: &Context) -> Result<Bound> {
    Ok(bound(&context.paths.clusters())?)
}

/// What is garbage by the site's retention. Needs no lock, and knows of no promise that a server gave.
///
/// # Errors
/// The store, or the plans of clusters, cannot be read.
pub fn plan(station: &Station, context: &Context) -> Result<Plan> {
    let bound = bound_releases(context)?;
    let request = Request::new(station.site.site_keys(), station.site.retained_releases(), &bound);
    Ok(station.store.plan(&request)?)
}
