//! `sealock cluster plan`

use std::path::PathBuf;

use sealock_cluster::Plan;
use sealock_cluster::operator::{PassedOver, Planned};
use sealock_cluster::plan::{Printed, Tally, remarks};
use sealock_trust::Digest;
use serde::Serialize;

use super::carry_out::digest;
use super::components;
use super::phase::{ApplyPhase, part};
use super::target::{Target, TargetArgs};
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Show what it takes to bring the hosts to what the spec says
///
/// Looks at every host over SSH, changes nothing but that it brings this binary there, and prints the ordered steps.
/// `-o json` prints the plan itself, bound by its digest to spec, release and what was found. A plan that needs what was
/// revoked is refused, with the steps that need it.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Also write the plan to this file, for `cluster apply --plan`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Only the part that brings things to hosts, as `cluster apply --phase` carries it out
    #[arg(long)]
    phase: Option<ApplyPhase>,
    /// Show only what it comes to, and not its steps
    #[arg(long)]
    brief: bool,
}

/// What a plan comes to.
#[derive(Serialize)]
pub struct Summary<'a> {
    cluster: &'a str,
    plan: Digest,
    /// The number of the release.
    release: u64,
    hosts: usize,
    #[serde(flatten)]
    tally: Tally,
}

impl<'a> Summary<'a> {
    /// # Errors
    /// As [`digest`].
    pub fn of(planned: &'a Planned) -> Result<Self> {
        let plan = &planned.plan;
        let (release, hosts) = (plan.release.number, plan.hosts.len());
        let tally = planned.assessment.tally(plan);
        Ok(Self { cluster: &plan.cluster, plan: digest(planned)?, release, hosts, tally })
    }
}

pub fn run(args: &PlanArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let operator = target.operator();
    let planned = context.runtime()?.block_on(operator.plan(&target.cluster))?;
    let planned = part(&operator, planned, args.phase)?;
    target.check_mirrors(&planned, context)?;
    if let Some(path) = &args.save {
        let mut bytes = encode(&planned.plan)?;
        bytes.push(b'\n');
        files::replace(path, &bytes)?;
        context.ui.done(format_args!("wrote the plan to {}", path.display()));
    }
    match args.brief {
        true => {
            remark(&planned, context);
            context.ui.result(&Summary::of(&planned)?, print(&planned).brief())
        }
        false => show(&planned, context),
    }
}

/// Prints the plan as the command's result.
pub fn show(planned: &Planned, context: &Context) -> Result<()> {
    remark(planned, context);
    context.ui.result(&planned.plan, print(planned))
}

/// Says what somebody who looks at the plan should know beside it.
pub fn remark(planned: &Planned, context: &Context) {
    components::remark(&planned.behind, context);
    hosts(planned, context);
    passed_over(planned, context);
    if planned.resumed {
        context.ui.note("this plan was begun before and is not finished yet");
    }
    revocations::alarm(&planned.alarms, context);
}

/// Says of hosts what the site alone can judge.
pub fn hosts(planned: &Planned, context: &Context) {
    for remark in remarks(&planned.plan, &planned.inventory) {
        context.ui.warn(remark);
    }
}

/// Names the hosts that the plan does nothing on, with what to do about each, and what to know of certificates that it lays down.
pub fn passed_over(planned: &Planned, context: &Context) {
    for PassedOver { host, because, next } in &planned.passed_over {
        context.ui.warn(format_args!("{host} is passed over: {because}; next: {next}"));
    }
    for remark in &planned.remarks {
        context.ui.warn(remark);
    }
}

/// The plan as a person reviews it.
pub fn print(planned: &Planned) -> Printed<'_> {
    Printed { plan: &planned.plan, assessment: Some(&planned.assessment) }
}

fn encode(plan: &Plan) -> Result<Vec<u8>> {
    plan.to_json().map_err(|error| CommandError::internal(format!("the plan cannot be written: {error}")))
}
