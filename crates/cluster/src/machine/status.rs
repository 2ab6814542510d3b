//! What stands on this machine.

use std::collections::BTreeMap;
use std::path::Path;

use sealock_node::facts::{self, CertificateFact, HeldImage, HostFacts, Kubernetes, UnitFact};
use sealock_node::host::Host;
use sealock_node::step::{KernelModule, Sysctl};
use sealock_node::{Probe, Step};
use serde::Serialize;

use super::error::MachineError;
use super::execute::probe;
use super::plan::{MachinePlan, Purpose};

/// What stands on this machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub machine: String,
    /// Whose Kubernetes is on it.
    pub kubernetes: Kubernetes,
    /// Versions of the programs that Sealock brought.
    pub components: BTreeMap<String, String>,
    /// By name.
    pub units: BTreeMap<String, UnitFact>,
    /// What containerd holds; absent where it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<HeldImage>>,
    /// The certificates of Kubernetes.
    pub certificates: Vec<CertificateFact>,
    /// Whether a run was cut off.
    pub unfinished: bool,
    /// Where something is not what Sealock left, in words.
    pub differences: Vec<String>,
}

/// Looks at the machine, and changes nothing. `folder` holds its journal.
///
/// # Errors
/// The machine refuses.
pub fn status(host: &dyn Host, folder: &Path) -> Result<Status, MachineError> {
    let facts = facts::observe(host, folder)?;
    let standing = facts::standing(host)?;
    let mut differences = standing.differences;
    if matches!(facts.kubernetes, Kubernetes::Sealock(_)) {
        differences.extend(kernel(&facts, host)?);
    }
    Ok(Status {
        machine: facts.hostname,
        kubernetes: facts.kubernetes,
        components: facts.components,
        units: standing.units,
        images: standing.images,
        certificates: facts.certificates,
        unfinished: facts.open_plan.is_some(),
        differences,
    })
}

/// What of the kernel's settings is not as a prepared machine has it.
fn kernel(facts: &HostFacts, host: &dyn Host) -> Result<Vec<String>, MachineError> {
    let forwarding = BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]);
    let steps = vec![
        Step::new("kernel-modules", KernelModule { modules: vec!["overlay".into()] }),
        Step::new("sysctl", Sysctl { settings: forwarding }),
    ];
    let plan = MachinePlan { steps, ..super::plan::empty(Purpose::Prepare, facts) };
    let words = |probe: Probe| (!probe.is_done()).then(|| probe.to_string());
    Ok(probe(&plan, host)?.into_values().filter_map(words).collect())
}
