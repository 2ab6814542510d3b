//! A machine that is started anew where its packages want that.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host};
use crate::os_packages::restart_reason;
use crate::step::{Act, Probe};
use crate::wait;

/// How long a machine may take to end what runs on it, this step last of all.
const GOES_DOWN: Duration = Duration::from_secs(600);

/// Starts the machine anew, where that is wanted. The step ends with the machine: whoever sent it looks again when the machine answers, and
/// finds it done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MachineRestarted {
    /// Where it is wanted.
    pub when: RestartWhen,
    /// How long it may be away.
    pub timeout_seconds: u32,
}

/// When a machine whose packages have changed is started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// Where a package asks for it, or there is another kernel.
    Required,
    /// Whatever has changed.
    Always,
}

impl fmt::Display for MachineRestarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            RestartWhen::Required => " if a package asks for it or there is another kernel",
            RestartWhen::Always => "",
        };
        write!(f, "restart the machine{when} (at most {} s)", self.timeout_seconds)
    }
}

impl Act for MachineRestarted {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let reason = restart_reason(host, self.when == RestartWhen::Always)?;
        Ok(reason.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        (context.progress)("the machine goes down");
        Command::new("systemctl", ["reboot", "--no-wall"]).must(host)?;
        // Ended with all else that runs here, this process does not see the end of it.
        wait::until(GOES_DOWN, Duration::from_secs(1), || Ok::<_, StepError>(None::<()>))?;
        let state = "it runs still".to_owned();
        Err(StepError::Late { what: "the machine does not go down".to_owned(), seconds: GOES_DOWN.as_secs(), state })
    }

    /// What was started anew stays so.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
