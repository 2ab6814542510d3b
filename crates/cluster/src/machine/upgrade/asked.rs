//! What the cluster says before this machine is upgraded: asked once, with the rights that the machine has. A control plane speaks as the
//! cluster's administrator; a worker as its own node, which sees itself and its pods.

use std::fmt::Display;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use sealock_node::host::{Command, Host};
use sealock_trust::format;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::MachineError;
use super::super::invite::{ADMIN, run, said};
use super::begun::{BegunUpgrade, Plane};
use super::error::UpgradeError;
use super::plan::{Emptying, Goal, Upgradable};
use crate::nodes::{Draining, NodeError, Rules};
use crate::spec::{KubernetesVersion, Name};

const AS_NODE: [&str; 2] = ["--kubeconfig", "/etc/kubernetes/kubelet.conf"];
const NODES: &str = r#"jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status.nodeInfo.kubeletVersion}{"\t"}{.spec.unschedulable}{"\n"}{end}"#;
const NODE: &str =
    r#"jsonpath={.metadata.name}{"\t"}{.status.nodeInfo.kubeletVersion}{"\t"}{.spec.unschedulable}{"\n"}"#;
const SERVERS: &str = r#"jsonpath={range .items[*]}{.spec.nodeName}{"\t"}{.spec.containers[0].image}{"\n"}{end}"#;
/// Namespace, name, who owns it, the mark of what kubelet runs from a file, phase, label, image, and `emptyDir` volumes: a line for each,
/// where all of it as JSON can be more than is read.
const PODS: &str = concat!(
    r#"jsonpath={range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}"#,
    r#"{.metadata.ownerReferences[?(@.controller==true)].kind}{"\t"}{.metadata.annotations.kubernetes\.io/config\.mirror}{"\t"}"#,
    r#"{.status.phase}{"\t"}{.metadata.labels.k8s-app}{"\t"}{.spec.containers[0].image}{"\t"}"#,
    r#"{range .spec.volumes[?(@.emptyDir)]}{.name},{end}{"\n"}{end}"#
);
/// Kubelets may be so many minor versions behind an API server.
const KUBELETS_BEHIND: u16 = 3;

/// Who asks, about what.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The node, and what it is to be.
    pub upgradable: &'a Upgradable,
    /// Whether Kubernetes becomes another one.
    pub goal: Goal,
    /// kubectl: its name, or where it lies.
    pub kubectl: &'a str,
    /// What may be lost when the node is emptied.
    pub emptying: Emptying,
    /// When.
    pub now: Timestamp,
}

/// What the cluster says to that. Nothing is changed.
///
/// # Errors
/// It does not answer; versions would be too far apart; pods would be lost by emptying the node.
pub fn ask(asking: &Asking<'_>, host: &dyn Host) -> Result<BegunUpgrade, MachineError> {
    let Asking { upgradable, .. } = asking;
    let nodes = if upgradable.control_plane {
        asking.kubectl(host, &["get", "nodes", "-o", NODES])?
    } else {
        asking.kubectl(host, &["get", "node", &upgradable.node, "-o", NODE])?
    };
    let record =
        ["-n", "kube-system", "get", "configmap", "kubeadm-config", "-o", "jsonpath={.data.ClusterConfiguration}"];
    let record = serde_saphyr::from_str(&asking.kubectl(host, &record)?);
    let selector = format!("--field-selector=spec.nodeName={}", upgradable.node);
    let said = Said {
        nodes: lines(&nodes),
        servers: match upgradable.control_plane {
            true => asking.servers(host)?,
            false => Vec::new(),
        },
        answers: if upgradable.control_plane { None } else { asking.who_answers(host)? },
        coredns: upgradable.control_plane && {
            let coredns = ["-n", "kube-system", "get", "deployment", "coredns", "--ignore-not-found", "-o", "name"];
            !asking.kubectl(host, &coredns)?.trim().is_empty()
        },
        record: record.map_err(|error| not_understood("kubeadm-config", &error))?,
        pods: lines(&asking.kubectl(host, &["get", "pods", "--all-namespaces", &selector, "-o", PODS])?),
    };
    let mut begun = said.judge(asking)?;
    begun.routed = is_routed(begun.services, host)?;
    begun.after_last(host)
}

