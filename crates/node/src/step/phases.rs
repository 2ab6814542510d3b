//! The phases of kubeadm that a plan is made of, in their order.

/// The phases of `kubeadm init` in their order, as kubeadm 1.35 to 1.37 name them. `upload-certs` is left out: the
/// certificates are uploaded when a further control plane joins, since the key to them is a secret of that join.
pub const INIT_PHASES: &[&str] = &[
    "preflight",
    "certs all",
    "kubeconfig all",
    "etcd local",
    "control-plane all",
    "kubelet-start",
    "wait-control-plane",
    "upload-config all",
    "mark-control-plane",
    "bootstrap-token",
    "kubelet-finalize all",
    "addon all",
];

/// The same where etcd is elsewhere.
pub const EXTERNAL_INIT_PHASES: &[&str] = &[
    "preflight",
    "certs all",
    "kubeconfig all",
    "control-plane all",
    "kubelet-start",
    "wait-control-plane",
    "upload-config all",
    "mark-control-plane",
    "bootstrap-token",
    "kubelet-finalize all",
    "addon all",
];

/// The phases of `kubeadm join` on a worker.
pub const WORKER_JOIN_PHASES: &[&str] = &["preflight", "kubelet-start", "kubelet-wait-bootstrap"];

/// The phases of `kubeadm join` on a further control plane with stacked etcd.
pub const CONTROL_PLANE_JOIN_PHASES: &[&str] = &[
    "preflight",
    "control-plane-prepare all",
    "kubelet-start",
    "etcd-join",
    "kubelet-wait-bootstrap",
    "control-plane-join all",
    "wait-control-plane",
];

/// The same where etcd is elsewhere.
pub const EXTERNAL_JOIN_PHASES: &[&str] = &[
    "preflight",
    "control-plane-prepare all",
    "kubelet-start",
    "kubelet-wait-bootstrap",
    "control-plane-join all",
    "wait-control-plane",
];

/// The phases of `kubeadm upgrade apply`: on the first control plane.
pub const UPGRADE_APPLY_PHASES: &[&str] =
    &["preflight", "control-plane", "upload-config all", "kubelet-config", "bootstrap-token", "post-upgrade"];

/// The phase of `kubeadm upgrade apply` that comes when every control plane is new: before, kubeadm passes it over.
pub const UPGRADE_ADD_ONS: &[&str] = &["addon all"];

/// The phases of `kubeadm upgrade node` on a further control plane.
pub const UPGRADE_CONTROL_PLANE_PHASES: &[&str] = &["preflight", "control-plane", "kubelet-config", "post-upgrade"];

/// The phases of `kubeadm upgrade node` on a worker.
pub const UPGRADE_WORKER_PHASES: &[&str] = &["preflight", "kubelet-config", "post-upgrade"];
