//! The steps that make a bare host ready for kubeadm.

use std::collections::BTreeMap;

use sealock_node::Step;
use sealock_node::step::{
    Claim, Component, ComponentFile, File, HostsEntry, Image, Images, KernelModule, Mode, Packing, Peer, RoutedNetwork,
    Sysctl, Unit,
};

use super::apply::Context;
use super::{Intent, PlanError};
use crate::release::{Found, Program};
use crate::render::{containerd, units};
use crate::spec::{API_PORT, Cni, Host};

const CONTAINERD: &str = "/usr/local/bin/containerd";
const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";

/// Everything before kubeadm, on `host`.
pub(super) fn steps(context: &Context<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    let mut steps = foundation(context.intent);
    steps.extend(local_proxy(context.intent));
    steps.extend(components(context, host)?);
    steps.extend(container_runtime(context)?);
    steps.push(Step::new("images", Images { images: images(context, host)? }));
    steps.push(kubelet_unit());
    if context.intent.cluster.spec().network.cni == Cni::Routed {
        steps.push(network_step(context, host));
    }
    Ok(steps)
}

fn foundation(intent: &Intent<'_>) -> Vec<Step> {
    let registry = intent.registry;
    let host_name = registry.name.rsplit_once(':').map_or(registry.name.as_str(), |(name, _)| name);
    let forwarding = BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]);
    let mut steps = vec![
        Step::new("claim", Claim { cluster: intent.cluster.name().to_string() }),
        Step::new("kernel-modules", KernelModule { modules: vec!["overlay".into()] }),
        Step::new("sysctl", Sysctl { settings: forwarding }),
    ];
    if host_name != registry.address {
        let entry = HostsEntry { address: registry.address.clone(), names: vec![host_name.into()] };
        steps.push(Step::new("registry/name", entry));
    }
    steps
}

/// The endpoint is each host's own, and all API servers stand behind it.
pub(super) fn local_proxy(intent: &Intent<'_>) -> Vec<Step> {
    let Some(endpoint) = intent.cluster.local_endpoint() else { return Vec::new() };
    let servers: Vec<String> =
        intent.cluster.control_planes().map(|host| format!("{}:{API_PORT}", host.address)).collect();
    let unit = Unit {
        name: "sealock-local-proxy.service".into(),
        content: units::local_proxy(intent.program, endpoint.port(), &servers),
        drop_ins: BTreeMap::new(),
        running: true,
        restart_on: vec![intent.program.into()],
    };
    let name = HostsEntry { address: units::LOCAL_PROXY_ADDRESS.into(), names: vec![endpoint.host().into()] };
    vec![Step::new("local-proxy/unit", unit), Step::new("local-proxy/name", name)]
}

fn components(context: &Context<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    let mut steps = runtime_that_stays(context, host)?;
    steps.push(context.program(host, Program::Kubelet)?);
    steps.push(context.program(host, Program::Kubeadm)?);
    if host.is_control_plane() {
        steps.push(context.program(host, Program::Kubectl)?);
    }
    Ok(steps)
}

/// A component below Kubernetes, and where its files are looked for.
pub(super) struct Part {
    pub(super) program: Program,
    packing: Packing,
    /// Names in the archive, and links.
    files: &'static [(&'static str, &'static str)],
}

/// What runs containers.
pub(super) const RUNTIME: [Part; 3] = [
    Part { program: Program::Runc, packing: Packing::Plain, files: &[("runc", containerd::RUNC)] },
    Part {
        program: Program::Containerd,
        packing: Packing::TarGzip,
        files: &[
            ("bin/containerd", CONTAINERD),
            ("bin/containerd-shim-runc-v2", "/usr/local/bin/containerd-shim-runc-v2"),
            ("bin/ctr", "/usr/local/bin/ctr"),
        ],
    },
    Part {
        program: Program::CniPlugins,
        packing: Packing::TarGzip,
        files: &[
            ("ptp", "/opt/cni/bin/ptp"),
            ("host-local", "/opt/cni/bin/host-local"),
            ("loopback", "/opt/cni/bin/loopback"),
            ("portmap", "/opt/cni/bin/portmap"),
        ],
    },
];

/// What runs containers, as the release has it.
pub(super) fn runtime_of_release(context: &Context<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    RUNTIME.iter().map(|part| context.component(host, part, None)).collect()
}

