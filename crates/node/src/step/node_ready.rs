//! Waits until a node is Ready.

use std::time::Duration;

use super::kubeadm::kubectl;
use super::{Act, NodeReady, Probe};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Host, HostError};
use crate::wait;

impl Act for NodeReady {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let output = match host.run(&kubectl(["get", "node", &self.node, "-o", "json"])) {
            // Looked at before anything was installed: there is no cluster yet.
            Err(HostError::NoProgram { .. }) => return Ok(Probe::not_done("kubectl is not installed yet")),
            output => output?,
        };
        if output.status != 0 {
            return Ok(Probe::not_done(output.complaint()));
        }
        let node: serde_json::Value = serde_json::from_str(&output.stdout)
            .map_err(|_| StepError::Unknown { because: "kubectl did not answer in JSON".to_owned() })?;
        let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(match conditions.iter().find(|condition| condition["type"] == "Ready") {
            Some(ready) if ready["status"] == "True" => Probe::Done,
            Some(ready) => {
                let message = ready["message"].as_str().unwrap_or("it gives no reason");
                Probe::not_done(format!("node {} is not Ready: {message}", self.node))
            }
            None => Probe::not_done(format!("node {} has not reported yet", self.node)),
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        let mut last = String::new();
        let ready = wait::until(timeout, Duration::from_secs(1), || {
            let probe = self.probe(host, context)?;
            if let Probe::NotDone { because } = &probe
                && *because != last
            {
                (context.progress)(because);
                last.clone_from(because);
            }
            Ok::<_, StepError>(probe.is_done().then_some(()))
        })?;
        ready.ok_or_else(|| StepError::Late {
            what: format!("node {} is not Ready", self.node),
            seconds: timeout.as_secs(),
            state: last,
        })
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
