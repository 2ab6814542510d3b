//! `sealock release retire`, `pin` and `unpin`

use sealock_store::StoreError;
use sealock_trust::reason::Code;
use serde::Serialize;

use crate::commands::import::tell_server;
use crate::commands::store::bound_releases;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::time;
use crate::ui::Table;

/// Keep nothing for the sake of a release any more
///
/// What only it needs is garbage then, and goes with `store gc`; nobody can go back to it. A release that a cluster or an
/// application was made from is refused as IN_USE without --yes. The release file stays, as a record.
#[derive(Debug, clap::Args)]
pub struct RetireArgs {
    /// The release
    number: u64,
}

/// Keep a release, whatever the site's retention says
#[derive(Debug, clap::Args)]
pub struct PinArgs {
    /// The release
    number: u64,
}

/// Let the site's retention hold for a release again
#[derive(Debug, clap::Args)]
pub struct UnpinArgs {
    /// The release
    number: u64,
}

#[derive(Serialize)]
struct Outcome {
    changed: bool,
    release: u64,
    /// The clusters and applications that were made from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needed_by: Vec<String>,
}

pub fn retire(args: &RetireArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let number = args.number;
    let standing = station.store.standing()?;
    check_number(&station, number)?;
    let needed_by: Vec<String> = bound_releases(context)?.remove(&number).into_iter().flatten().collect();
    let outcome = |changed| Outcome { changed, release: number, needed_by: needed_by.clone() };
    if !standing.is_live(number) {
        return context.ui.result(&outcome(false), format!("nothing to do: release {number} is retired already"));
    }
    if standing.pinned.contains(&number) {
        let problem = format!("release {number} is pinned");
        return Err(CommandError::failed(problem).hint(format!("`sealock release unpin {number}` ends that.")));
    }
    if context.dry_run {
        let text = format!("release {number} would be retired; nothing was written");
        return context.ui.result(&outcome(false), format!("{text}\n\n{}", table(&needed_by)));
    }
    if !needed_by.is_empty() {
        let problem = format!("release {number} may be needed at any moment by {}", needed_by.join(", by "));
        if !context.ui.is_answered() {
            return Err(CommandError::refused(Code::InUse, problem));
        }
        context.ui.warn(problem);
    }
    context.ui.confirm(&format!("Retire release {number}?"))?;
    station.store.lock()?.retire(number, time::now())?;
    tell_server(context);
    context
        .ui
        .result(&outcome(true), format!("release {number} is retired: `sealock store gc` frees what only it kept"))
}

fn check_number(station: &Station, number: u64) -> Result<()> {
    let newest = station.store.current_number()?.unwrap_or(0);
    if number == 0 || number > newest {
        return Err(StoreError::NoSuchRelease { number, newest }.into());
    }
    if number == newest {
        let current = CommandError::from(StoreError::RetiresCurrent { number });
        return Err(current.hint("`sealock release rollback` publishes another one first."));
    }
    Ok(())
}

fn table(needed_by: &[String]) -> Table {
    let mut table = Table::new(["needed by"]);
    for one in needed_by {
        table.row([one.clone()]);
    }
    table
}

pub fn pin(args: &PinArgs, context: &Context) -> Result<()> {
    set_pinned(args.number, true, context)
}

pub fn unpin(args: &UnpinArgs, context: &Context) -> Result<()> {
    set_pinned(args.number, false, context)
}

fn set_pinned(number: u64, pinned: bool, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let changed = station.store.standing()?.pinned.contains(&number) != pinned;
    if !context.dry_run {
        station.store.lock()?.pin(number, pinned, time::now())?;
    }
    let text = match (changed, pinned) {
        (false, true) => format!("nothing to do: release {number} is pinned already"),
        (false, false) => format!("nothing to do: release {number} is not pinned"),
        (true, _) if context.dry_run => format!("release {number} would be changed; nothing was written"),
        (true, true) => format!("release {number} is pinned: it stays until it is unpinned"),
        (true, false) => format!("release {number} is pinned no more"),
    };
    let changed = changed && !context.dry_run;
    context.ui.result(&Outcome { changed, release: number, needed_by: Vec::new() }, text)
}