/// What was asked in an earlier run, and whether this control plane is the last one by now: the others may have gone on meanwhile. Where nobody
/// answers, it is what it was.
pub fn ask_again(asking: &Asking<'_>, begun: BegunUpgrade, host: &dyn Host) -> BegunUpgrade {
    let Some(plane) = begun.control_plane.filter(|plane| !plane.last) else { return begun };
    let servers = asking.servers(host).unwrap_or_default();
    let last = !servers.is_empty() && plane_among(&servers, asking.upgradable, plane.coredns).last;
    BegunUpgrade { control_plane: Some(Plane { last, ..plane }), ..begun }
}

/// Whether the kernel knows a way to these addresses: it looks for one before kube-proxy's rules see a packet.
fn is_routed(services: Ipv4Net, host: &dyn Host) -> Result<bool, MachineError> {
    let first = services.hosts().next().unwrap_or(services.addr()).to_string();
    Ok(Command::new("ip", ["-4", "route", "get", &first]).succeeds(host)?)
}

impl Asking<'_> {
    fn kubectl(&self, host: &dyn Host, arguments: &[&str]) -> Result<String, MachineError> {
        let rights = if self.upgradable.control_plane { ADMIN } else { AS_NODE };
        let flags = ["--request-timeout", "20s", "--cache-dir", "/dev/null/none"];
        let arguments = rights.into_iter().chain(flags).chain(arguments.iter().copied());
        run(host, &Command::new(self.kubectl, arguments))
    }

    /// Each API server: its node and its image.
    fn servers(&self, host: &dyn Host) -> Result<Vec<Vec<String>>, MachineError> {
        let servers = ["-n", "kube-system", "get", "pods", "-l", "component=kube-apiserver", "-o", SERVERS];
        Ok(lines(&self.kubectl(host, &servers)?))
    }

    /// What the API server is that answers here; nothing where it does not say so in the words of Kubernetes.
    fn who_answers(&self, host: &dyn Host) -> Result<Option<KubernetesVersion>, MachineError> {
        let said: Value = serde_json::from_str(&self.kubectl(host, &["get", "--raw", "/version"])?)
            .map_err(|error| not_understood("the API server's version", &error))?;
        Ok(said["gitVersion"].as_str().and_then(|version| version.parse().ok()))
    }
}

/// What of kubeadm's own record of the cluster is needed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    cluster_name: Name,
    kubernetes_version: KubernetesVersion,
    networking: Networking,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Networking {
    service_subnet: String,
    dns_domain: String,
}

/// Answers, line by line and field by field.
#[derive(Clone, Debug)]
struct Said {
    nodes: Vec<Vec<String>>,
    servers: Vec<Vec<String>>,
    /// What the API server is that answers a worker.
    answers: Option<KubernetesVersion>,
    coredns: bool,
    record: Record,
    pods: Vec<Vec<String>>,
}

impl Said {
    fn judge(&self, asking: &Asking<'_>) -> Result<BegunUpgrade, MachineError> {
        let Asking { upgradable, goal, emptying, now, .. } = asking;
        let own = self.nodes.iter().find(|node| node[0] == upgradable.node);
        let own = own.ok_or_else(|| NodeError::NotANode {
            node: upgradable.node.clone(),
            cluster: self.record.cluster_name.to_string(),
        })?;
        let alone = upgradable.control_plane && self.nodes.len() == 1;
        let kube_proxy = self.pods.iter().find(|pod| pod[5] == "kube-proxy").map(|pod| pod[6].clone());
        let plane =
            if upgradable.control_plane { Some(plane_among(&self.servers, upgradable, self.coredns)) } else { None };
        let is_there = *goal != Goal::Components && upgradable.from == upgradable.to;
        if *goal != Goal::Components && !is_there {
            self.check_versions(upgradable, kube_proxy.as_deref())?;
        }
        if !alone && !is_there {
            let rules = Rules { force: emptying.force, delete_emptydir_data: emptying.delete_emptydir_data };
            let pods: Vec<Value> = self.pods.iter().map(|pod| as_object(pod)).collect();
            let held = Draining::of(&pods, rules).held;
            if !held.is_empty() {
                return Err(NodeError::Held { node: upgradable.node.clone(), pods: held }.into());
            }
        }
        Ok(BegunUpgrade {
            format: format::NODE_UPGRADE.current.to_owned(),
            since: format!("{}, asked {now}", upgradable.from),
            cluster: self.record.cluster_name.clone(),
            node: upgradable.node.clone(),
            from: upgradable.from,
            to: upgradable.to,
            components: *goal == Goal::Components,
            alone,
            cordoned: own[2] == "true",
            services: self.services()?,
            dns_domain: self.record.networking.dns_domain.clone(),
            routed: true,
            kube_proxy,
            control_plane: plane,
        })
    }

