//! The steps that make a bare host ready for kubeadm.

use std::collections::BTreeMap;

use sealock_node::request::Registry;
use sealock_node::step::{
    Claim, Component, ComponentFile, File, HostsEntry, Image, Images, KernelModule, Mode, Packing, Peer, RoutedNetwork,
    Sysctl, TimeServers, Unit,
};
use sealock_node::{Step, StepKind};
use sealock_trust::Digest;

use super::apply::Context;
use super::{Intent, PlanError};
use crate::release::{Found, Program, ReleaseView};
use crate::render::{containerd, units};
use crate::spec::{API_PORT, Cni, Host, Overrides};

const CONTAINERD: &str = "/usr/local/bin/containerd";
const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
const CONTAINERD_UNIT: &str = "/etc/systemd/system/containerd.service";
const KUBELET_FILES: [&str; 2] =
    ["/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"];
/// By these files kubelet is what it is: it is started anew where one of them changes.
pub(super) const KUBELET_READS: [&str; 3] =
    ["/usr/bin/kubelet", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"];

/// An answer comes in seconds, or not: the site's server may be just starting.
const TIME_SECONDS: u32 = 60;

/// The steps by which a host comes to know of the others.
pub(super) const NETWORK: &str = "network";
pub(crate) const TIME: &str = "time";
pub(super) const PROXY_UNIT: &str = "local-proxy/unit";
pub(super) const PROXY_NAME: &str = "local-proxy/name";

/// What a machine is to be prepared for, whoever asks: a cluster's plan, or the machine's own operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Whom the machine is claimed for.
    pub(crate) claim: &'a str,
    /// The Kubernetes version, like `v1.36.3`.
    pub(crate) kubernetes: &'a str,
    /// Whether a control plane is to run on it.
    pub(crate) control_plane: bool,
    /// As OCI platforms have it.
    pub(crate) architecture: &'a str,
    /// What the site serves.
    pub(crate) release: ReleaseView<'a>,
    /// Where the site serves it.
    pub(crate) registry: &'a Registry,
    /// The images that this version's kubeadm asks for, by full name.
    pub(crate) images: &'a [String],
    /// What is done differently.
    pub(crate) overrides: &'a Overrides,
    /// The versions of components on a machine where pods run already: no runtime becomes another one under them.
    pub(crate) running: Option<&'a BTreeMap<String, String>>,
    /// Files that others put where Sealock's would stand, by digest.
    pub(crate) others: &'a BTreeMap<String, Digest>,
    /// Whether a node is taken over that others made: where to look for its authority, and what stands in the way is kept aside.
    pub(crate) takes_over: Option<&'a str>,
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

/// Everything before kubeadm, on `host`.
pub(super) fn steps(context: &Context<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    let wanted = context.wanted(host)?;
    let mut steps = wanted.foundation();
    steps.extend(time(context, host)?);
    steps.extend(local_proxy(context.intent));
    steps.extend(wanted.software()?);
    if context.intent.cluster.spec().network.cni == Cni::Routed {
        steps.push(network_step(context, host));
    }
    Ok(steps)
}

/// From whom `host` gets its time, where the spec says so. Certificates are made after it.
pub(super) fn time(context: &Context<'_>, host: &Host) -> Result<Option<Step>, PlanError> {
    let servers = context.intent.cluster.time_servers();
    let observation = context.inventory.hosts.get(host.name.as_str());
    let facts = &observation.ok_or_else(|| PlanError::NotObserved { host: host.name.to_string() })?.facts;
    // A host without any was refused by its gate.
    let daemon = facts.time.daemon.filter(|_| !servers.is_empty());
    Ok(daemon.map(|daemon| Step::new(TIME, TimeServers { servers, daemon, timeout_seconds: TIME_SECONDS })))
}

/// Everything before kubeadm, on a machine that no station drives.
pub(crate) fn alone(wanted: &Wanted<'_>) -> Result<Vec<Step>, PlanError> {
    let mut steps = wanted.foundation();
    steps.extend(wanted.software()?);
    Ok(steps)
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
        replaces: BTreeMap::new(),
    };
    let name = HostsEntry { address: units::LOCAL_PROXY_ADDRESS.into(), names: vec![endpoint.host().into()] };
    vec![Step::new(PROXY_UNIT, unit), Step::new(PROXY_NAME, name)]
}

