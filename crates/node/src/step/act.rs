//! What every kind of step can do.

use super::{Probe, Step, StepKind};
use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;

/// What every kind of step can do. Every function may be called at any time and more than once.
pub(crate) trait Act {
    /// Looks, without changing anything.
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError>;

    /// Does what is not done. What was there before is recorded first.
    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError>;

    /// Looks whether what was applied just now holds.
    fn verify(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.probe(host, context)
    }

    /// Takes it back, as far as the step's class allows.
    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError>;
}

impl Step {
    /// Looks, without changing anything.
    pub fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.action.act().probe(host, context)
    }

    /// Does what is not done. Refuses where the probe says [`Probe::Foreign`] or [`Probe::Unknown`].
    pub fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.action.act().apply(host, context)
    }

    /// Checks that the effect holds: a probe that must say [`Probe::Done`].
    pub fn verify(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.action.act().verify(host, context)? {
            Probe::Done => Ok(()),
            probe => Err(StepError::not_held(probe)),
        }
    }

    /// Takes it back, as far as the step's class allows.
    pub fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.action.act().undo(host, context)
    }
}

/// Looks at `parts` in order: the first that is not done speaks for all.
pub(crate) fn probe_parts(parts: &[StepKind], host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
    let mut first = Probe::Done;
    for part in parts {
        let probe = part.act().probe(host, context)?;
        if matches!(probe, Probe::Foreign { .. } | Probe::Unknown { .. }) {
            return Ok(probe);
        }
        if first.is_done() {
            first = probe;
        }
    }
    Ok(first)
}

/// Carries out those of `parts` that are not done.
pub(crate) fn apply_parts(parts: &[StepKind], host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    for part in parts {
        if !part.act().probe(host, context)?.is_done() {
            part.act().apply(host, context)?;
        }
    }
    Ok(())
}

/// Takes `parts` back, last first.
pub(crate) fn undo_parts(parts: &[StepKind], host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    parts.iter().rev().try_for_each(|part| part.act().undo(host, context))
}
