//! What was kept of authorities that are dropped, removed at the very end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::kubernetes_certificates::NEXT_AUTHORITIES;
use crate::step::{Act, Probe};

/// Removes the keys of authorities that were replaced, and what waited to take their place.
///
/// It comes last: as long as it is there, whoever plans sees that the old ones have not been dropped everywhere, though no host may believe
/// them any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthoritiesForgotten {}

impl fmt::Display for AuthoritiesForgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("remove the keys of the old authorities")
    }
}

impl Act for AuthoritiesForgotten {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let is_there = host::exists(host, NEXT_AUTHORITIES)?;
        Ok(if is_there { Probe::not_done(format!("{NEXT_AUTHORITIES} is still there")) } else { Probe::Done })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(host.alter(Alteration::RemoveTree { path: NEXT_AUTHORITIES })?)
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid { problem: "a key that was removed does not come back".to_owned() })
    }
}
