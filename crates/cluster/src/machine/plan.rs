//! What has to be done on this machine, in order. Pure: the same facts and the same release give the same plan.

use std::fmt;

use sealock_node::Step;
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::request::Registry;
use sealock_node::step::{BY_ITSELF, Reset, SetAside, StepKind};
use sealock_store::Published;
use sealock_trust::Digest;
use serde::Serialize;

use super::error::MachineError;
use super::member::{EtcdMember, RESET};
use super::newcomer::{Newcomer, brings_it};
use crate::plan::prepare::{self, Wanted};
use crate::plan::{PlanError, ReleaseId, gate};
use crate::release::ReleaseView;
use crate::spec::{Deviation, Endpoint, KubernetesVersion, Name, Overrides};

/// What the common name of a kubelet's certificate begins with.
const NODE: &str = "system:node:";

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// All that kubeadm needs.
    Prepare,
    /// The machine is the first control plane of a cluster.
    Init,
    /// The machine is a node of a cluster.
    Join,
    /// The node runs another Kubernetes, or other components.
    Upgrade,
    /// The node is what it was before an upgrade.
    TakeBack,
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
    /// The cluster that the machine is a node of afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Name>,
    /// Where that cluster is, and by what it is known; of a machine that joins it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins: Option<Joins>,
    /// From which release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Whose release it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteName>,
    /// A member that leaves its etcd before the machine is given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_etcd: Option<EtcdMember>,
    /// The member that the machine brings to its cluster's etcd: none comes unless all the others are well, and at the end it is waited for
    /// until it votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins_etcd: Option<Newcomer>,
    /// What is done differently from what Sealock would do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<Deviation>,
    /// In this order.
    pub steps: Vec<Step>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
}

impl MachinePlan {
    /// The steps that come before a member leaves its etcd.
    pub(super) fn before_leaving(&self) -> &[Step] {
        let reset = self.steps.iter().position(|step| matches!(step.action, StepKind::Reset(_)));
        &self.steps[..reset.unwrap_or(0)]
    }

    /// The steps that come before kubeadm brings a member to etcd.
    pub(super) fn before_newcomer(&self) -> &[Step] {
        let brought = self.steps.iter().position(brings_it);
        &self.steps[..brought.unwrap_or(self.steps.len())]
    }
}

/// A cluster that is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joins {
    /// Where its API is reached.
    pub endpoint: Endpoint,
    /// `sha256:…` of its authority's public key.
    pub ca_hash: String,
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
        if let (Some(cluster), Some(version)) = (&self.cluster, &self.kubernetes) {
            writeln!(f, "  cluster {cluster}, Kubernetes {version}")?;
        }
        if let Some(Joins { endpoint, ca_hash }) = &self.joins {
            writeln!(f, "  reached at {endpoint}, known by {ca_hash}")?;
        }
        if let (Some(release), Some(site)) = (&self.release, &self.site) {
            writeln!(f, "  from release {} of site {} (site root {})", release.number, site.id, site.root)?;
        }
        let mut lines: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        if let Some(member) = &self.leaves_etcd {
            let leaves = format!("{member} leaves its etcd, and another member confirms it");
            lines.insert(self.before_leaving().len(), leaves);
        }
        if self.joins_etcd.is_some() {
            lines.insert(self.before_newcomer().len(), "look whether every member of etcd is well".to_owned());
            lines.push("wait until this machine's member of etcd votes".to_owned());
        }
        for (n, line) in lines.iter().enumerate() {
            writeln!(f, "{:>3}  {line}", n + 1)?;
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

/// What becomes of the etcd of the control plane on a machine that is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtcdFate {
    /// There is none.
    Absent,
    /// The member leaves its cluster first, where others count on it; then its data goes.
    Leaves(EtcdMember),
    /// Its cluster is not asked, so its data is kept.
    KeptAside(SetAside),
}

/// The machine of `facts` becomes what it was before it was prepared.
///
/// # Errors
/// A station drives the machine, or what is on it is not Sealock's.
pub fn reset(facts: &HostFacts, etcd: EtcdFate) -> Result<MachinePlan, MachineError> {
    free_or_own(facts)?;
    let mut warnings = Vec::new();
    if let Kubernetes::Sealock(node) = &facts.kubernetes
        && node.joined
    {
        let what = if node.control_plane { "control plane" } else { "node" };
        let but = if matches!(etcd, EtcdFate::KeptAside(_)) { ", but for etcd's, which stays aside" } else { "" };
        warnings.push(format!("this machine is a {what}: all that runs on it ends, and its data is gone{but}"));
        let name = node_name(facts);
        warnings.push(format!(
            "where its cluster goes on, it goes on listing this machine: `kubectl delete node {name}` there"
        ));
    }
    let mut steps = Vec::new();
    let (mut leaves_etcd, mut etcd_aside) = (None, None);
    match etcd {
        EtcdFate::Absent => {}
        EtcdFate::Leaves(member) => {
            steps.push(member.remember());
            leaves_etcd = Some(member).filter(EtcdMember::is_counted_on);
        }
        EtcdFate::KeptAside(aside) => etcd_aside = Some(aside),
    }
    steps.push(Step::new(RESET, Reset { cluster: BY_ITSELF.to_owned(), etcd_aside }));
    Ok(MachinePlan { leaves_etcd, steps, warnings, ..empty(Purpose::Reset, facts) })
}

pub(super) fn empty(purpose: Purpose, facts: &HostFacts) -> MachinePlan {
    MachinePlan {
        purpose,
        machine: facts.hostname.clone(),
        machine_id: facts.machine_id.clone(),
        kubernetes: None,
        cluster: None,
        joins: None,
        release: None,
        site: None,
        leaves_etcd: None,
        joins_etcd: None,
        deviations: Vec::new(),
        steps: Vec::new(),
        warnings: Vec::new(),
    }
}

/// What its cluster calls the machine: kubelet's certificate says so.
pub(super) fn node_name(facts: &HostFacts) -> &str {
    let of_node = |name: &'_ str| name.starts_with(NODE);
    let certificate = facts.certificates.iter().find(|certificate| of_node(&certificate.name));
    certificate.map_or(&facts.hostname, |certificate| &certificate.name[NODE.len()..])
}

fn is_joined(facts: &HostFacts) -> bool {
    matches!(&facts.kubernetes, Kubernetes::Sealock(node) if node.joined)
}

/// Nobody's, or prepared here.
pub(super) fn free_or_own(facts: &HostFacts) -> Result<(), MachineError> {
    match &facts.kubernetes {
        Kubernetes::None => Ok(()),
        Kubernetes::Sealock(node) if node.cluster == BY_ITSELF => Ok(()),
        Kubernetes::Sealock(node) => Err(MachineError::Driven { cluster: node.cluster.clone() }),
        Kubernetes::Foreign { evidence } => Err(MachineError::Foreign { evidence: evidence.clone() }),
    }
}
