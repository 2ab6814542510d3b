//! `sealock cluster plan`

use std::path::PathBuf;

use sealock_cluster::Plan;
use sealock_cluster::operator::Planned;
use sealock_cluster::plan::Printed;

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
}

pub fn run(args: &PlanArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let planned = context.runtime()?.block_on(target.operator().plan(&target.cluster))?;
    target.check_mirrors(&planned, context)?;
    if let Some(path) = &args.save {
        let mut bytes = encode(&planned.plan)?;
        bytes.push(b'\n');
        files::replace(path, &bytes)?;
        context.ui.done(format_args!("wrote the plan to {}", path.display()));
    }
    show(&planned, context)
}

/// Prints the plan as the command's result.
pub fn show(planned: &Planned, context: &Context) -> Result<()> {
    if planned.resumed {
        context.ui.note("this plan was begun before and is not finished yet");
    }
    revocations::alarm(&planned.alarms, context);
    context.ui.result(&planned.plan, print(planned))
}

/// The plan as a person reviews it.
pub fn print(planned: &Planned) -> Printed<'_> {
    Printed { plan: &planned.plan, assessment: Some(&planned.assessment) }
}

fn encode(plan: &Plan) -> Result<Vec<u8>> {
    plan.to_json().map_err(|error| CommandError::internal(format!("the plan cannot be written: {error}")))
}
