//! What concerns one host: what runs containers there, how kubelet is called, and how long certificates last.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use sealock_node::facts::CertificateFact;
use serde_json::{Value, json};

use super::model::Running;
use super::told::HostTold;
use super::{Mismatch, Wanted, mismatch};
use crate::release::Program;
use crate::spec::Host;

/// Certificates that end earlier are renewed before the cluster is taken over, by whoever has it now.
const LASTING: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What of its own folder of registries containerd may have: what Sealock writes there itself.
const REGISTRIES: [&str; 2] = ["_default", "site-ca.crt"];
/// The drop-in of kubelet's unit that kubeadm's packages bring, and Sealock too.
const DROP_IN: &str = "/10-kubeadm.conf";
/// How kubelet is called on every node of kubeadm.
const CALLED: [&str; 3] = [
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
    "--kubeconfig=/etc/kubernetes/kubelet.conf",
    "--config=/var/lib/kubelet/config.yaml",
];
const RUNTIMES: &str = "/plugins/io.containerd.cri.v1.runtime/containerd/runtimes";

/// What containerd has to find as it was when it is started anew: where it stands, what containerd takes where nothing is said, and what
/// Sealock writes where the spec overrides nothing.
pub(super) const SETTINGS: [(&str, Is, Is); 7] = [
    ("/root", Is::Text("/var/lib/containerd"), Is::Text("/var/lib/containerd")),
    ("/state", Is::Text("/run/containerd"), Is::Text("/run/containerd")),
    ("/grpc/address", Is::Text(SOCKET), Is::Text(SOCKET)),
    ("/plugins/io.containerd.cri.v1.images/snapshotter", Is::Text("overlayfs"), Is::Text("overlayfs")),
    ("/plugins/io.containerd.cri.v1.runtime/cni/conf_dir", Is::Text("/etc/cni/net.d"), Is::Text("/etc/cni/net.d")),
    ("/plugins/io.containerd.cri.v1.runtime/containerd/default_runtime_name", Is::Text("runc"), Is::Text("runc")),
    (
        "/plugins/io.containerd.cri.v1.runtime/containerd/runtimes/runc/options/SystemdCgroup",
        Is::Flag(false),
        Is::Flag(true),
    ),
];
const SOCKET: &str = "/run/containerd/containerd.sock";

/// A value of a setting.
#[derive(Clone, Copy)]
pub(super) enum Is {
    Text(&'static str),
    Flag(bool),
}

impl Is {
    pub(super) fn value(self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Flag(flag) => json!(flag),
        }
    }
}

/// Puts `value` where `pointer` leads in `tree`, and what is needed on the way.
pub(super) fn set(tree: &mut Value, pointer: &str, value: Value) {
    let mut place = tree;
    for name in pointer.split('/').skip(1) {
        place = &mut place[name];
    }
    *place = value;
}

pub(super) fn compare(running: &Running, host: &Host, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let name = host.name.as_str();
    let Some(told) = running.hosts.get(name) else { return Vec::new() };
    let mut all = of_versions(running, host, wanted);
    all.extend(of_containerd(name, told, wanted.containerd));
    all.extend(of_kubelet(name, told));
    all.extend(of_files(name, told));
    all.extend(of_certificates(name, wanted));
    all
}

/// What runs containers on `host`, and in which version, as the release names versions. What does not say so is left out.
pub(super) fn versions(running: &Running, host: &Host) -> Vec<(Program, String)> {
    let name = host.name.as_str();
    let containerd = running.nodes.get(name).and_then(|node| node.runtime.strip_prefix("containerd://"));
    let runc = running.hosts.get(name).and_then(|told| told.runc.trim().strip_prefix("runc version "));
    let found = [(Program::Containerd, containerd), (Program::Runc, runc)];
    found.into_iter().filter_map(|(program, version)| Some((program, named(version?)))).collect()
}

/// `v` and the version. What stands behind a `+` tells builds of one version from each other, in semantic versions as in those of
/// distributions.
fn named(version: &str) -> String {
    let version = version.trim().trim_start_matches('v');
    format!("v{}", version.split_once('+').map_or(version, |(version, _)| version))
}

