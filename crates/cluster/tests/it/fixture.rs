//! A site with one release, and hosts as they describe themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use sealock_cluster::inventory::Observation;
use sealock_cluster::plan::{Draining, Intent};
use sealock_cluster::{Cluster, Inventory, Plan, PlanError};
use sealock_node::facts::{Cgroup, ClusterNode, Disk, FACTS_FORMAT, HostFacts, Kubernetes, Network, Obstacles, Os};
use sealock_node::request::Registry;
use sealock_node::time::{TimeDaemon, TimeFacts};
use sealock_store::Published;
use sealock_store::release::{Cause, FORMAT, Reference, ReferenceKind, Release, Selection};
use sealock_trust::Digest;

pub(crate) const ONE_AND_ONE: &str = "\
apiVersion: sealock/v1alpha1
kind: Cluster
metadata: {name: plant-7}
spec:
  site: plant-7
  kubernetes: {version: v1.36.3}
  controlPlane: {endpoint: 10.77.0.11:6443}
  hosts:
    - name: cp1
      address: 10.77.0.11
      roles: [control-plane]
      ssh:
        user: ops
        hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv
    - name: w1
      address: 10.77.0.21
      roles: [worker]
      labels: {zone: hall-2}
      ssh:
        user: ops
        hostKey: SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
  overrides:
    ignorePreflightErrors: [SystemVerification]
    kubelet: {failCgroupV1: false, cgroupDriver: cgroupfs}
";

pub(crate) fn cluster(text: &str) -> Cluster {
    Cluster::load(Path::new("cluster.yaml"), text).unwrap()
}

pub(crate) fn registry() -> Registry {
    let ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    Registry { name: "registry.lab:5000".into(), address: "10.77.0.2".into(), ca: ca.into() }
}

pub(crate) fn kubernetes_images() -> Vec<String> {
    images_of("v1.36.3", &["coredns/coredns:v1.14.2", "pause:3.10.2", "etcd:3.6.8-0"])
}

pub(crate) fn next_images() -> Vec<String> {
    images_of("v1.37.2", &["coredns/coredns:v1.14.6", "pause:3.10.2", "etcd:3.7.0-0"])
}

fn images_of(version: &str, others: &[&str]) -> Vec<String> {
    let own = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
    let own = own.iter().map(|name| format!("registry.k8s.io/{name}:{version}"));
    own.chain(others.iter().map(|name| format!("registry.k8s.io/{name}"))).collect()
}

pub(crate) fn release() -> Published {
    release_with(&[])
}

/// The same, and what the next Kubernetes takes.
pub(crate) fn next_release() -> Published {
    let files = ["kubeadm", "kubelet", "kubectl"].map(|name| {
        reference(&format!("dl.k8s.io/release/v1.37.2/bin/linux/amd64/{name}:v1.37.2"), ReferenceKind::File)
    });
    let here = kubernetes_images();
    let images = next_images().into_iter().filter(|name| !here.contains(name));
    let images = images.map(|name| reference(&name, ReferenceKind::Image));
    release_with(&files.into_iter().chain(images).collect::<Vec<_>>())
}

