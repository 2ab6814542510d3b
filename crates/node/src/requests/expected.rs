//! What a host shows to others, and may ask for: nothing else is signed for it.

use std::fmt;

use crate::kubernetes_certificates::{AuthorityFiles, KUBELET_CLIENT, authority_of};

/// Files below `/etc/kubernetes`.
macro_rules! pki {
    ($name:literal) => {
        Files {
            path: concat!("/etc/kubernetes/", $name, ".crt"),
            request: concat!($name, ".csr"),
            certificate: concat!($name, ".crt"),
            key: concat!($name, ".key"),
        }
    };
}

/// A kubeconfig, which holds the key.
macro_rules! kubeconfig {
    ($path:expr, $name:literal) => {
        Files { path: $path, request: concat!($name, ".csr"), certificate: concat!($name, ".crt"), key: $name }
    };
}

/// What a certificate is used for (extended key usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// `serverAuth`.
    Server,
    /// `clientAuth`.
    Client,
}

impl Usage {
    /// As certificates have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A certificate that a host has, and asks an authority outside for.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Where it stands on the host in the end; a kubeconfig holds it.
    pub path: &'static str,
    /// What kubeadm calls its request, below the folder that it makes requests in.
    pub request: &'static str,
    /// The file beside it in which the certificate is to come back.
    pub certificate: &'static str,
    /// The private key, below the same folder; in a kubeconfig.
    pub(crate) key: &'static str,
    /// Who issues it.
    pub authority: AuthorityFiles,
    /// What it has to be good for.
    pub usages: &'static [Usage],
    /// In whose name.
    pub(super) subject: Subject,
    /// As members of what kubeadm asks for it, one way or the other.
    pub(super) organizations: &'static [&'static [&'static str]],
    /// How others call it, beside the node's own name and addresses.
    pub(super) called: &'static [&'static str],
}

/// The common name of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The same on every host.
    Fixed(&'static str),
    /// The node's own name.
    Node,
    /// The name by which the API server knows the node's kubelet.
    Kubelet,
}

impl Expected {
    /// The common name that the certificate of `node` has.
    pub fn name(&self, node: &str) -> String {
        match self.subject {
            Subject::Fixed(name) => name.to_owned(),
            Subject::Node => node.to_owned(),
            Subject::Kubelet => format!("system:node:{node}"),
        }
    }

    /// Whether names and addresses stand in it: nobody calls a client.
    pub fn is_server(&self) -> bool {
        self.usages.contains(&Usage::Server)
    }
}

/// What a host asks for: a worker for its kubelet's certificate alone. `etcd` is whether a member of etcd runs on it, `super_admin` whether
/// the cluster begins there.
pub fn expected(control_plane: bool, etcd: bool, super_admin: bool) -> Vec<Expected> {
    let asks = |one: &Expected| match one.path {
        KUBELET_CLIENT => true,
        "/etc/kubernetes/super-admin.conf" => control_plane && super_admin,
        path if path.starts_with("/etc/kubernetes/pki/etcd/") || path.ends_with("etcd-client.crt") => {
            control_plane && etcd
        }
        _ => control_plane,
    };
    every().filter(asks).collect()
}

/// The one that stands at `path` in the end.
pub fn expected_at(path: &str) -> Option<Expected> {
    every().find(|one| one.path == path)
}

/// All that any host shows.
pub(crate) fn every() -> impl Iterator<Item = Expected> {
    use Subject::{Fixed, Kubelet, Node};
    const NOBODY: &[&[&str]] = &[&[]];
    const ADMINS: &[&[&str]] = &[&["kubeadm:cluster-admins"]];
    // kubeadm 1.35 makes it an administrator's; later ones give it rights by its name.
    const KUBELET_CLIENTS: &[&[&str]] = &[&[], &["kubeadm:cluster-admins"]];
    const API_SERVER: &[&str] = &["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    const MEMBER: &[&str] = &["localhost", "127.0.0.1", "::1"];
    const BOTH: &[Usage] = &[Usage::Server, Usage::Client];
    const SUPER_ADMIN: Files = kubeconfig!("/etc/kubernetes/super-admin.conf", "super-admin.conf");
    const CONTROLLER_MANAGER: Files = kubeconfig!("/etc/kubernetes/controller-manager.conf", "controller-manager.conf");
    let shown = [
        server(pki!("pki/apiserver"), Fixed("kube-apiserver"), (&[Usage::Server], API_SERVER)),
        client(pki!("pki/apiserver-kubelet-client"), Fixed("kube-apiserver-kubelet-client"), KUBELET_CLIENTS),
        client(pki!("pki/front-proxy-client"), Fixed("front-proxy-client"), NOBODY),
        client(pki!("pki/apiserver-etcd-client"), Fixed("kube-apiserver-etcd-client"), NOBODY),
        server(pki!("pki/etcd/server"), Node, (BOTH, MEMBER)),
        server(pki!("pki/etcd/peer"), Node, (BOTH, MEMBER)),
        client(pki!("pki/etcd/healthcheck-client"), Fixed("kube-etcd-healthcheck-client"), NOBODY),
        client(kubeconfig!("/etc/kubernetes/admin.conf", "admin.conf"), Fixed("kubernetes-admin"), ADMINS),
        client(SUPER_ADMIN, Fixed("kubernetes-super-admin"), &[&["system:masters"]]),
        client(CONTROLLER_MANAGER, Fixed("system:kube-controller-manager"), NOBODY),
        client(kubeconfig!("/etc/kubernetes/scheduler.conf", "scheduler.conf"), Fixed("system:kube-scheduler"), NOBODY),
        client(kubeconfig!(KUBELET_CLIENT, "kubelet.conf"), Kubelet, &[&["system:nodes"]]),
    ];
    shown.into_iter()
}

/// What kubeadm calls a certificate, its request and its key.
struct Files {
    path: &'static str,
    request: &'static str,
    certificate: &'static str,
    key: &'static str,
}

fn client(files: Files, subject: Subject, organizations: &'static [&'static [&'static str]]) -> Expected {
    Expected { organizations, ..server(files, subject, (&[Usage::Client], &[])) }
}

fn server(
    Files { path, request, certificate, key }: Files,
    subject: Subject,
    (usages, called): (&'static [Usage], &'static [&'static str]),
) -> Expected {
    let authority = authority_of(path);
    Expected { path, request, certificate, key, authority, usages, subject, organizations: &[&[]], called }
}