fn of_versions(running: &Running, host: &Host, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let name = host.name.as_str();
    // That there is no such node is told by whoever compares nodes.
    let Some(runtime) = running.nodes.get(name).map(|node| node.runtime.as_str()) else { return Vec::new() };
    if !runtime.starts_with("containerd://") {
        return vec![mismatch(name, "the container runtime", "only containerd is taken over", runtime)];
    }
    let found = versions(running, host);
    let architecture = wanted.inventory.hosts.get(name).map_or("amd64", |one| one.facts.architecture.as_str());
    let mut all = Vec::new();
    for program in [Program::Containerd, Program::Runc] {
        let field = format!("the version of {}", program.as_str());
        let Some((_, version)) = found.iter().find(|(one, _)| *one == program) else {
            all.push(mismatch(name, &field, "it has to be known", "not told"));
            continue;
        };
        if wanted.release.program(program, architecture, Some(version)).is_err() {
            let has = wanted.release.versions(program, architecture).join(", ");
            let has = if has.is_empty() { "none".to_owned() } else { has };
            let needed =
                format!("release {} has {has}: it stays what it is under running pods", wanted.release.number());
            all.push(mismatch(name, &field, needed, version));
        }
    }
    all
}

/// What containerd has in use has to be what it finds when it is started anew, or pods would be lost to it.
fn of_containerd(name: &str, told: &HostTold, ours: &str) -> Vec<Mismatch> {
    if told.containerd.trim().is_empty() {
        let wanted = "it has to run as containerd.service";
        return vec![mismatch(name, "containerd", wanted, "not there under that name")];
    }
    let (Ok(found), Ok(ours)) = (toml::from_str::<Value>(&told.containerd), toml::from_str::<Value>(ours)) else {
        return vec![mismatch(name, "containerd's configuration", "it has to be understood", "no TOML")];
    };
    let mut all = Vec::new();
    for (pointer, default, _) in &SETTINGS {
        let default = default.value();
        let wanted = ours.pointer(pointer).unwrap_or(&default);
        let is = found.pointer(pointer).unwrap_or(&default);
        if wanted != is {
            let field = format!("containerd's {}", pointer.trim_start_matches('/').replace('/', "."));
            all.push(mismatch(
                name,
                &field,
                format_args!("Sealock would write {wanted}: see `overrides.containerd`"),
                is,
            ));
        }
    }
    let handlers = |config: &Value| -> BTreeSet<String> {
        config.pointer(RUNTIMES).and_then(Value::as_object).map(|all| all.keys().cloned().collect()).unwrap_or_default()
    };
    let more = handlers(&found).difference(&handlers(&ours)).cloned().collect::<Vec<_>>();
    all.extend(more.iter().map(|handler| {
        let wanted = "Sealock would write none of that name: see `overrides.containerd`";
        mismatch(name, "a runtime handler of containerd", wanted, handler)
    }));
    all
}

/// A flag that nothing says but a unit of others would be lost.
fn of_kubelet(name: &str, told: &HostTold) -> Vec<Mismatch> {
    if told.kubelet.trim().is_empty() {
        return vec![mismatch(name, "kubelet", "it has to run as kubelet.service", "not there under that name")];
    }
    let stays = |word: &&str| CALLED.contains(word) || told.kubelet_flags.contains(*word);
    let lost = told.kubelet.lines().map(str::trim).skip(1).filter(|word| !word.is_empty()).filter(|word| !stays(word));
    lost.map(|word| {
        let wanted = "only its unit says so: put it into KUBELET_EXTRA_ARGS in /etc/default/kubelet";
        mismatch(name, "a flag of kubelet", wanted, word)
    })
    .collect()
}

/// What others configured besides, and what would go on to hold.
fn of_files(name: &str, told: &HostTold) -> Vec<Mismatch> {
    let drop_ins = told.drop_ins.lines().flat_map(|line| line.trim_start_matches("DropInPaths=").split_whitespace());
    let others = drop_ins.filter(|path| !path.ends_with(DROP_IN));
    let mut all: Vec<Mismatch> = others
        .map(|path| mismatch(name, "a drop-in of a unit", "it would go on to change what Sealock's unit says", path))
        .collect();
    let registries = told.registries.split_whitespace().filter(|registry| !REGISTRIES.contains(registry));
    all.extend(registries.map(|registry| {
        let wanted = "it would lead past the site's registry";
        mismatch(name, "a registry of containerd", wanted, format_args!("/etc/containerd/certs.d/{registry}"))
    }));
    all
}

fn of_certificates(name: &str, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let Some(observation) = wanted.inventory.hosts.get(name) else { return Vec::new() };
    // kubelet makes its own anew long before they end.
    let left = |one: &CertificateFact| if one.renewable || one.authority { LASTING } else { SignedDuration::ZERO };
    let ending = observation.facts.certificates.iter();
    let ending = ending.filter(|one| one.not_after.duration_since(wanted.now) < left(one));
    ending
        .map(|one| {
            let needed = "it has to last 30 days: renew it first";
            mismatch(name, &format!("the end of {}", one.path), needed, one.not_after)
        })
        .collect()
}
