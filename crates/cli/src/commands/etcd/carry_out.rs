//! A plan for this machine's member: shown, asked for, carried out.

use std::path::Path;
use std::time::Instant;

use sealock_cluster::etcd::machine::{self, Happening, MachinePlan, Reach, Stage};
use sealock_node::{Local, runner};
use serde::Serialize;

use crate::commands::machine_steps;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Live, took};

const CLUSTER: &str = "cluster";

/// What carrying a plan out came to.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    plan: &'a MachinePlan,
    /// Steps that changed the machine.
    changed: usize,
}

/// Shows the plan, asks `question`, and carries it out; with `--dry-run` it is only shown. `done` says what came of it.
///
/// # Errors
/// The answer is no; or the first thing that failed.
pub fn carry_out(plan: &MachinePlan, reach: &Reach, question: &str, done: &str, context: &Context) -> Result<()> {
    if context.dry_run {
        return context.ui.result(plan, plan);
    }
    context.ui.review(plan);
    for warning in &plan.warnings {
        if !context.ui.is_reviewed() {
            context.ui.warn(warning);
        }
    }
    context.ui.confirm(question)?;
    let started = Instant::now();
    let outcome = {
        let live = context.ui.live();
        let tell = |happening: Happening<'_>| tell(&live, plan, &happening);
        let (host, folder) = (Local::new(), Path::new(runner::FOLDER));
        context.runtime()?.block_on(machine::carry_out(plan, &host, folder, reach, &tell))?
    };
    let text = match outcome.changed {
        0 => format!("{done}; nothing was to be changed on this machine"),
        changed => format!("{done}: {changed} steps changed this machine, in {}", took(started.elapsed())),
    };
    context.ui.result(&Outcome { plan, changed: outcome.changed }, text)
}

fn tell(live: &Live<'_>, plan: &MachinePlan, happening: &Happening<'_>) {
    match happening {
        Happening::Step(event) => machine_steps::tell(live, |step| words(plan, step), &event.what),
        Happening::ActBegins(act) => live.begin(CLUSTER, &act.to_string()),
        Happening::ActSays(_, text) => live.says(CLUSTER, text),
        Happening::ActDone(act, duration) => {
            live.rest(CLUSTER);
            live.done(format_args!("{act} ({})", took(*duration)));
        }
    }
}

fn words(plan: &MachinePlan, id: &str) -> String {
    let steps = plan.stages.iter().flat_map(|stage| match stage {
        Stage::Machine { steps } => steps.as_slice(),
        Stage::Cluster { .. } => &[],
    });
    steps.into_iter().find(|step| step.id == id).map_or_else(|| id.to_owned(), ToString::to_string)
}
