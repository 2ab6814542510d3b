//! `sealock cluster renew --authorities`

use std::time::Instant;

use sealock_cluster::operator::Readers;
use sealock_node::step::Stage;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::Target;
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// How far authorities are replaced by new ones.
#[derive(Debug, clap::Args)]
pub struct AuthoritiesArgs {
    /// Replace the authorities, as far as this stage
    #[arg(long, value_name = "STAGE")]
    authorities: Option<StageArg>,
    /// Start workloads anew that may have read the old authority, before the new one issues
    #[arg(long, requires = "authorities")]
    restart_workloads: bool,
    /// Leave pods as they are that may have read the old authority: they do not ask the API server, or read it again
    #[arg(long, requires = "authorities")]
    leave_workloads: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StageArg {
    /// New ones are made, or come from the files of the spec, and are believed beside the old ones
    Trust,
    /// The new ones issue; all certificates are made anew
    Issue,
    /// The old ones are believed no more
    Drop,
}

impl AuthoritiesArgs {
    pub fn stage(&self) -> Option<Stage> {
        Some(match self.authorities? {
            StageArg::Trust => Stage::Trust,
            StageArg::Issue => Stage::Issue,
            StageArg::Drop => Stage::Drop,
        })
    }
}

pub fn run(args: &AuthoritiesArgs, stage: Stage, (target, context): (&Target, &Context)) -> Result<()> {
    let readers = Readers { restart: args.restart_workloads, leave: args.leave_workloads };
    let planned = context.runtime()?.block_on(target.operator().plan_authorities(&target.cluster, stage, readers))?;
    if context.dry_run {
        return show(&planned, context);
    }
    let is_supplied = target.cluster.supplied_pki().is_some();
    review(&planned, question(stage, is_supplied), context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    for server in &applied.unreached {
        context.ui.warn(format_args!("{server} cannot be reached from here: the host itself has seen its certificate"));
    }
    let outcome = Outcome::new(&planned, &applied)?;
    let text = match outcome.changed {
        0 => format!("nothing to do: cluster {} is at this stage", outcome.cluster),
        _ => format!("cluster {} {}, in {}", outcome.cluster, done(stage), took(started.elapsed())),
    };
    context.ui.result(&outcome, text)?;
    if let Some(next) = next(stage) {
        context.ui.note(next);
    }
    name_readers(stage, (target, context))
}

/// Who may still believe, or know, nothing but the old authority: before the next stage somebody should know.
fn name_readers(stage: Stage, (target, context): (&Target, &Context)) -> Result<()> {
    let what = match stage {
        Stage::Trust => {
            "may know nothing but the old authority, and does not believe the API server once the new one issues"
        }
        Stage::Issue => return Ok(()),
        Stage::Drop => "may still believe the old authority, until it is started anew",
    };
    for reader in context.runtime()?.block_on(target.operator().old_readers(&target.cluster))? {
        context.ui.warn(format_args!("pod {} {what}", reader.pod));
    }
    Ok(())
}

fn question(stage: Stage, is_supplied: bool) -> &'static str {
    match stage {
        Stage::Trust if is_supplied => "Bring the new authorities of the spec, and have all believe them?",
        Stage::Trust => "Make new authorities, and have all believe them?",
        Stage::Issue => "Have the new authorities issue?",
        Stage::Drop => "Believe the old authorities no more?",
    }
}

fn done(stage: Stage) -> &'static str {
    match stage {
        Stage::Trust => "believes new authorities beside the old ones",
        Stage::Issue => "serves certificates of its new authorities",
        Stage::Drop => "believes its new authorities alone",
    }
}

fn next(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Trust => Some(
            "The kubeconfig of the station believes both. Hand it out to whoever has an older one, and go on with `sealock cluster renew --authorities issue`.",
        ),
        Stage::Issue => Some(
            "Certificates of the old authorities still hold, whoever has one, until `sealock cluster renew --authorities drop`.",
        ),
        Stage::Drop => None,
    }
}