    fn check_versions(&self, upgradable: &Upgradable, kube_proxy: Option<&str>) -> Result<(), UpgradeError> {
        let (to, wanted) = (upgradable.to, upgradable.to.to_string());
        let runs = match upgradable.control_plane {
            // After a control plane was taken back kubeadm's record says what it was to be; what runs tells the truth.
            true => others_of(&self.servers, upgradable).map(|(_, runs)| runs).max(),
            false => Some(self.record.kubernetes_version),
        };
        if let Some(runs) = runs.filter(|runs| *runs > to) {
            return Err(UpgradeError::ClusterNewer { runs: runs.to_string(), wanted });
        }
        if !upgradable.control_plane {
            if let Some(runs) = runs.filter(|runs| *runs < to) {
                return Err(UpgradeError::PlanesFirst { wanted, found: format!("kubeadm's record says {runs}") });
            }
            if let Some(runs) = self.answers.filter(|runs| *runs < to) {
                return Err(UpgradeError::PlanesFirst {
                    wanted,
                    found: format!("the API server that answers is {runs}"),
                });
            }
            // kubeadm brings it with the last control plane, and a node does not see the others.
            return match kube_proxy.and_then(version_of).filter(|proxy| *proxy < to) {
                Some(proxy) => {
                    Err(UpgradeError::PlanesFirst { wanted, found: format!("kube-proxy on this node is {proxy}") })
                }
                None => Ok(()),
            };
        }
        if let Some((node, runs)) = others_of(&self.servers, upgradable).find(|(_, runs)| runs.minor() + 1 < to.minor())
        {
            return Err(UpgradeError::PlaneBehind { node: node.to_owned(), runs: runs.to_string(), wanted });
        }
        for node in &self.nodes {
            let kubelet = node[1].parse::<KubernetesVersion>().ok();
            if let Some(runs) = kubelet.filter(|kubelet| kubelet.minor() + KUBELETS_BEHIND < to.minor()) {
                return Err(UpgradeError::KubeletBehind { node: node[0].clone(), runs: runs.to_string(), wanted });
            }
        }
        Ok(())
    }

    /// The first range of IPv4: kubeadm takes one of each kind.
    fn services(&self) -> Result<Ipv4Net, MachineError> {
        let subnet = &self.record.networking.service_subnet;
        let found = subnet.split(',').find_map(|range| range.trim().parse().ok());
        found.ok_or_else(|| said("kubeadm-config", &format!("it names no IPv4 range for Services: {subnet}")))
    }
}

/// The control plane on this machine among those that these API servers are of.
fn plane_among(servers: &[Vec<String>], upgradable: &Upgradable, coredns: bool) -> Plane {
    let others: Vec<KubernetesVersion> = others_of(servers, upgradable).map(|(_, runs)| runs).collect();
    let is_there = |runs: &KubernetesVersion| *runs >= upgradable.to;
    Plane { first: !others.iter().any(is_there), last: others.iter().all(is_there), coredns }
}

/// Those of other control planes.
fn others_of<'a>(
    servers: &'a [Vec<String>],
    upgradable: &'a Upgradable,
) -> impl Iterator<Item = (&'a str, KubernetesVersion)> {
    let others = servers.iter().filter(|server| server[0] != upgradable.node);
    others.filter_map(|server| Some((server[0].as_str(), version_of(&server[1])?)))
}

/// The pod as the Kubernetes API has it, as far as it matters for whether it may leave.
fn as_object(pod: &[String]) -> Value {
    let [namespace, name, owner, mirror, phase, _, _, volumes] = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| pod[n].as_str());
    let owners: Vec<Value> = Some(owner)
        .filter(|kind| !kind.is_empty())
        .map(|kind| json!({"kind": kind, "controller": true}))
        .into_iter()
        .collect();
    let volumes: Vec<Value> =
        volumes.split(',').filter(|name| !name.is_empty()).map(|name| json!({"name": name, "emptyDir": {}})).collect();
    let mut metadata = json!({"namespace": namespace, "name": name, "ownerReferences": owners});
    if !mirror.is_empty() {
        metadata["annotations"] = json!({"kubernetes.io/config.mirror": mirror});
    }
    json!({"metadata": metadata, "spec": {"volumes": volumes}, "status": {"phase": phase}})
}

