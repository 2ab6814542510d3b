//! One prepared machine becomes the first control plane of a cluster, or a node of one. Pure, as every plan.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use sealock_node::facts::{ClusterNode, HostFacts, Kubernetes};
use sealock_node::step::{BY_ITSELF, CONTROL_PLANE_JOIN_PHASES, INIT_PHASES, KubeadmCommand, WORKER_JOIN_PHASES};

use super::error::MachineError;
use super::join_file::JoinFile;
use super::newcomer::Newcomer;
use super::plan::{Joins, MachinePlan, Purpose, empty};
use crate::plan::{PlanError, gate, steps_of};
use crate::render::kubeadm::{self, Node, Terms};
use crate::spec::{
    API_PORT, Endpoint, KubernetesVersion, Name, Network, Overrides, SpecError, Taint, check_ranges, check_within,
};

/// What an authority is known by.
const AUTHORITY: &str = "/etc/kubernetes/pki/ca.crt";

/// The node that a machine is to be.
#[derive(Clone, Copy, Debug)]
pub struct OwnNode<'a> {
    /// Its name in the cluster.
    pub name: &'a Name,
    /// Its address on the segment that the nodes share.
    pub address: Ipv4Addr,
    /// Whether a control plane takes pods as a worker does.
    pub runs_pods: bool,
    /// What is done differently.
    pub overrides: &'a Overrides,
}

/// The cluster that a machine is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Founding<'a> {
    /// The cluster's name.
    pub name: &'a Name,
    /// Where its API is reached.
    pub endpoint: &'a Endpoint,
    /// Further names and addresses for the API server's certificate.
    pub cert_sans: &'a [String],
    /// Its networks.
    pub network: &'a Network,
}

/// `kubeadm init` on the machine of `facts`, in the version that it was prepared for.
///
/// # Errors
/// The machine is not prepared, is a node of another cluster, or is not fit; networks or endpoint make no sense.
pub fn init(founding: &Founding<'_>, own: &OwnNode<'_>, facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    let (version, node) = prepared(facts, true)?;
    match (node.founded, node.joined, &node.ca_hash) {
        (false, true, _) => return Err(MachineError::AlreadyNode),
        // That of a join which was cut off; or of somebody who wants it for the cluster.
        (false, false, Some(_)) => return Err(MachineError::OtherAuthority { path: AUTHORITY }),
        _ => {}
    }
    check_ranges(founding.network)?;
    let within = |problem| SpecError::new("--apiserver-advertise-address", problem);
    check_within(own.address, founding.network).map_err(within)?;
    if founding.endpoint.address() == Some(own.address) && founding.endpoint.port() != API_PORT {
        let problem = format!("the API server of this machine serves port {API_PORT}");
        return Err(SpecError::new("--control-plane-endpoint", problem).into());
    }
    check_fit(own, facts, (true, version))?;
    let terms = Terms {
        name: founding.name.as_str(),
        version,
        endpoint: founding.endpoint,
        cert_sans: founding.cert_sans,
        network: founding.network,
        etcd: None,
        overrides: own.overrides,
    };
    let config = with_node(own, true, |node| kubeadm::init_on(&terms, node)).map_err(PlanError::from)?;
    let steps = steps_of(KubeadmCommand::Init, INIT_PHASES, own.name.as_str(), &config);
    let warnings = vec![
        "the pod network is yours to bring: until it is there the node is not Ready, and no pod but those of the host's \
         network runs"
            .to_owned(),
    ];
    Ok(MachinePlan {
        kubernetes: Some(version.to_string()),
        cluster: Some(founding.name.clone()),
        deviations: own.overrides.deviations(),
        steps,
        warnings,
        ..empty(Purpose::Init, facts)
    })
}

