//! `sealock store check`

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sealock_store::StoreError;
use sealock_store::check::Checked;
use sealock_store::pushed::{IndexCondition, PushError, Rebuilt};
use serde::Serialize;

use super::plan;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::{bytes, count, facts, took};

/// Compare blobs, releases and the operation log of the store with each other
///
/// Whether everything is there that a live release needs, with its size; whether each release is signed by the site and
/// follows the one before; whether the log is whole and tells of these very releases. Changes nothing. Findings end it with
/// exit code 1. With --rebuild the index of what was pushed is made anew first, from its log, where it is missing, damaged, of another
/// version, or not what the log leads to; with --dry-run it says whether it would be. Beside a running server that is refused.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Hash every blob, too
    #[arg(long)]
    deep: bool,
    /// Make the index of what was pushed anew where it is not sound
    #[arg(long)]
    rebuild: bool,
}

/// What was found, and what came of the index where that was asked for.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    checked: &'a Checked,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Index>,
}

/// What came of the index.
#[derive(Serialize)]
struct Index {
    /// None where nothing was ever pushed.
    #[serde(flatten)]
    rebuilt: Option<Rebuilt>,
    milliseconds: u64,
}

pub fn run(args: &CheckArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let index = args.rebuild.then(|| rebuild(&station, context)).transpose()?;
    let mut checked = check(args.deep, &station, context)?;
    let missing = index.iter().flat_map(|index| &index.rebuilt).flat_map(|rebuilt| &rebuilt.missing);
    // What keeps the collector from deleting names the same manifest, and its repository.
    let missing = missing.filter(|digest| !checked.findings.iter().any(|it| it.contains(&digest.to_string())));
    let missing: Vec<_> =
        missing.map(|digest| format!("the pushed manifest {digest} is not in the store as it was")).collect();
    checked.findings.extend(missing);
    let shown = text(&checked, args.deep, index.as_ref(), context.dry_run);
    context.ui.result(&Found { checked: &checked, index }, shown)?;
    if checked.is_whole() {
        return Ok(());
    }
    Err(CommandError::failed("the store is not whole")
        .hint("`sealock store scrub --heal BUNDLE` brings back what a bundle that is still at hand has; what was pushed can be pushed again."))
}

fn rebuild(station: &Station, context: &Context) -> Result<Index> {
    let begun = Instant::now();
    let rebuilt = station.store.rebuild_pushed_index(context.dry_run).map_err(|error| match error {
        PushError::Store(StoreError::Locked { .. }) => CommandError::from(error).hint(
            "A server keeps the index, and makes it anew itself when it starts: stop it first, or start it again.",
        ),
        error => error.into(),
    })?;
    Ok(Index { rebuilt, milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

fn check(deep: bool, station: &Station, context: &Context) -> Result<Checked> {
    let plan = plan(station, context)?;
    let progress = context.ui.progress();
    let mut done = 0;
    let mut pace = |bytes: u64| {
        done += bytes;
        progress.at(done);
        ControlFlow::Continue(())
    };
    if deep {
        let reclaimable = plan.reclaimable().bytes;
        progress.begin("hashing every blob", plan.kept.bytes.saturating_add(reclaimable));
    }
    let deep = deep.then_some(&mut pace as &mut dyn FnMut(u64) -> ControlFlow<()>);
    let checked = station.store.check(station.site.site_keys(), &plan, deep);
    progress.end();
    Ok(checked?)
}

fn text(checked: &Checked, deep: bool, index: Option<&Index>, dry_run: bool) -> String {
    let hashed = if deep { format!(", {} of them hashed", checked.hashed.blobs) } else { String::new() };
    let index = index.map(|index| ("index", index_text(index, dry_run)));
    let facts = facts(index.into_iter().chain([
        ("releases", checked.releases.to_string()),
        ("log", format!("{} records", checked.records)),
        ("blobs", format!("{}, {}{hashed}", checked.blobs.blobs, bytes(checked.blobs.bytes))),
        ("findings", checked.findings.len().to_string()),
    ]));
    let findings: String = checked.findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("{facts}{findings}")
}

fn index_text(index: &Index, dry_run: bool) -> String {
    let Some(rebuilt) = &index.rebuilt else { return "none: nothing was pushed".to_owned() };
    let how = match rebuilt.was {
        IndexCondition::Sound => "what the log leads to",
        IndexCondition::Absent => "missing",
        IndexCondition::Damaged => "damaged",
        IndexCondition::Foreign => "of another version",
        IndexCondition::Behind => "not up to the log",
    };
    let was = if rebuilt.changed { "was" } else { "is" };
    let took = took(Duration::from_millis(index.milliseconds));
    let done = match (rebuilt.changed, rebuilt.was, dry_run) {
        (true, _, _) => format!("made anew in {took}"),
        (false, IndexCondition::Sound, _) | (false, _, false) => "nothing to do".to_owned(),
        (false, _, true) => "would be made anew".to_owned(),
    };
    let led_to = [count(rebuilt.blobs, "blob"), count(rebuilt.manifests, "manifest"), count(rebuilt.tags, "tag")];
    let repositories = match rebuilt.repositories {
        1 => "1 repository".to_owned(),
        many => format!("{many} repositories"),
    };
    let records = count(rebuilt.records, "record");
    format!("{done}: it {was} {how}; {records}, {repositories} with {}", led_to.join(", "))
}
