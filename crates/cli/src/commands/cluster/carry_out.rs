//! What applying and resetting have in common: the plan is reviewed, then carried out.

use sealock_cluster::operator::{Applied, Operator, PassedOver, Planned};
use sealock_trust::Digest;
use serde::Serialize;

use super::plan::{passed_over, print};
use super::progress;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Shows the plan to whoever reviews it, and asks. Where nobody looks, and `--yes` was said, only what it comes to.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub fn review(planned: &Planned, question: &str, context: &Context) -> Result<()> {
    revocations::alarm(&planned.alarms, context);
    passed_over(planned, context);
    if planned.is_done() {
        return Ok(());
    }
    if context.ui.is_reviewed() {
        context.ui.note(print(planned));
    } else {
        context.ui.note(print(planned).brief());
    }
    context.ui.confirm(question)
}

/// Carries the plan out, and tells how it goes.
///
/// # Errors
/// The first step that failed.
pub fn carry_out(operator: &Operator<'_>, planned: &Planned, context: &Context) -> Result<Applied> {
    let live = context.ui.live();
    Ok(context.runtime()?.block_on(operator.apply(planned, &|event| progress::tell(&live, event)))?)
}

/// What carrying out a plan came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub cluster: String,
    plan: Digest,
    /// Steps that changed something.
    pub changed: usize,
    /// Hosts that nothing was done on, and what to do about each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<PassedOver>,
}

impl Outcome {
    /// # Errors
    /// As [`digest`].
    pub fn new(planned: &Planned, applied: &Applied) -> Result<Self> {
        let (cluster, passed_over) = (planned.plan.cluster.clone(), planned.passed_over.clone());
        Ok(Self { cluster, plan: digest(planned)?, changed: applied.changed, passed_over })
    }
}

/// The plan's digest, under which its journals are kept.
///
/// # Errors
/// The plan cannot be written.
pub fn digest(planned: &Planned) -> Result<Digest> {
    planned.plan.digest().map_err(|error| CommandError::internal(format!("the plan cannot be written: {error}")))
}
