//! What has to be done on this machine, in order. Pure: the same facts and the same release give the same plan.

use std::fmt;

use sealock_node::Step;
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::request::Registry;
use sealock_node::step::{BY_ITSELF, Reset};
use sealock_store::Published;
use sealock_trust::Digest;
use serde::Serialize;

use super::error::MachineError;
use super::member::EtcdMember;
use crate::plan::prepare::{self, Wanted};
use crate::plan::{PlanError, ReleaseId, gate};
use crate::release::ReleaseView;
use crate::spec::{Deviation, KubernetesVersion, Overrides};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// All that kubeadm needs.
    Prepare,
    /// The machine is what it was.
    Reset,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachinePlan {
    /// What for.
    pub purpose: Purpose,
    /// The machine's name.
    pub machine: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The Kubernetes version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// From which release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Whose release it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteName>,
    /// A member that leaves its etcd before anything on the machine is touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_etcd: Option<EtcdMember>,
    /// What is done differently from what Sealock would do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<Deviation>,
    /// In this order.
    pub steps: Vec<Step>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
}

/// A site, and what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteName {
    /// Its id.
    pub id: String,
    /// The digest of its site root.
    pub root: Digest,
}

impl fmt::Display for MachinePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(release), Some(site)) = (&self.release, &self.site) {
            writeln!(f, "  from release {} of site {} (site root {})", release.number, site.id, site.root)?;
        }
        let before = usize::from(self.leaves_etcd.is_some());
        if let Some(member) = &self.leaves_etcd {
            writeln!(f, "{:>3}  {member} leaves its etcd, and another member confirms it", 1)?;
        }
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}  {step}", n + before + 1)?;
        }
        self.deviations.iter().try_for_each(|deviation| writeln!(f, "  ~  {deviation}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  !  {warning}"))
    }
}

/// What a machine is to be prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The Kubernetes version.
    pub kubernetes: KubernetesVersion,
    /// Whether a control plane is to run on it.
    pub control_plane: bool,
    /// The images that this version's kubeadm asks for.
    pub images: &'a [String],
    /// What the site serves.
    pub release: &'a Published,
    /// Whose release it is.
    pub site: &'a SiteName,
    /// Where the site serves it.
    pub registry: &'a Registry,
    /// What is done differently.
    pub overrides: &'a Overrides,
}

/// Whether the machine of `facts` may be prepared for a version at all, whatever the release has.
///
/// # Errors
/// It is somebody else's, or a node that runs another version.
pub fn check_machine(kubernetes: KubernetesVersion, facts: &HostFacts) -> Result<(), MachineError> {
    free_or_own(facts)?;
    let version = kubernetes.to_string();
    if let Kubernetes::Sealock(node) = &facts.kubernetes
        && node.joined
        && let Some(found) = facts.components.get("kubelet").filter(|found| **found != version)
    {
        return Err(MachineError::OtherVersion { found: found.clone(), wanted: version });
    }
    Ok(())
}

/// All that kubeadm needs, put onto the machine of `facts`.
///
/// # Errors
/// The machine is somebody else's, is not fit, or runs another version; the release lacks something.
pub fn prepare(intent: &Intent<'_>, facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    check_machine(intent.kubernetes, facts)?;
    let version = intent.kubernetes.to_string();
    let asked = (intent.control_plane, intent.overrides);
    let failures = gate::of_machine(&facts.hostname, facts, asked, intent.kubernetes);
    if !failures.is_empty() {
        return Err(PlanError::Gates(failures).into());
    }
    let wanted = Wanted {
        claim: BY_ITSELF,
        kubernetes: &version,
        control_plane: intent.control_plane,
        architecture: &facts.architecture,
        release: ReleaseView::new(intent.release),
        registry: intent.registry,
        images: intent.images,
        overrides: intent.overrides,
        running: is_joined(facts).then_some(&facts.components),
        others: &facts.foreign,
        takes_over: None,
    };
    let steps = prepare::alone(&wanted)?;
    let release = ReleaseId { number: intent.release.release.number, digest: intent.release.digest.clone() };
    Ok(MachinePlan {
        kubernetes: Some(version),
        release: Some(release),
        site: Some(intent.site.clone()),
        deviations: intent.overrides.deviations(),
        steps,
        ..empty(Purpose::Prepare, facts)
    })
}

/// The machine of `facts` becomes what it was before it was prepared. `member` is that of the control plane on it, if others count on it.
///
/// # Errors
/// A station drives the machine, or what is on it is not Sealock's.
pub fn reset(facts: &HostFacts, member: Option<EtcdMember>) -> Result<MachinePlan, MachineError> {
    free_or_own(facts)?;
    let mut warnings = Vec::new();
    if let Kubernetes::Sealock(node) = &facts.kubernetes
        && node.joined
    {
        let what = if node.control_plane { "control plane" } else { "node" };
        warnings.push(format!("this machine is a {what}: all that runs on it ends, and its data is gone"));
        let name = &facts.hostname;
        warnings.push(format!(
            "where its cluster goes on, it goes on listing this machine: `kubectl delete node {name}` there"
        ));
    }
    let steps = vec![Step::new("reset", Reset { cluster: BY_ITSELF.to_owned() })];
    Ok(MachinePlan { leaves_etcd: member, steps, warnings, ..empty(Purpose::Reset, facts) })
}

pub(super) fn empty(purpose: Purpose, facts: &HostFacts) -> MachinePlan {
    MachinePlan {
        purpose,
        machine: facts.hostname.clone(),
        machine_id: facts.machine_id.clone(),
        kubernetes: None,
        release: None,
        site: None,
        leaves_etcd: None,
        deviations: Vec::new(),
        steps: Vec::new(),
        warnings: Vec::new(),
    }
}

fn is_joined(facts: &HostFacts) -> bool {
    matches!(&facts.kubernetes, Kubernetes::Sealock(node) if node.joined)
}

/// Nobody's, or prepared here.
fn free_or_own(facts: &HostFacts) -> Result<(), MachineError> {
    match &facts.kubernetes {
        Kubernetes::None => Ok(()),
        Kubernetes::Sealock(node) if node.cluster == BY_ITSELF => Ok(()),
        Kubernetes::Sealock(node) => Err(MachineError::Driven { cluster: node.cluster.clone() }),
        Kubernetes::Foreign { evidence } => Err(MachineError::Foreign { evidence: evidence.clone() }),
    }
}
