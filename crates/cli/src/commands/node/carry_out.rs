//! A plan for this machine: shown, asked for, carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use sealock_cluster::machine::{self, MachinePlan, Means};
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
    let host = Local::new();
    if context.dry_run {
        let probes = machine::probe(plan, &host)?;
        return context.ui.result(&Looked { plan, probes: &probes }, shown(plan, &probes));
    }
    context.ui.review(plan);
    for warning in &plan.warnings {
        if !context.ui.is_reviewed() {
            context.ui.warn(warning);
        }
    }
    context.ui.confirm(question)?;
    let started = Instant::now();
    let changed = {
        let live = context.ui.live();
        let hear = |event: &Event| tell(&live, |step| words(plan, step), &event.what);
        let run = machine::carry_out(plan, means, &host, Path::new(runner::FOLDER), &hear);
        context.runtime()?.block_on(run)?
    };
    if let Some(member) = &plan.leaves_etcd {
        context.ui.done(format_args!("{member} has left its etcd"));
    }
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
