//! The words of a cluster and of its hosts, as they said them.

use std::collections::BTreeMap;

/// What a control plane says of its cluster, and the hosts of themselves.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The ConfigMap `kubeadm-config`, as JSON.
    pub kubeadm: Vec<u8>,
    /// The ConfigMap `kube-proxy`, as JSON; empty where there is none.
    pub kube_proxy: Vec<u8>,
    /// All nodes, as JSON.
    pub nodes: Vec<u8>,
    /// The images of all pods, one a line.
    pub images: String,
    /// The administrator's kubeconfig without its secrets: the line that names the server.
    pub server: String,
    /// The certificate of the cluster's authority, PEM.
    pub authority: Vec<u8>,
    /// By the host's name in the spec.
    pub hosts: BTreeMap<String, HostTold>,
}

/// What a host says of itself, beside its facts.
#[derive(Clone, Debug, Default)]
pub struct HostTold {
    /// The first line of `runc --version`; empty where there is no runc.
    pub runc: String,
    /// `containerd config dump` with the settings of the containerd that runs; empty where none runs as `containerd.service`.
    pub containerd: String,
    /// `DropInPaths` of kubelet.service and containerd.service.
    pub drop_ins: String,
    /// The words of the command by which kubelet runs, one a line; empty where none runs as `kubelet.service`.
    pub kubelet: String,
    /// Where kubelet's flags come from that stay: what kubeadm wrote, and `/etc/default/kubelet`.
    pub kubelet_flags: String,
    /// Names in containerd's folder of registries, one a line.
    pub registries: String,
}
