//! Whether a unit that was started anew goes on running.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::node_ready::settle;
use super::{Act, Probe};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host};

/// How long it may take beyond the time that it is to run: one that failed is started again by systemd.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a unit has run for some time without a new start. The cluster goes on believing for most of a minute in a kubelet that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeepsRunning {
    /// Its name, like `kubelet.service`.
    pub unit: String,
    /// How long it is to have run.
    pub seconds: u32,
}

impl fmt::Display for KeepsRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "see that {} runs for {} s without a new start", self.unit, self.seconds)
    }
}

impl Act for KeepsRunning {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Self { unit, seconds } = self;
        let show = ["show", "--property=ActiveState,ExecMainStartTimestampMonotonic", "--", unit];
        let text = Command::new("systemctl", show).must(host)?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if value("ActiveState") != Some("active") {
            return Ok(Probe::not_done(format!("{unit} does not run")));
        }
        let started = value("ExecMainStartTimestampMonotonic").and_then(|text| text.parse().ok());
        let Some(started) = started.map(Duration::from_micros) else {
            return Ok(Probe::unknown(format!("systemd does not say when {unit} was started")));
        };
        let runs = since_boot().saturating_sub(started);
        if runs >= Duration::from_secs((*seconds).into()) {
            return Ok(Probe::Done);
        }
        Ok(Probe::not_done(format!("{unit} was started less than {seconds} s ago")))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.seconds.into()) + PATIENCE;
        settle(timeout, context, &format!("{} does not go on running", self.unit), || self.probe(host, context))
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// By the clock that systemd writes starts down by.
fn since_boot() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}
