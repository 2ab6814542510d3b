//! `sealock store gc`

use std::cmp::Reverse;

use sealock_server::control::{self, ControlError};
use sealock_server::upkeep::Collect;
use sealock_store::StoreError;
use sealock_store::gc::protocol::Terms;
use sealock_store::gc::{Amount, Collector, Garbage, GarbageState, Missing, Moment, Offline, Outcome, Plan, Request};

use super::bound_releases;
use crate::amounts::Span;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::{Table, bytes, count, facts};
use crate::{files, time};

/// Delete what nothing needs any more
///
/// Nothing goes that a live release, an unfinished import or a reply of the registry leads to. A release is live until it is
/// retired: by `release retire`, or here, by the site's retention, unless it is pinned or something was made from it. What
/// is found is condemned first; a run that comes after the grace deletes it. With --dry-run it says what would go, and why.
/// A running server does the work itself; beside an import nothing is deleted. In doubt nothing is.
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// For how long what is found waits before a later run deletes it, like 90s, 10m, 1h or 7d [default: 1h]
    #[arg(long, value_name = "SPAN")]
    grace: Option<Span>,
    /// How many releases are retained beside the current one [default: as the site root says, else all]
    #[arg(long, value_name = "RELEASES")]
    retain: Option<u64>,
}

/// For how long a reply of the registry promises a blob, and for how long blobs wait where nobody says.
const TERMS: Terms = Terms { lease: 3600, grace: 3600 };

/// Blobs that a table shows, the largest; `-o json` shows all.
const MOST_ROWS: usize = 40;

pub fn run(args: &GcArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let asked = Collect {
        dry_run: true,
        grace: args.grace.map(|Span(span)| span.as_secs()),
        retain: args.retain.or(station.site.retained_releases()),
    };
    let planned = collect(&asked, &station, context)?;
    if context.dry_run {
        return context.ui.result(&planned, plan_text(&planned.plan));
    }
    let plan = &planned.plan;
    let due = plan.garbage.iter().filter(|garbage| garbage.state == GarbageState::Due).count() as u64;
    if plan.doubts.is_empty() && (due > 0 || !plan.retire.is_empty()) {
        context.ui.review(plan_text(plan));
        context.ui.confirm(&question(due, &plan.retire))?;
    }
    let outcome = collect(&Collect { dry_run: false, ..asked }, &station, context)?;
    context.ui.result(&outcome, outcome_text(&outcome))?;
    in_doubt(&outcome.plan)
}

fn question(due: u64, retire: &[u64]) -> String {
    let blobs = format!("delete {}", count(due, "blob"));
    match (due, retire) {
        (_, []) => format!("{}?", capitalised(&blobs)),
        (0, retire) => format!("Retire {}?", releases(retire)),
        (_, retire) => format!("Retire {}, and {blobs}?", releases(retire)),
    }
}

fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

/// `release 1`, or `releases 3, 2, 1`.
fn releases(numbers: &[u64]) -> String {
    let list = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    format!("{} {list}", if numbers.len() == 1 { "release" } else { "releases" })
}

/// By the server, which knows what it has promised; or here, where none runs.
fn collect(asked: &Collect, station: &Station, context: &Context) -> Result<Outcome> {
    let busy = |error: CommandError| error.hint("An import is at work. Once it has ended, the same command works.");
    match control::collect(&context.paths.control_socket(), asked) {
        Err(ControlError::NotRunning { .. }) => offline(asked, station, context),
        Err(error @ ControlError::Busy(_)) => Err(busy(error.into())),
        outcome => Ok(outcome?),
    }
}

fn offline(asked: &Collect, station: &Station, context: &Context) -> Result<Outcome> {
    let terms = Terms { grace: asked.grace.unwrap_or(TERMS.grace), ..TERMS };
    let offline = Offline::begin(&station.store, terms, moment()?).map_err(served)?;
    let bound = bound_releases(context)?;
    let request = Request::new(station.site.site_keys(), asked.retain, &bound);
    let clock = || offline.now();
    let collector = Collector {
        store: &station.store,
        guard: offline.guard(),
        clock: &clock,
        grace: terms.grace,
        at: time::now(),
        stop: &|| false,
    };
    if asked.dry_run {
        return Ok(Outcome { plan: collector.plan(&request)?, ..Outcome::default() });
    }
    let outcome = collector.collect(&request).map_err(served)?;
    offline.save()?;
    Ok(outcome)
}

