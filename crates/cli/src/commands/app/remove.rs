//! `sealock app remove`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sealock_cluster::apps::{self, Attempt, ObjectId, Progress, Records, Removal};
use serde::Serialize;

use super::bound::Need;
use super::known::NameArgs;
use super::told::Told;
use crate::commands::cluster::running::Running;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::time;
use crate::ui::{Table, took};

/// Take an application off its cluster: what `apply` put there, and nothing else
///
/// Objects of its manifests and its charts go, and Helm's memory of them. Namespaces and CustomResourceDefinitions of manifests stay,
/// since with them would go what others put there; so does what says `helm.sh/resource-policy: keep`. What is to go is shown
/// first. Cut off anywhere, the same again goes on.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Seconds to wait until everything is gone, and for each hook of a chart
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

#[derive(Serialize)]
struct Outcome {
    app: String,
    cluster: String,
    removed: Vec<ObjectId>,
    /// With them would go what others put there.
    kept: Vec<ObjectId>,
}

pub fn run(args: &RemoveArgs, context: &Context) -> Result<()> {
    let known = args.name.find(context)?;
    let running = Running::open(&known.cluster, context)?;
    let revisions = known.needed_revisions(context)?;
    let (toolbox, runtime) = (running.toolbox(), context.runtime()?);
    let others = apps::others(running.folder(), &known.app)?;
    let removal = runtime.block_on(Removal::prepare(&revisions, &others, &running.target(&toolbox)))?;
    context.ui.note(table(&removal));
    if context.dry_run {
        context.ui.note("nothing was changed");
        return Ok(());
    }
    let count = removal.going().count();
    context.ui.confirm(&format!("Take {} off cluster {}, {count} objects?", known.app, known.cluster))?;
    let (started, told) = (Instant::now(), Told::default());
    let records = Records::open(running.folder(), &known.cluster, &known.app)?;
    if *records.known() != revisions {
        return Err(CommandError::failed(format!("another command has changed {} meanwhile", known.app))
            .hint("Run this again to look at what is there now."));
    }
    let tell = |event: &Progress<'_>| told.tell(&context.ui, event);
    let attempt = Attempt { at: time::now(), timeout: Duration::from_secs(args.timeout), progress: &tell };
    let removed: Vec<ObjectId> = removal.going().map(|(object, _)| object.clone()).collect();
    let kept = removal.staying().cloned().collect();
    runtime.block_on(removal.carry_out(&records, &attempt))?;
    Need { folder: running.folder(), app: &known.app, releases: BTreeSet::new() }.forget()?;
    records.forget()?;
    let text = format!("app {} is off cluster {}, in {}", known.app, known.cluster, took(started.elapsed()));
    context.ui.result(&Outcome { app: known.app, cluster: known.cluster, removed, kept }, text)
}

fn table(removal: &Removal) -> Table {
    let mut table = Table::new(["object", "from", "becomes"]);
    for (object, origin) in removal.going() {
        table.row([object.to_string(), origin, "removed".into()]);
    }
    for object in removal.staying() {
        table.row([object.to_string(), "manifests".into(), "stays".into()]);
    }
    table
}