fn release_with(more: &[Reference]) -> Published {
    let files = [
        "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm:v1.36.3",
        "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet:v1.36.3",
        "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubectl:v1.36.3",
        "github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-amd64.tar.gz:v2.4.2",
        "github.com/containerd/containerd/releases/download/v2.4.10/containerd-2.4.10-linux-amd64.tar.gz:v2.4.10",
        "github.com/opencontainers/runc/releases/download/v1.3.3/runc.amd64:v1.3.3",
        "github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz:v1.9.1",
        "get.helm.sh/helm-v3.22.0-linux-amd64.tar.gz:v3.22.0",
    ];
    let mut references: Vec<Reference> = files.iter().map(|name| reference(name, ReferenceKind::File)).collect();
    references.extend(kubernetes_images().iter().map(|name| reference(name, ReferenceKind::Image)));
    references.extend_from_slice(more);
    references.sort_by(|a, b| a.name.cmp(&b.name));
    let selection = Selection {
        stream: "base".into(),
        sequence: 1,
        manifest: Digest::sha256(b"manifest"),
        held: false,
        publisher: None,
    };
    let release = Release {
        format: FORMAT.into(),
        number: 3,
        previous: Some(Digest::sha256(b"release 2")),
        cause: Cause::Import { stream: "base".into(), sequence: 1 },
        issued: Timestamp::UNIX_EPOCH,
        streams: vec![selection],
        references,
        trust_generation: None,
        exceptions: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    Published { release, digest: Digest::sha256(b"release 3") }
}

fn reference(name: &str, kind: ReferenceKind) -> Reference {
    Reference {
        name: name.into(),
        kind,
        digest: Digest::sha256(name.as_bytes()),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        subject: None,
        size: 500,
        stream: "base".into(),
        vendor: None,
    }
}

/// A bare host of the given name and address.
pub(crate) fn host(name: &str, address: &str) -> Observation {
    let facts = HostFacts {
        format: FACTS_FORMAT.into(),
        sealock: "0.1.0".into(),
        machine_id: Digest::sha256(name.as_bytes()).hex()[..32].into(),
        hostname: name.into(),
        os: Os { id: "debian".into(), version: "12".into(), name: "Debian GNU/Linux 12 (bookworm)".into() },
        architecture: "amd64".into(),
        kernel: "6.12.48".into(),
        cgroup: Cgroup::V1,
        processors: 2,
        memory_bytes: 8 << 30,
        swap_bytes: 0,
        clock: Timestamp::UNIX_EPOCH,
        time: TimeFacts { daemon: Some(TimeDaemon::Chrony), ..TimeFacts::default() },
        disk: Disk { total_bytes: 100 << 30, free_bytes: 50 << 30 },
        network: Network {
            addresses: vec![format!("{address}/24")],
            default_routes: Vec::new(),
            nameservers: vec!["10.77.0.2".into()],
            mtu: 1500,
        },
        missing_programs: Vec::new(),
        obstacles: Obstacles::default(),
        kubernetes: Kubernetes::None,
        certificates: Vec::new(),
        service_accounts: None,
        requests: BTreeMap::new(),
        components: BTreeMap::new(),
        owned: BTreeMap::new(),
        foreign: BTreeMap::new(),
        fence: None,
        trust_mirror: None,
        open_plan: None,
    };
    Observation { facts, clock_ahead_ms: 0 }
}

pub(crate) fn bare_hosts() -> Inventory {
    let hosts = [("cp1", "10.77.0.11"), ("w1", "10.77.0.21")];
    Inventory { hosts: hosts.iter().map(|(name, address)| ((*name).into(), host(name, address))).collect() }
}

/// The inventory with the given host changed.
pub(crate) fn with(name: &str, change: impl FnOnce(&mut Observation)) -> Inventory {
    let mut inventory = bare_hosts();
    change(inventory.hosts.get_mut(name).unwrap());
    inventory
}

pub(crate) fn joined(cluster: &str) -> Kubernetes {
    Kubernetes::Sealock(ClusterNode {
        cluster: cluster.into(),
        joined: true,
        control_plane: false,
        founded: false,
        complete: true,
        kubelet_active: true,
        ca_hash: None,
        etcd: Vec::new(),
    })
}

pub(crate) fn plan_of(text: &str, inventory: &Inventory) -> Result<Plan, PlanError> {
    plan_with(&cluster(text), inventory, &release(), &kubernetes_images())
}

pub(crate) fn plan_with(
    cluster: &Cluster,
    inventory: &Inventory,
    release: &Published,
    images: &[String],
) -> Result<Plan, PlanError> {
    with_intent((cluster, release, images), |intent| sealock_cluster::plan(&intent, inventory))
}

/// What `make` makes for a cluster of which nothing is known from before.
pub(crate) fn with_intent<T>(
    (cluster, release, kubernetes_images): (&Cluster, &Published, &[String]),
    make: impl FnOnce(Intent<'_>) -> T,
) -> T {
    make(Intent {
        cluster,
        release,
        registry: &registry(),
        kubernetes_images,
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: "",
        program: "/opt/sealock/sealock/0.1.0/sealock",
        etcd_client: None,
        supplied: None,
        signed: None,
    })
}

pub(crate) const THREE_AND_THREE: [(&str, &str, &str); 6] = [
    ("cp1", "10.77.0.11", "control-plane"),
    ("cp2", "10.77.0.12", "control-plane"),
    ("cp3", "10.77.0.13", "control-plane"),
    ("w1", "10.77.0.21", "worker"),
    ("w2", "10.77.0.22", "worker"),
    ("w3", "10.77.0.23", "worker"),
];

pub(crate) fn draining() -> Draining {
    Draining {
        force: false,
        delete_emptydir_data: false,
        timeout_seconds: 600,
        max_unavailable: 1,
        cordoned: BTreeSet::new(),
        away: BTreeSet::new(),
        since: "v1.36.3 of release 2".into(),
    }
}

/// The spec with other hosts, each as `(name, address, role)`.
pub(crate) fn spec(hosts: &[(&str, &str, &str)]) -> String {
    let (head, _) = ONE_AND_ONE.split_once("  hosts:\n").unwrap();
    let (_, overrides) = ONE_AND_ONE.split_once("  overrides:").unwrap();
    let key = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
    let entry = |(name, address, role): &(&str, &str, &str)| {
        format!("    - {{name: {name}, address: {address}, roles: [{role}], ssh: {{user: ops, hostKey: \"{key}\"}}}}\n")
    };
    let hosts: String = hosts.iter().map(entry).collect();
    format!("{head}  hosts:\n{hosts}  overrides:{overrides}")
}

/// The hosts of `text` as nodes of a version; the first one is where the cluster began.
pub(crate) fn nodes(text: &str, version: &str) -> Inventory {
    let cluster = cluster(text);
    let observed = cluster.hosts().iter().enumerate().map(|(n, one)| {
        let name = one.name.to_string();
        let mut observation = host(&name, &one.address.to_string());
        let mut node = joined("plant-7");
        if let Kubernetes::Sealock(node) = &mut node {
            node.control_plane = one.is_control_plane();
            node.founded = n == 0;
        }
        observation.facts.kubernetes = node;
        observation.facts.components = ["kubelet", "kubeadm"].map(|name| (name.to_owned(), version.to_owned())).into();
        (name, observation)
    });
    Inventory { hosts: observed.collect() }
}
