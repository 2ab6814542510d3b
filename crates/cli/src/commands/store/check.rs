//! `sealock store check`

use std::ops::ControlFlow;

use sealock_store::check::Checked;

use super::plan;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::{bytes, facts};

/// Compare blobs, releases and the operation log of the store with each other
///
/// Whether everything is there that a live release needs, with its size; whether each release is signed by the site and
/// follows the one before; whether the log is whole and tells of these very releases. Changes nothing. Findings end it with
/// exit code 1.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Hash every blob, too
    #[arg(long)]
    deep: bool,
}

pub fn run(args: &CheckArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let plan = plan(&station, context)?;
    let progress = context.ui.progress();
    let mut done = 0;
    let mut pace = |bytes: u64| {
        done += bytes;
        progress.at(done);
        ControlFlow::Continue(())
    };
    if args.deep {
        let reclaimable = plan.reclaimable().bytes;
        progress.begin("hashing every blob", plan.kept.bytes.saturating_add(reclaimable));
    }
    let deep = args.deep.then_some(&mut pace as &mut dyn FnMut(u64) -> ControlFlow<()>);
    let checked = station.store.check(station.site.site_keys(), &plan, deep);
    progress.end();
    let checked = checked?;
    context.ui.result(&checked, text(&checked, args.deep))?;
    if checked.is_whole() {
        return Ok(());
    }
    Err(CommandError::failed("the store is not whole")
        .hint("`sealock store scrub --heal BUNDLE` brings back what a bundle that is still at hand has."))
}

fn text(checked: &Checked, deep: bool) -> String {
    let hashed = if deep { format!(", {} of them hashed", checked.hashed.blobs) } else { String::new() };
    let head = facts([
        ("releases", checked.releases.to_string()),
        ("log", format!("{} records", checked.records)),
        ("blobs", format!("{}, {}{hashed}", checked.blobs.blobs, bytes(checked.blobs.bytes))),
        ("findings", checked.findings.len().to_string()),
    ]);
    let findings: String = checked.findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("{head}{findings}")
}
