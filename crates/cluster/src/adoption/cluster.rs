//! What concerns the cluster as a whole.

use super::model::Running;
use super::{Mismatch, mismatch, overrides};
use crate::spec::{Cluster, Cni};

/// What every difference of the whole cluster names as its place.
pub(super) const CLUSTER: &str = "cluster";
/// Where Sealock looks for certificates and for etcd's data, and under which names a release has the images of Kubernetes.
const CERTIFICATES: &str = "/etc/kubernetes/pki";
const ETCD_DATA: &str = "/var/lib/etcd";
const IMAGES: &str = "registry.k8s.io";

pub(super) fn compare(running: &Running, cluster: &Cluster) -> Vec<Mismatch> {
    let mut all = of_spec(running, cluster);
    all.extend(of_control_plane(running, cluster));
    all.extend(of_kubeadm(running));
    all.extend(of_overrides(running, cluster));
    all.extend(of_shape(running, cluster));
    all
}

/// Fields of the spec.
fn of_spec(running: &Running, cluster: &Cluster) -> Vec<Mismatch> {
    let (spec, kubeadm) = (cluster.spec(), &running.kubeadm);
    let networking = &kubeadm.networking;
    let fields = [
        ("spec.kubernetes.version", spec.kubernetes.version.to_string(), kubeadm.kubernetes_version.as_str()),
        ("spec.controlPlane.endpoint", spec.control_plane.endpoint.to_string(), running.endpoint()),
        ("spec.network.pods", spec.network.pods.to_string(), &networking.pod_subnet),
        ("spec.network.services", spec.network.services.to_string(), &networking.service_subnet),
        ("spec.network.dnsDomain", spec.network.dns_domain.clone(), &networking.dns_domain),
    ];
    let differs = |(field, written, found): &(&str, String, &str)| {
        (written != found).then(|| mismatch(CLUSTER, field, format_args!("the spec says {written}"), or_none(found)))
    };
    let mut all: Vec<Mismatch> = fields.iter().filter_map(differs).collect();
    let missing = spec.control_plane.cert_sans.iter().filter(|name| !kubeadm.api_server.cert_sans.contains(name));
    all.extend(missing.map(|name| {
        let found = or_none(&kubeadm.api_server.cert_sans.join(", ")).to_owned();
        mismatch(CLUSTER, "spec.controlPlane.certSANs", format_args!("the spec says {name}"), found)
    }));
    all
}

fn or_none(found: &str) -> &str {
    if found.is_empty() { "not set" } else { found }
}

/// What runs, whatever kubeadm noted once.
fn of_control_plane(running: &Running, cluster: &Cluster) -> Vec<Mismatch> {
    let written = cluster.spec().kubernetes.version.to_string();
    let others = running.control_plane.iter().filter(|(_, version)| *version != written);
    others
        .map(|(part, version)| {
            let wanted = format_args!("the spec says {written}").to_string();
            mismatch(CLUSTER, &format!("the version of {part}"), wanted, or_none(version))
        })
        .collect()
}

/// What the spec does differently has to be so already, in what further nodes and upgrades are made from.
fn of_overrides(running: &Running, cluster: &Cluster) -> Vec<Mismatch> {
    let written = &cluster.spec().overrides;
    let patches = [
        ("clusterConfiguration", &written.cluster_configuration, &running.kubeadm_whole),
        ("kubelet", &written.kubelet, &running.kubelet_whole),
        ("kubeProxy", &written.kube_proxy, &running.proxy_whole),
    ];
    let compared = patches
        .into_iter()
        .map(|(name, patch, found)| overrides::compare(CLUSTER, &format!("spec.overrides.{name}"), patch, found));
    compared.flatten().collect()
}

/// What Sealock expects of every cluster of kubeadm.
fn of_kubeadm(running: &Running) -> Vec<Mismatch> {
    let kubeadm = &running.kubeadm;
    let places = [
        ("kubeadm's certificatesDir", CERTIFICATES, &kubeadm.certificates_dir),
        ("kubeadm's imageRepository", IMAGES, &kubeadm.image_repository),
        ("etcd's dataDir", ETCD_DATA, &kubeadm.etcd.local.data_dir),
    ];
    let elsewhere = |(field, wanted, found): &(&str, &str, &String)| {
        let is_it = found.is_empty() || found == wanted;
        (!is_it).then(|| mismatch(CLUSTER, field, format_args!("Sealock looks for {wanted}"), found))
    };
    let mut all: Vec<Mismatch> = places.iter().filter_map(elsewhere).collect();
    if let Some(external) = &kubeadm.etcd.external {
        let found = format!("external ({})", external.endpoints.join(", "));
        all.push(mismatch(CLUSTER, "etcd", "only one that kubeadm runs on the control plane is taken over", found));
    }
    all
}

/// What cluster can be taken over at all.
fn of_shape(running: &Running, cluster: &Cluster) -> Vec<Mismatch> {
    let spec = cluster.spec();
    let mut all = Vec::new();
    if cluster.external_etcd().is_some() {
        let wanted = "only an etcd that kubeadm runs on the control plane is taken over: leave it out";
        all.push(mismatch(CLUSTER, "spec.etcd.external", wanted, "there"));
    }
    if cluster.supplied_pki().is_some() {
        let wanted =
            "the authorities of a cluster that runs stay what they are: leave it out, and replace them afterwards";
        all.push(mismatch(CLUSTER, "spec.pki.supplied", wanted, "there"));
    }
    if cluster.external_pki().is_some() {
        let wanted = "the authorities of a cluster that runs stay what they are, and issue: leave it out";
        all.push(mismatch(CLUSTER, "spec.pki.external", wanted, "there"));
    }
    if spec.control_plane.local_proxy {
        let wanted = "the endpoint of a cluster that runs stays what it is: leave it out";
        all.push(mismatch(CLUSTER, "spec.controlPlane.localProxy", wanted, true));
    }
    if spec.network.cni == Cni::Routed {
        let wanted = "the pod network of a cluster that runs stays its own: write `cni: none`";
        all.push(mismatch(CLUSTER, "spec.network.cni", wanted, "routed"));
    }
    let written = spec.network.proxy.as_str();
    match running.proxy.as_deref() {
        None => all.push(mismatch(CLUSTER, "kube-proxy", "only a cluster with one is taken over", "not there")),
        // What an empty mode means on Linux.
        Some("") if written == "iptables" => {}
        Some(mode) if mode == written => {}
        Some(mode) => {
            let found = if mode.is_empty() { "iptables" } else { mode };
            all.push(mismatch(CLUSTER, "spec.network.proxy", format_args!("the spec says {written}"), found));
        }
    }
    all
}