fn served(error: StoreError) -> CommandError {
    let hint = match &error {
        StoreError::Served { .. } => "A server that runs elsewhere keeps this store: look for its control socket.",
        StoreError::Locked { .. } => "An import is at work. Once it has ended, the same command works.",
        _ => return error.into(),
    };
    CommandError::from(error).hint(hint)
}

/// Since the machine was started: whoever turns the clock shortens no grace.
fn moment() -> Result<Moment> {
    let boot = files::read_text("/proc/sys/kernel/random/boot_id".as_ref())?.trim().to_owned();
    let uptime = files::read_text("/proc/uptime".as_ref())?;
    let seconds = uptime.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.ok_or_else(|| CommandError::internal(format!("the machine is up for {uptime:?}")))?;
    Ok(Moment { boot, seconds })
}

/// Said when all else is said, and by the exit code.
fn in_doubt(plan: &Plan) -> Result<()> {
    if plan.doubts.is_empty() {
        return Ok(());
    }
    Err(CommandError::failed("nothing is deleted, for it is in doubt what is garbage").hint(
        "`sealock store check` says what is wrong, `sealock store scrub --heal BUNDLE` brings back what was lost.",
    ))
}

fn plan_text(plan: &Plan) -> String {
    let reclaimable = plan.reclaimable();
    let retire = if plan.retire.is_empty() { "nothing".to_owned() } else { releases(&plan.retire) };
    let head = facts([("to be retired", retire), ("garbage", amount(reclaimable)), ("stays", amount(plan.kept))]);
    format!("{head}{}\n{}{}", problems(plan), live(plan), garbage(plan))
}

fn outcome_text(outcome: &Outcome) -> String {
    let Outcome { plan, condemned, deleted } = outcome;
    let retired =
        if plan.retire.is_empty() || !plan.doubts.is_empty() { "nothing".to_owned() } else { releases(&plan.retire) };
    let head = facts([
        ("retired", retired),
        ("deleted", amount(*deleted)),
        ("condemned", amount(*condemned)),
        ("stays", amount(plan.kept)),
    ]);
    format!("{head}{}", problems(plan))
}

/// `6 blobs, 1.2 MiB`.
pub fn amount(amount: Amount) -> String {
    format!("{}, {}", count(amount.blobs, "blob"), bytes(amount.bytes))
}

fn problems(plan: &Plan) -> String {
    let doubts = plan.doubts.iter().map(|doubt| format!("in doubt: {doubt}\n"));
    // What is in doubt names the same blob.
    let is_told = |missing: &&Missing| plan.doubts.iter().any(|doubt| doubt.contains(&missing.digest.to_string()));
    let missing = plan.missing.iter().filter(|missing| !is_told(missing));
    let missing = missing.map(|missing| format!("missing: {}, needed by {}\n", missing.problem, missing.needed_by));
    doubts.chain(missing).collect()
}

fn live(plan: &Plan) -> Table {
    let mut table = Table::new(["live release", "because"]);
    for live in &plan.live {
        table.row([live.release.to_string(), live.because.join(", ")]);
    }
    table
}

fn garbage(plan: &Plan) -> String {
    if plan.garbage.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["garbage", "size", "kept until now by", "state"]);
    let mut largest: Vec<&Garbage> = plan.garbage.iter().collect();
    largest.sort_by_key(|garbage| Reverse(garbage.size));
    for garbage in largest.into_iter().take(MOST_ROWS) {
        table.row([garbage.digest.to_string(), bytes(garbage.size), kept_by(garbage), state(garbage.state).to_owned()]);
    }
    let more = plan.garbage.len().saturating_sub(MOST_ROWS);
    let more = if more > 0 { format!("and {more} more: -o json names them all\n") } else { String::new() };
    format!("\n{table}{more}")
}

fn kept_by(garbage: &Garbage) -> String {
    match (garbage.oldest_release, garbage.newest_release) {
        (Some(oldest), Some(newest)) if oldest != newest => format!("releases {oldest} to {newest}"),
        (Some(only), _) => format!("release {only}"),
        (None, _) => "no release".to_owned(),
    }
}

fn state(state: GarbageState) -> &'static str {
    match state {
        GarbageState::Found => "the next run condemns it",
        GarbageState::Promised => "promised by a reply",
        GarbageState::Condemned => "condemned, waits",
        GarbageState::Due => "the next run deletes it",
    }
}
