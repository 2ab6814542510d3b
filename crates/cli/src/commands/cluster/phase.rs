//! `--phase`: the part of a plan that is carried out before the hour that the rest is for.

use std::time::Instant;

use sealock_cluster::operator::{Operator, Planned};
use sealock_cluster::plan::Phase;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::Target;
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// What of the plan that makes a cluster can be carried out alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ApplyPhase {
    /// Hosts get programs, files and images; kubeadm does not run
    Prepare,
}

/// What of an upgrade can be carried out alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum UpgradePhase {
    /// Images and programs lie on every host beside those in use
    Stage,
}

impl From<ApplyPhase> for Phase {
    fn from(_: ApplyPhase) -> Self {
        Self::Prepare
    }
}

impl From<UpgradePhase> for Phase {
    fn from(_: UpgradePhase) -> Self {
        Self::Stage
    }
}

/// `planned`, or the part of it that was asked for.
///
/// # Errors
/// More than such a part is under way.
pub fn part(operator: &Operator<'_>, planned: Planned, phase: Option<impl Into<Phase>>) -> Result<Planned> {
    Ok(match phase {
        Some(phase) => operator.only(phase.into(), planned)?,
        None => planned,
    })
}

/// Carries out the part of an upgrade, `whole`, that leaves everything that runs as it is; nothing where there is none to carry out.
///
/// # Errors
/// More than this part is under way; the first step that failed.
pub fn stage(target: &Target, whole: Option<Planned>, phase: UpgradePhase, context: &Context) -> Result<()> {
    let cluster = target.cluster.name();
    let nothing = format!("nothing to do: the hosts of cluster {cluster} have what an upgrade needs");
    let Some(whole) = whole else {
        return context.ui.result(&serde_json::json!({"cluster": cluster, "changed": 0}), nothing);
    };
    let planned = part(&target.operator(), whole, Some(phase))?;
    target.check_mirrors(&planned, context)?;
    if context.dry_run {
        return show(&planned, context);
    }
    review(&planned, "Bring this to the hosts?", context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = match outcome.changed {
        0 => nothing,
        changed => format!(
            "the hosts of cluster {cluster} have what the upgrade to {} needs: {changed} steps changed something, in {}; without `--phase` the same command does the rest",
            planned.plan.kubernetes,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}
