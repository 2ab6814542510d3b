//! `sealock cluster diff`

use sealock_cluster::operator::Difference;
use serde::Serialize;

use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::Table;

/// Show where hosts and cluster are not what the spec says
///
/// Files, units, kernel settings, programs, images and their pins on every host; nodes and members of etcd that the spec does not know.
/// Nothing is changed. `cluster apply` repairs what differs; what somebody else wrote is never overwritten, and who is not in the spec
/// leaves by `cluster remove` alone; containerd, runc and CNI plugins that are not the release's are brought by `cluster upgrade --components`.
/// Exit code 1 where something differs.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// What was found.
#[derive(Serialize)]
struct Outcome {
    cluster: String,
    differences: Vec<Difference>,
}

pub fn run(args: &DiffArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let operator = target.operator();
    let differences = context.runtime()?.block_on(async {
        let planned = operator.plan_to_compare(&target.cluster).await?;
        Ok::<_, CommandError>(operator.differences(&target.cluster, &planned).await)
    })?;
    let outcome = Outcome { cluster: target.cluster.name().to_string(), differences };
    if outcome.differences.is_empty() {
        let text = format!("cluster {} is what its spec says", outcome.cluster);
        return context.ui.result(&outcome, text);
    }
    context.ui.result(&outcome, table(&outcome.differences))?;
    let count = outcome.differences.len();
    let s = if count == 1 { "" } else { "s" };
    let failed = CommandError::failed(format!("cluster {} differs from its spec in {count} place{s}", outcome.cluster));
    let repairable = outcome.differences.iter().filter(|difference| difference.is_repairable).count();
    Err(match repairable {
        0 => failed,
        _ => failed.hint(format!("`sealock cluster apply` repairs {repairable} of them.")),
    })
}

fn table(differences: &[Difference]) -> Table {
    let mut table = Table::new(["host", "step", "differs"]);
    for difference in differences {
        let step = difference.step.clone().unwrap_or_else(|| "-".to_owned());
        table.row([difference.host.clone(), step, difference.found.clone()]);
    }
    table
}