/// Of an image that is tagged as those of Kubernetes.
pub(super) fn version_of(image: &str) -> Option<KubernetesVersion> {
    let name = image.split('@').next()?;
    name.rsplit_once(':')?.1.parse().ok()
}

/// Fields that are not there are empty.
fn lines(text: &str) -> Vec<Vec<String>> {
    const FIELDS: usize = 8;
    let fields = |line: &str| {
        let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        fields.resize(fields.len().max(FIELDS), String::new());
        fields
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(fields).collect()
}

fn not_understood(what: &str, error: &dyn Display) -> MachineError {
    said(what, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "v1.37.2";

    fn record(version: &str) -> Record {
        let text = format!(
            "apiServer: {{}}\nclusterName: plant-7\nkubernetesVersion: {version}\nnetworking:\n  dnsDomain: cluster.local\n  serviceSubnet: fd00::/108,10.96.0.0/12\n"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn said_by(version: &str, nodes: &str, servers: &str, pods: &str) -> Said {
        let (nodes, servers, pods) = (lines(nodes), lines(servers), lines(pods));
        Said { nodes, servers, answers: None, coredns: true, record: record(version), pods }
    }

    fn judged(said: &Said, node: &str, control_plane: bool) -> Result<BegunUpgrade, MachineError> {
        let upgradable = Upgradable {
            node: node.into(),
            from: "v1.36.3".parse().unwrap(),
            to: UPGRADE.parse().unwrap(),
            control_plane,
        };
        let emptying = Emptying { force: false, delete_emptydir_data: false, timeout_seconds: 600 };
        let asking = Asking {
            upgradable: &upgradable,
            goal: Goal::Kubernetes(upgradable.to),
            kubectl: "kubectl",
            emptying,
            now: "2026-11-27T10:00:00Z".parse().unwrap(),
        };
        said.judge(&asking)
    }

    const PROXY: &str = "kube-system\tkube-proxy-x\tDaemonSet\t\tRunning\tkube-proxy\tregistry.k8s.io/kube-proxy:";

    #[test]
    fn a_control_plane_is_first_or_last_by_what_the_others_run() {
        let nodes = "cp1\tv1.36.3\t\ncp2\tv1.36.3\ttrue\n";
        let plane = |servers: &str| {
            let said = said_by("v1.36.3", nodes, servers, "");
            judged(&said, "cp1", true).unwrap().control_plane.unwrap()
        };
        let server = |node: &str, version: &str| format!("{node}\tregistry.k8s.io/kube-apiserver:{version}\n");
        let own = server("cp1", "v1.36.3");
        let told = |others: &str| {
            let Plane { first, last, .. } = plane(&format!("{own}{others}"));
            (first, last)
        };
        assert_eq!(told(""), (true, true));
        assert_eq!(told(&server("cp2", "v1.36.3")), (true, false));
        assert_eq!(told(&format!("{}{}", server("cp2", UPGRADE), server("cp3", "v1.36.3"))), (false, false));
        assert_eq!(told(&server("cp2", UPGRADE)), (false, true));
        // Cut off when its own API server was the new one: it is the first still.
        assert!(plane(&format!("{}{}", server("cp1", UPGRADE), server("cp2", "v1.36.3"))).first);
    }

    #[test]
    fn what_is_asked_once_is_what_the_plan_needs() {
        let said = said_by("v1.36.3", "cp1\tv1.36.3\ttrue\n", "", &format!("{PROXY}v1.36.3\n"));
        let begun = judged(&said, "cp1", true).unwrap();
        assert_eq!((begun.alone, begun.cordoned), (true, true));
        assert_eq!(begun.services.to_string(), "10.96.0.0/12");
        assert_eq!(begun.kube_proxy.as_deref(), Some("registry.k8s.io/kube-proxy:v1.36.3"));
        assert!(begun.since.starts_with("v1.36.3, asked 2026-11-27"), "{}", begun.since);
    }

    #[test]
    fn versions_are_never_further_apart_than_kubernetes_allows() {
        let refused =
            |said: &Said, node: &str, control_plane: bool| judged(said, node, control_plane).unwrap_err().to_string();
        let old = said_by("v1.36.3", "w1\tv1.36.3\t\n", "", "");
        assert!(refused(&old, "w1", false).contains("kubeadm's record says v1.36.3"));
        let between = said_by(UPGRADE, "w1\tv1.36.3\t\n", "", &format!("{PROXY}v1.36.3\n"));
        assert!(refused(&between, "w1", false).contains("kube-proxy on this node is v1.36.3"));
        let ready = said_by(UPGRADE, "w1\tv1.36.3\t\n", "", &format!("{PROXY}v1.37.2\n"));
        assert_eq!(judged(&ready, "w1", false).unwrap().control_plane, None);
        let newer = said_by("v1.38.0", "w1\tv1.36.3\t\n", "", "");
        assert!(refused(&newer, "w1", false).contains("the cluster runs Kubernetes v1.38.0"));
        let server = "cp2\tregistry.k8s.io/kube-apiserver:v1.35.4@sha256:00\n";
        let behind = said_by("v1.36.3", "cp1\tv1.36.3\t\n", server, "");
        assert!(refused(&behind, "cp1", true).contains("the control plane on cp2 runs Kubernetes v1.35.4"));
        let kubelet = said_by("v1.36.3", "cp1\tv1.36.3\t\nw1\tv1.33.9\t\n", "", "");
        assert!(refused(&kubelet, "cp1", true).contains("kubelet on w1 is v1.33.9"));
        let kubelet = said_by("v1.36.3", "cp1\tv1.36.3\t\nw1\tv1.34.9\t\n", "", "");
        judged(&kubelet, "cp1", true).unwrap();
    }

    /// Where there is no kube-proxy that would tell, too.
    #[test]
    fn a_worker_does_not_get_ahead_of_the_api_server_that_answers() {
        let answered =
            |runs: &str| Said { answers: Some(runs.parse().unwrap()), ..said_by(UPGRADE, "w1\tv1.36.3\t\n", "", "") };
        let told = judged(&answered("v1.36.3"), "w1", false).unwrap_err().to_string();
        assert!(told.contains("the API server that answers is v1.36.3"), "{told}");
        judged(&answered(UPGRADE), "w1", false).unwrap();
    }

    /// kubeadm writes the version down before the control plane may be taken back.
    #[test]
    fn a_control_plane_goes_by_what_the_others_run_and_not_by_what_was_written_down() {
        let nodes = "cp1\tv1.36.3\t\ncp2\tv1.36.3\t\n";
        let with = |runs: &str| {
            let servers =
                format!("cp1\tregistry.k8s.io/kube-apiserver:v1.36.3\ncp2\tregistry.k8s.io/kube-apiserver:{runs}\n");
            judged(&said_by("v1.38.0", nodes, &servers, ""), "cp1", true)
        };
        assert!(with("v1.36.3").unwrap().control_plane.unwrap().first);
        let told = with("v1.37.4").unwrap_err().to_string();
        assert!(told.contains("the cluster runs Kubernetes v1.37.4, and v1.37.2 was asked for"), "{told}");
    }

    #[test]
    fn what_would_be_lost_by_emptying_the_node_is_named_before_anything_is_changed() {
        let pods = "demo\tcache\tReplicaSet\t\tRunning\t\tcache:1\tscratch,\ndemo\talone\t\t\tRunning\t\tx:1\t\nkube-system\tetcd-cp1\tNode\tabc\tRunning\t\tetcd:1\tdata,\n";
        let with = |nodes: &str| judged(&said_by("v1.36.3", nodes, "", pods), "cp1", true);
        let error = with("cp1\tv1.36.3\t\nw1\tv1.36.3\t\n").unwrap_err();
        let told = error.to_string();
        assert!(told.contains("demo/alone: nothing starts it anew") && told.contains("emptyDir scratch"), "{told}");
        assert!(!told.contains("etcd-cp1"), "{told}");
        assert!(error.hint().unwrap().contains("--delete-emptydir-data"));
        // Where there is no other node, nothing leaves.
        assert!(with("cp1\tv1.36.3\t\n").unwrap().alone);
    }
}