/// What runs containers, as it is where pods run already, and as the release has it elsewhere: no runtime becomes another one under
/// pods. What the release has no more stays as it is, too.
fn runtime_that_stays(context: &Context<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    let observed = context.inventory.hosts.get(host.name.as_str()).filter(|one| one.is_complete());
    let mut steps = Vec::new();
    for part in &RUNTIME {
        let runs = observed.and_then(|one| one.facts.components.get(part.program.as_str()));
        match context.component(host, part, runs.map(String::as_str)) {
            Ok(step) => steps.push(step),
            Err(PlanError::NotInRelease(_)) if runs.is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(steps)
}

impl Context<'_> {
    /// `program` of Kubernetes, where people look for it.
    pub(super) fn program(&self, host: &Host, program: Program) -> Result<Step, PlanError> {
        let name = program.as_str();
        let version = self.intent.cluster.spec().kubernetes.version.to_string();
        let found = self.release.program(program, self.architecture(host)?, Some(&version))?;
        Ok(component(program, found, Packing::Plain, &[(name, &format!("/usr/bin/{name}"))]))
    }

    /// The newest version of `program` that the release has.
    pub(super) fn newest(&self, host: &Host, program: Program) -> Result<String, PlanError> {
        Ok(self.release.program(program, self.architecture(host)?, None)?.version)
    }

    /// In `version` where one is asked for, else in the newest.
    fn component(&self, host: &Host, part: &Part, version: Option<&str>) -> Result<Step, PlanError> {
        let found = self.release.program(part.program, self.architecture(host)?, version)?;
        Ok(component(part.program, found, part.packing, part.files))
    }
}

fn component(program: Program, found: Found, packing: Packing, files: &[(&str, &str)]) -> Step {
    let files = files.iter().map(|(member, link)| ComponentFile { member: (*member).into(), link: (*link).into() });
    let component = Component {
        name: program.as_str().into(),
        version: found.version,
        artifact: found.artifact,
        packing,
        files: files.collect(),
        staged: false,
    };
    Step::new(format!("component/{}", program.as_str()), component)
}

pub(super) fn container_runtime(context: &Context<'_>) -> Result<Vec<Step>, PlanError> {
    let overrides = &context.intent.cluster.spec().overrides;
    let registry = context.intent.registry;
    let file = |path: &str, content: String| File { path: path.into(), content, mode: Mode::FILE, replaces: None };
    let unit = Unit {
        name: "containerd.service".into(),
        content: units::CONTAINERD.into(),
        drop_ins: BTreeMap::new(),
        running: true,
        restart_on: vec![CONTAINERD_CONFIG.into(), CONTAINERD.into()],
    };
    Ok(vec![
        Step::new("containerd/config", file(CONTAINERD_CONFIG, containerd::config(&context.pause()?, overrides)?)),
        Step::new("containerd/registry-ca", file(containerd::SITE_CA, registry.ca.clone())),
        Step::new("containerd/registry", file(containerd::DEFAULT_HOSTS, containerd::hosts(registry))),
        Step::new("containerd/unit", unit),
    ])
}

fn kubelet_unit() -> Step {
    Step::new("kubelet/unit", kubelet())
}

/// kubelet's unit: it runs once kubeadm has configured it.
pub(super) fn kubelet() -> Unit {
    Unit {
        name: "kubelet.service".into(),
        content: units::KUBELET.into(),
        drop_ins: BTreeMap::from([("10-kubeadm.conf".to_owned(), units::KUBEADM_DROP_IN.to_owned())]),
        running: false,
        restart_on: Vec::new(),
    }
}

/// What runs on the host before any application: a worker needs no control plane.
pub(super) fn images(context: &Context<'_>, host: &Host) -> Result<Vec<Image>, PlanError> {
    const OF_CONTROL_PLANES: [&str; 4] =
        ["/kube-apiserver:", "/kube-controller-manager:", "/kube-scheduler:", "/etcd:"];
    let names = context.intent.kubernetes_images.iter();
    let wanted =
        names.filter(|name| host.is_control_plane() || !OF_CONTROL_PLANES.iter().any(|part| name.contains(part)));
    wanted.map(|name| Ok(context.release.image(name)?)).collect()
}

/// The pod network that comes built in.
pub(super) fn network_step(context: &Context<'_>, host: &Host) -> Step {
    let network = &context.intent.cluster.spec().network;
    let others = context.intent.cluster.hosts().iter().filter(|other| other.name != host.name);
    let network = RoutedNetwork {
        address: host.address.to_string(),
        pods: context.pods_of(host),
        cluster_pods: network.pods.to_string(),
        services: network.services.to_string(),
        mtu: context.smallest_mtu(),
        peers: others.map(|other| Peer { address: other.address.to_string(), pods: context.pods_of(other) }).collect(),
    };
    Step::new("network", network)
}
