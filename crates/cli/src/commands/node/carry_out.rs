//! A plan for this machine: shown, asked for, carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use sealock_cluster::machine::{self, MachineError, MachinePlan, Means};
use sealock_node::{Event, Local, Probe, runner};
use serde::Serialize;

use crate::commands::machine_steps::tell;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{count, took};

/// What carrying a plan out came to.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    plan: &'a MachinePlan,
    /// Steps that changed the machine.
    changed: usize,
}

/// What `--dry-run` shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Looked<'a> {
    #[serde(flatten)]
    plan: &'a MachinePlan,
    /// What the machine says about each step, by its id.
    probes: &'a BTreeMap<String, Probe>,
}

/// Shows the plan, asks, and carries it out; with `--dry-run` each step is only looked at. The words are the question, and what is done
/// when it was.
///
/// # Errors
/// The answer is no; or the first thing that failed.
pub fn carry_out(
    plan: &MachinePlan,
    means: Means<'_>,
    (question, done): (&str, &str),
    context: &Context,
) -> Result<()> {
    if context.dry_run {
        return look(plan, context);
    }
    ask(plan, question, context)?;
    let started = Instant::now();
    let changed = run(plan, means, context)??;
    if let Some(member) = &plan.leaves_etcd {
        context.ui.done(format_args!("{member} has left its etcd"));
    }
    told(plan, (done, changed), started, context)
}

/// Looks at each step, and says what there is to do.
///
/// # Errors
/// The machine refuses.
pub fn look(plan: &MachinePlan, context: &Context) -> Result<()> {
    let probes = machine::probe(plan, &Local::new())?;
    context.ui.result(&Looked { plan, probes: &probes }, shown(plan, &probes))
}

/// Shows the plan, and asks.
///
/// # Errors
/// The answer is no.
pub fn ask(plan: &MachinePlan, question: &str, context: &Context) -> Result<()> {
    context.ui.review(plan);
    for warning in &plan.warnings {
        if !context.ui.is_reviewed() {
            context.ui.warn(warning);
        }
    }
    context.ui.confirm(question)
}

/// Carries the plan out, telling what is done; how many steps changed the machine, or the first thing that failed.
///
/// # Errors
/// Nothing could be begun.
pub fn run(
    plan: &MachinePlan,
    means: Means<'_>,
    context: &Context,
) -> Result<std::result::Result<usize, MachineError>> {
    let runtime = context.runtime()?;
    let live = context.ui.live();
    let hear = |event: &Event| tell(&live, |step| words(plan, step), &event.what);
    Ok(runtime.block_on(machine::carry_out(plan, means, &Local::new(), Path::new(runner::FOLDER), &hear)))
}

/// Says what was done.
///
/// # Errors
/// Standard output cannot be written.
pub fn told(plan: &MachinePlan, (done, changed): (&str, usize), started: Instant, context: &Context) -> Result<()> {
    let text = match changed {
        0 => format!("{done}; nothing was to be changed"),
        changed => {
            format!("{done}: {} changed this machine, in {}", count(changed as u64, "step"), took(started.elapsed()))
        }
    };
    context.ui.result(&Outcome { plan, changed }, text)
}

fn shown(plan: &MachinePlan, probes: &BTreeMap<String, Probe>) -> String {
    let mut text = plan.to_string();
    let mut open = 0;
    for step in &plan.steps {
        if let Some(probe) = probes.get(&step.id).filter(|probe| !probe.is_done()) {
            open += 1;
            text.push_str(&format!("  +  {}: {probe}\n", step.id));
        }
    }
    text.push_str(&format!("{open} of {} steps are to be done; nothing was changed", plan.steps.len()));
    text
}

fn words(plan: &MachinePlan, id: &str) -> String {
    plan.steps.iter().find(|step| step.id == id).map_or_else(|| id.to_owned(), ToString::to_string)
}