/// `kubeadm join` on the machine of `facts`, into the cluster of `file`; with a control plane where that is asked for.
///
/// # Errors
/// The machine is not prepared for the cluster's version, is a node of another cluster, or is not fit; the file has ended, or lacks what a
/// control plane needs.
pub fn join(
    file: &JoinFile,
    own: &OwnNode<'_>,
    control_plane: bool,
    (facts, now): (&HostFacts, Timestamp),
) -> Result<MachinePlan, MachineError> {
    let (version, node) = prepared(facts, control_plane)?;
    if node.founded {
        return Err(MachineError::AlreadyNode);
    }
    if let Some(found) = node.ca_hash.as_ref().filter(|found| **found != file.ca_hash) {
        return Err(MachineError::OtherCluster { found: found.clone(), wanted: file.ca_hash.clone() });
    }
    if version != file.kubernetes {
        let (found, wanted) = (version.to_string(), file.kubernetes.to_string());
        return Err(MachineError::PreparedForOther { found, wanted });
    }
    if !node.complete {
        file.check(control_plane, now)?;
    }
    check_fit(own, facts, (control_plane, version))?;
    let render = |node: &Node<'_>| kubeadm::join_on(&file.endpoint, own.overrides, node);
    let config = with_node(own, control_plane, render).map_err(PlanError::from)?;
    let phases = if control_plane { CONTROL_PLANE_JOIN_PHASES } else { WORKER_JOIN_PHASES };
    let steps = steps_of(KubeadmCommand::Join, phases, own.name.as_str(), &config);
    Ok(MachinePlan {
        kubernetes: Some(version.to_string()),
        cluster: Some(file.cluster.clone()),
        joins: Some(Joins { endpoint: file.endpoint.clone(), ca_hash: file.ca_hash.clone() }),
        joins_etcd: control_plane.then(|| Newcomer::new(own.name.as_str(), own.address)),
        deviations: own.overrides.deviations(),
        steps,
        ..empty(Purpose::Join, facts)
    })
}

/// The version that the machine was prepared for, and how far it is a node.
pub(super) fn prepared(
    facts: &HostFacts,
    control_plane: bool,
) -> Result<(KubernetesVersion, &ClusterNode), MachineError> {
    let lacks = |what: &str| MachineError::NotPrepared { lacks: what.to_owned() };
    let node = match &facts.kubernetes {
        Kubernetes::Sealock(node) if node.cluster == BY_ITSELF => node,
        Kubernetes::Sealock(node) => return Err(MachineError::Driven { cluster: node.cluster.clone() }),
        Kubernetes::Foreign { evidence } => return Err(MachineError::Foreign { evidence: evidence.clone() }),
        Kubernetes::None => return Err(lacks("nothing of Sealock is on it")),
    };
    let has = |program: &str| facts.components.get(program).ok_or_else(|| lacks(&format!("it lacks {program}")));
    let (kubeadm, kubelet) = (has("kubeadm")?, has("kubelet")?);
    if control_plane {
        has("kubectl")?;
    }
    if kubeadm != kubelet && !node.joined {
        return Err(lacks(&format!("kubeadm is {kubeadm}, and kubelet {kubelet}")));
    }
    let version = kubeadm.parse().map_err(|_| lacks(&format!("kubeadm is {kubeadm}, which is no version")))?;
    Ok((version, node))
}

/// The conditions of a machine, and that the address is its own.
fn check_fit(
    own: &OwnNode<'_>,
    facts: &HostFacts,
    (control_plane, version): (bool, KubernetesVersion),
) -> Result<(), MachineError> {
    let (name, asked) = (own.name.as_str(), (control_plane, own.overrides));
    let mut failures = gate::of_machine(name, facts, asked, version);
    failures.extend(gate::address_of_machine(name, &own.address.to_string(), facts));
    if failures.is_empty() { Ok(()) } else { Err(PlanError::Gates(failures).into()) }
}

fn with_node<T>(own: &OwnNode<'_>, control_plane: bool, render: impl FnOnce(&Node<'_>) -> T) -> T {
    let taints = if control_plane && !own.runs_pods { vec![Taint::control_plane()] } else { Vec::new() };
    render(&Node {
        name: own.name.as_str(),
        address: own.address,
        control_plane,
        labels: &BTreeMap::new(),
        taints: &taints,
    })
}
