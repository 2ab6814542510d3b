//! Whether a plan needs something that was revoked.

use sealock_node::StepKind;
use sealock_trust::Digest;

use super::{Plan, PlanError, Purpose};
use crate::revoked::{Needed, Revoked};

impl Plan {
    /// What the nodes fetch: the digests of references, each with the step that fetches it.
    pub fn needs(&self) -> impl Iterator<Item = (&Digest, String)> {
        self.tasks.iter().flat_map(|task| {
            task.steps.iter().flat_map(move |step| {
                let digests: Vec<&Digest> = match &step.action {
                    StepKind::Component(component) => vec![&component.artifact.digest],
                    StepKind::Images(images) => images.images.iter().map(|image| &image.digest).collect(),
                    StepKind::OsPackagesLaidDown(laid) => laid.sets.iter().map(|set| &set.artifact.digest).collect(),
                    _ => Vec::new(),
                };
                digests.into_iter().map(move |digest| (digest, format!("{} {}", task.id, step.id)))
            })
        })
    }

    /// Refuses a plan that needs something `revoked`, and gives back what is let pass with an alarm: what the cluster was
    /// made with by the plan `applied` already, and the site has not confirmed. Hosts can be given back whatever is revoked.
    ///
    /// # Errors
    /// [`PlanError::Revoked`], with all of it and the steps that need it.
    pub fn check_revoked(&self, revoked: &Revoked, applied: Option<&Self>) -> Result<Vec<Needed>, PlanError> {
        if self.purpose == Purpose::Reset {
            return Ok(Vec::new());
        }
        let used = |digest: &Digest| {
            applied.is_some_and(|plan| plan.cluster == self.cluster && plan.needs().any(|(used, _)| used == digest))
        };
        let (alarms, refused): (Vec<Needed>, Vec<Needed>) = Needed::among(self.needs(), revoked)
            .into_iter()
            .partition(|needed| !needed.fact.blocked && used(&needed.fact.reference));
        if refused.is_empty() { Ok(alarms) } else { Err(PlanError::Revoked(refused)) }
    }
}