impl Context<'_> {
    /// What others put where Sealock's files would stand.
    fn others(&self, host: &Host) -> Result<&BTreeMap<String, Digest>, PlanError> {
        let observation = self.inventory.hosts.get(host.name.as_str());
        let observation = observation.ok_or_else(|| PlanError::NotObserved { host: host.name.to_string() })?;
        Ok(&observation.facts.foreign)
    }

    /// What `host` is to be prepared for.
    pub(super) fn wanted(&self, host: &Host) -> Result<Wanted<'_>, PlanError> {
        let Intent { cluster, registry, kubernetes_images, .. } = *self.intent;
        let node = self.inventory.hosts.get(host.name.as_str()).filter(|one| one.is_complete());
        Ok(Wanted {
            claim: cluster.name().as_str(),
            kubernetes: &self.version,
            control_plane: host.is_control_plane(),
            architecture: self.architecture(host)?,
            release: self.release,
            registry,
            images: kubernetes_images,
            overrides: &cluster.spec().overrides,
            running: node.map(|one| &one.facts.components),
            others: self.others(host)?,
            takes_over: None,
        })
    }
}

impl Wanted<'_> {
    pub(super) fn foundation(&self) -> Vec<Step> {
        let registry = self.registry;
        let host_name = registry.name.rsplit_once(':').map_or(registry.name.as_str(), |(name, _)| name);
        let forwarding = BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]);
        let mut steps = vec![
            Step::new("claim", Claim { cluster: self.claim.to_owned(), running: self.takes_over.map(str::to_owned) }),
            Step::new("kernel-modules", KernelModule { modules: vec!["overlay".into()] }),
            Step::new("sysctl", Sysctl { settings: forwarding }),
        ];
        if host_name != registry.address {
            let entry = HostsEntry { address: registry.address.clone(), names: vec![host_name.into()] };
            steps.push(Step::new("registry/name", entry));
        }
        steps
    }

    pub(super) fn software(&self) -> Result<Vec<Step>, PlanError> {
        let mut steps = self.runtime_that_stays()?;
        steps.push(self.program(Program::Kubelet)?);
        steps.push(self.program(Program::Kubeadm)?);
        if self.control_plane {
            steps.push(self.program(Program::Kubectl)?);
        }
        steps.extend(self.container_runtime()?);
        steps.push(Step::new("images", Images { images: self.images()? }));
        steps.push(Step::new("kubelet/unit", self.kubelet()));
        Ok(steps)
    }

    /// What runs containers, as the release has it.
    pub(super) fn runtime_of_release(&self) -> Result<Vec<Step>, PlanError> {
        RUNTIME.iter().filter(|part| !self.is_others(part)).map(|part| self.part(part, None)).collect()
    }

    /// What runs containers, as it is where pods run already, and as the release has it elsewhere. What the release has no more stays as it
    /// is, too.
    fn runtime_that_stays(&self) -> Result<Vec<Step>, PlanError> {
        let mut steps = Vec::new();
        for part in RUNTIME.iter().filter(|part| !self.is_others(part)) {
            let runs = self.running.and_then(|running| running.get(part.program.as_str()));
            match self.part(part, runs.map(String::as_str)) {
                Ok(step) => steps.push(step),
                Err(PlanError::NotInRelease(_)) if runs.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(steps)
    }

    /// The plugins of a pod network that somebody else brought to a node go on being theirs: they are called by it, and changed by it.
    fn is_others(&self, part: &Part) -> bool {
        let is_there = |(_, link): &(&str, &str)| self.others.contains_key(*link);
        part.program == Program::CniPlugins && self.running.is_some() && part.files.iter().any(is_there)
    }

    /// What stands at `paths` and is kept aside.
    fn aside<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> BTreeMap<String, Digest> {
        let paths = paths.into_iter().filter(|_| self.takes_over.is_some());
        paths.filter_map(|path| Some((path.to_owned(), self.others.get(path)?.clone()))).collect()
    }

    /// kubelet's unit: it runs once kubeadm has configured it. Of a node that is taken over it runs already, and is started anew.
    fn kubelet(&self) -> Unit {
        let unit = kubelet();
        if self.takes_over.is_none() {
            return unit;
        }
        Unit {
            running: true,
            restart_on: KUBELET_READS.map(ToOwned::to_owned).to_vec(),
            replaces: self.aside(KUBELET_FILES),
            ..unit
        }
    }

    /// Programs, and where it becomes another Kubernetes images, beside what goes on to run.
    pub(crate) fn staged(&self, becomes_another: bool) -> Result<Vec<Step>, PlanError> {
        let mut steps = self.runtime_of_release()?;
        for program in programs_of(self.control_plane) {
            steps.push(self.program(*program)?);
        }
        for step in &mut steps {
            if let StepKind::Component(Component { staged, .. }) = &mut step.action {
                *staged = true;
            }
        }
        // Of the Kubernetes that runs they are there; and a runtime that does not start is to be replaced, not asked.
        if becomes_another {
            steps.push(Step::new("images", Images { images: self.images()? }));
        }
        Ok(steps)
    }

    /// Runtime and kubelet of a node that becomes another Kubernetes, behind kubeadm.
    pub(crate) fn kubelet_of_release(&self) -> Result<Vec<Step>, PlanError> {
        let mut steps = self.runtime_of_release()?;
        steps.extend(self.container_runtime()?);
        for program in programs_of(self.control_plane).iter().filter(|program| **program != Program::Kubeadm) {
            steps.push(self.program(*program)?);
        }
        let restart_on = KUBELET_READS.map(ToOwned::to_owned).to_vec();
        steps.push(Step::new("kubelet/unit", Unit { running: true, restart_on, ..kubelet() }));
        Ok(steps)
    }

    /// What is below a Kubernetes that stays: containerd is started anew where it has become another one; pods go on meanwhile. Behind it,
    /// it has all images that the node needs.
    pub(crate) fn components_of_release(&self) -> Result<Vec<Step>, PlanError> {
        let mut steps = self.runtime_of_release()?;
        steps.extend(self.container_runtime()?);
        steps.push(Step::new("images", Images { images: self.images()? }));
        Ok(steps)
    }

    /// `program` of Kubernetes, where people look for it.
    pub(crate) fn program(&self, program: Program) -> Result<Step, PlanError> {
        let name = program.as_str();
        let found = self.release.program(program, self.architecture, Some(self.kubernetes))?;
        Ok(self.component(program, found, Packing::Plain, &[(name, &format!("/usr/bin/{name}"))]))
    }

    /// The newest version of `program` that the release has.
    pub(crate) fn newest(&self, program: Program) -> Result<String, PlanError> {
        Ok(self.release.program(program, self.architecture, None)?.version)
    }

    fn component(&self, program: Program, found: Found, packing: Packing, files: &[(&str, &str)]) -> Step {
        let replaces = self.aside(files.iter().map(|(_, link)| *link));
        let files = files.iter().map(|(member, link)| ComponentFile { member: (*member).into(), link: (*link).into() });
        let component = Component {
            name: program.as_str().into(),
            version: found.version,
            artifact: found.artifact,
            packing,
            files: files.collect(),
            staged: false,
            replaces,
        };
        Step::new(format!("component/{}", program.as_str()), component)
    }

    /// In `version` where one is asked for, else in the newest.
    fn part(&self, part: &Part, version: Option<&str>) -> Result<Step, PlanError> {
        let found = self.release.program(part.program, self.architecture, version)?;
        Ok(self.component(part.program, found, part.packing, part.files))
    }

    /// containerd's configuration and unit.
    pub(super) fn container_runtime(&self) -> Result<Vec<Step>, PlanError> {
        let registry = self.registry;
        let file = |path: &str, content: String| {
            let replaces = self.aside([path]).remove(path);
            File { path: path.into(), content, mode: Mode::FILE, replaces }
        };
        let unit = Unit {
            name: "containerd.service".into(),
            content: units::CONTAINERD.into(),
            drop_ins: BTreeMap::new(),
            running: true,
            restart_on: vec![CONTAINERD_CONFIG.into(), CONTAINERD.into()],
            replaces: self.aside([CONTAINERD_UNIT]),
        };
        let config = containerd::config(self.pause()?, self.overrides)?;
        Ok(vec![
            Step::new("containerd/config", file(CONTAINERD_CONFIG, config)),
            Step::new("containerd/registry-ca", file(containerd::SITE_CA, registry.ca.clone())),
            Step::new("containerd/registry", file(containerd::DEFAULT_HOSTS, containerd::hosts(registry))),
            Step::new("containerd/unit", unit),
        ])
    }

    fn pause(&self) -> Result<&str, PlanError> {
        let found = self.images.iter().find(|name| name.contains("/pause:"));
        found.map(String::as_str).ok_or_else(|| PlanError::NoPauseImage { version: self.kubernetes.to_owned() })
    }

    /// What runs on the machine before any application: a worker needs no control plane.
    pub(super) fn images(&self) -> Result<Vec<Image>, PlanError> {
        const OF_CONTROL_PLANES: [&str; 4] =
            ["/kube-apiserver:", "/kube-controller-manager:", "/kube-scheduler:", "/etcd:"];
        let names = self.images.iter();
        let wanted =
            names.filter(|name| self.control_plane || !OF_CONTROL_PLANES.iter().any(|part| name.contains(part)));
        wanted.map(|name| Ok(self.release.image(name)?)).collect()
    }
}

/// What a node has of Kubernetes itself.
fn programs_of(control_plane: bool) -> &'static [Program] {
    if control_plane {
        &[Program::Kubelet, Program::Kubeadm, Program::Kubectl]
    } else {
        &[Program::Kubelet, Program::Kubeadm]
    }
}

/// kubelet's unit: it runs once kubeadm has configured it.
pub(super) fn kubelet() -> Unit {
    Unit {
        name: "kubelet.service".into(),
        content: units::KUBELET.into(),
        drop_ins: BTreeMap::from([("10-kubeadm.conf".to_owned(), units::KUBEADM_DROP_IN.to_owned())]),
        running: false,
        restart_on: Vec::new(),
        replaces: BTreeMap::new(),
    }
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
    Step::new(NETWORK, network)
}
