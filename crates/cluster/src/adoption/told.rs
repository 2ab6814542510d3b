//! The words of a cluster and of its hosts, as they said them.

use std::collections::BTreeMap;

/// What a control plane says of its cluster, and the hosts of themselves.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The ConfigMap `kubeadm-config`, as JSON.
    pub kubeadm: Vec<u8>,
    /// The ConfigMap `kube-proxy`, as JSON; empty where there is none.
    pub kube_proxy: Vec<u8>,
    /// The ConfigMap `kubelet-config`, as JSON.
    pub kubelet: Vec<u8>,
    /// What the API server says of its version, as JSON.
    pub version: Vec<u8>,
    /// The name and the image of each part of the control plane, a line each.
    pub control_plane: String,
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
    /// The first line that the runc says which pods get; empty where there is none.
    pub runc: String,
    /// The words of the command by which containerd runs, one a line; empty where none runs as `containerd.service`.
    pub containerd_command: String,
    /// What that containerd makes of its own configuration (`containerd config dump`).
    pub containerd: String,
    /// What it makes of Sealock's.
    pub containerd_ours: String,
    /// `started` and when containerd was; then when each file of its configuration was written, and its path. In seconds.
    pub containerd_files: String,
    /// `systemctl cat containerd.service`.
    pub containerd_unit: String,
    /// `systemctl cat kubelet.service`.
    pub kubelet_unit: String,
    /// `DropInPaths` of both.
    pub drop_ins: String,
    /// The words of the command by which kubelet runs, one a line; empty where none runs as `kubelet.service`.
    pub kubelet: String,
    /// Where kubelet's flags come from that stay: what kubeadm wrote, and `/etc/default/kubelet`.
    pub kubelet_flags: String,
    /// Names of the variables in `/etc/sysconfig/kubelet`, which goes out of use.
    pub kubelet_variables: String,
    /// kubelet's configuration, YAML.
    pub kubelet_config: String,
    /// Names in containerd's folder of registries, one a line.
    pub registries: String,
}
