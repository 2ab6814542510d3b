//! Gates: conditions of a host that a plan is not bound to, but that have to hold before anything is changed. They are
//! read again at apply.

use std::collections::BTreeSet;
use std::fmt;

use sealock_node::facts::{Cgroup, HostFacts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PlanError;
use super::apply::check_owners;
use super::external::check_not_moved;
use super::needs::{CLOCK, lacks_clock, package_of};
use super::os_packages::system_of;
use crate::inventory::{Inventory, Observation, host_words};
use crate::spec::{Cluster, KubernetesVersion, Overrides};

/// Free bytes below `/var/lib` where the spec says nothing.
const MINIMUM_FREE_DISK: u64 = 10 << 30;
/// Below this kubeadm refuses a control plane (its preflight check `Mem`).
const MINIMUM_MEMORY: u64 = 1700 << 20;
/// Certificates are valid from their making: a joining node whose clock is behind by more would find them not yet valid.
/// kubeadm backdates by five minutes.
const MAXIMUM_SKEW_MS: i64 = 60_000;

/// Where kubelet and kube-proxy listen.
const NODE_PORTS: &[u16] = &[10248, 10249, 10250, 10256];
/// Where the API server, the controller manager and the scheduler listen.
const CONTROL_PLANE_PORTS: &[u16] = &[6443, 10257, 10259];
/// Where a member of etcd listens.
const ETCD_PORTS: &[u16] = &[2379, 2380, 2381];

/// A condition of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// No swap, unless kubelet is told to live with it.
    Swap,
    /// Room below `/var/lib`.
    Disk,
    /// The clock agrees with the station's.
    Clock,
    /// A program that can be told of the site's time servers, and no other that sets the clock.
    Time,
    /// Control groups that kubelet takes.
    Cgroup,
    /// Enough memory.
    Memory,
    /// The programs that steps and kubeadm need.
    Programs,
    /// The address of the spec is the host's.
    Address,
    /// Nobody else listens where Kubernetes will.
    Ports,
    /// The kernel has the modules.
    Modules,
    /// The host knows the name by which the API is to be reached.
    Name,
    /// Its node is Ready.
    Ready,
    /// Its member of etcd has the minor version of the others.
    Members,
    /// Room for copies of etcd's database.
    Database,
    /// Its certificates hold for some time yet.
    Certificates,
}

/// A condition that is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateFailure {
    /// The host.
    pub host: String,
    /// The condition.
    pub gate: Gate,
    /// What was found.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for GateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.problem)
    }
}

/// How much is asked of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Everything, and a program that keeps the clock, where the spec says from whom: hosts are told.
    Prepare,
    /// Everything that a change of any kind needs. Whoever keeps the clock of a node is in nobody's way who mends it.
    Change,
    /// As to prepare, of a cluster that runs and is to be taken over as it is: nothing comes from the release before that.
    TakeOver,
    /// Nothing: hosts are given back.
    Release,
}

/// Every host is free or ours, and fit to be changed.
pub(super) fn check_fit(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    check_fit_to(Strictness::Change, cluster, inventory)
}

/// Every host is free or ours, and fit to be made ready for Kubernetes.
pub(super) fn check_fit_to_prepare(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    check_fit_to(Strictness::Prepare, cluster, inventory)
}

fn check_fit_to(strictness: Strictness, cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    check_owners(cluster, inventory)?;
    check_not_moved(cluster, inventory)?;
    let failures = check_gates(cluster, inventory, strictness);
    if failures.is_empty() { Ok(()) } else { Err(PlanError::Gates(failures)) }
}

/// Every condition that is not met.
pub fn check_gates(cluster: &Cluster, inventory: &Inventory, strictness: Strictness) -> Vec<GateFailure> {
    if strictness == Strictness::Release {
        return Vec::new();
    }
    let is_told = matches!(strictness, Strictness::Prepare | Strictness::TakeOver);
    let mut failures = Vec::new();
    for host in cluster.hosts() {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        let (name, address, spec) = (host.name.to_string(), host.address.to_string(), cluster.spec());
        let asked = (host.is_control_plane(), &spec.overrides);
        let of_machine = of_machine(&name, &observation.facts, asked, spec.kubernetes.version);
        let seen_from_here = [
            clock(observation),
            time(is_told && spec.time.is_some(), &observation.facts),
            own_address(&address, &observation.facts),
            etcd_ports(
                host.is_control_plane() && cluster.external_etcd().is_none(),
                &spec.overrides,
                &observation.facts,
            ),
        ];
        let all = of_machine.into_iter().chain(seen_from_here.into_iter().flatten().map(failure(&name)));
        match strictness {
            Strictness::TakeOver => failures.extend(all),
            _ => failures.extend(all.map(|failure| or_by_release(failure, &observation.facts))),
        }
    }
    failures
}

/// The conditions of a machine by itself that are not met.
pub(crate) fn of_machine(
    name: &str,
    facts: &HostFacts,
    (control_plane, overrides): (bool, &Overrides),
    version: KubernetesVersion,
) -> Vec<GateFailure> {
    let found = [
        swap(overrides, facts),
        disk(overrides, facts),
        cgroup(overrides, facts, version),
        control_plane.then(|| memory(overrides, facts)).flatten(),
        programs(facts),
        ports(control_plane, overrides, facts),
        modules(facts),
    ];
    found.into_iter().flatten().map(failure(name)).collect()
}

/// Whether `address` is not the machine's own.
pub(crate) fn address_of_machine(name: &str, address: &str, facts: &HostFacts) -> Option<GateFailure> {
    own_address(address, facts).map(failure(name))
}

fn failure(host: &str) -> impl Fn((Gate, String, String)) -> GateFailure {
    move |(gate, problem, remedy)| GateFailure { host: host.to_owned(), gate, problem, remedy }
}

type Failed = Option<(Gate, String, String)>;

fn swap(overrides: &Overrides, facts: &HostFacts) -> Failed {
    let tolerated = overrides.kubelet.get("failSwapOn") == Some(&Value::Bool(false));
    (facts.swap_bytes > 0 && !tolerated).then(|| {
        let problem = format!("swap is on ({})", size(facts.swap_bytes));
        let remedy = "turn swap off now (`swapoff -a`) and in /etc/fstab, or set `overrides.kubelet.failSwapOn: false`";
        (Gate::Swap, problem, remedy.into())
    })
}

fn disk(overrides: &Overrides, facts: &HostFacts) -> Failed {
    let minimum = overrides.minimum_free_disk_bytes.unwrap_or(MINIMUM_FREE_DISK);
    (facts.disk.free_bytes < minimum).then(|| {
        let problem =
            format!("only {} are free below /var/lib, and {} are needed", size(facts.disk.free_bytes), size(minimum));
        (Gate::Disk, problem, "make room, or set `overrides.minimumFreeDiskBytes` if you know better".into())
    })
}

fn clock(observation: &Observation) -> Failed {
    let ahead = observation.clock_ahead_ms;
    (ahead.abs() > MAXIMUM_SKEW_MS).then(|| {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        let problem = format!("its clock is {} s {direction} the station's", ahead.abs() / 1000);
        (
            Gate::Clock,
            problem,
            "set the clocks of host and station from the same source: certificates depend on it".into(),
        )
    })
}

/// Asked only where a plan tells hosts whom to ask for the time.
fn time(is_told: bool, facts: &HostFacts) -> Failed {
    if !is_told {
        return None;
    }
    let others = host_words(&facts.time.others.join(", "));
    let (problem, remedy) = match facts.time.daemon {
        Some(_) if others.is_empty() => return None,
        Some(daemon) => (
            format!("its clock is set by {daemon} and by {others}"),
            format!("stop and disable {others} there, so that one program sets the clock"),
        ),
        None if others.is_empty() => (
            "it has neither chrony nor systemd-timesyncd, and `spec.time` says from whom it is to get its time"
                .to_owned(),
            format!("install {CLOCK} there"),
        ),
        None => (
            format!("its clock is set by {others}, which Sealock cannot tell of the servers in `spec.time`"),
            format!("install chrony there in the place of {others}"),
        ),
    };
    Some((Gate::Time, problem, remedy))
}

fn cgroup(overrides: &Overrides, facts: &HostFacts, version: KubernetesVersion) -> Failed {
    let tolerated = overrides.kubelet.get("failCgroupV1") == Some(&Value::Bool(false));
    // kubelet refuses from 1.35 on.
    let refused = facts.cgroup == Cgroup::V1 && version.minor() >= 35 && !tolerated;
    refused.then(|| {
        let remedy = "boot with systemd.unified_cgroup_hierarchy=1, or set `overrides.kubelet.failCgroupV1: false`";
        (Gate::Cgroup, "it has control groups of version 1, which kubelet refuses".into(), remedy.into())
    })
}

fn memory(overrides: &Overrides, facts: &HostFacts) -> Failed {
    let ignored = overrides.ignore_preflight_errors.iter().any(|check| check == "Mem" || check == "all");
    (facts.memory_bytes < MINIMUM_MEMORY && !ignored).then(|| {
        let problem =
            format!("{} of memory, and a control plane needs {}", size(facts.memory_bytes), size(MINIMUM_MEMORY));
        (Gate::Memory, problem, "give the host more memory".into())
    })
}

fn programs(facts: &HostFacts) -> Failed {
    (!facts.missing_programs.is_empty()).then(|| {
        let (names, packages) = (facts.missing_programs.join(", "), packages_of(&facts.missing_programs));
        let remedy = format!("install {packages} there (the packages of Debian and Ubuntu that bring {names})");
        (Gate::Programs, format!("it lacks {names}"), remedy)
    })
}

fn ports(control_plane: bool, overrides: &Overrides, facts: &HostFacts) -> Failed {
    let planes = if control_plane { CONTROL_PLANE_PORTS } else { &[] };
    taken(NODE_PORTS.iter().chain(planes), overrides, facts)
}

/// Where the members of etcd listen that a cluster's control planes have.
fn etcd_ports(control_plane: bool, overrides: &Overrides, facts: &HostFacts) -> Failed {
    if control_plane { taken(ETCD_PORTS, overrides, facts) } else { None }
}

fn taken<'a>(ports: impl IntoIterator<Item = &'a u16>, overrides: &Overrides, facts: &HostFacts) -> Failed {
    let ignored = |port: u16| {
        let check = format!("Port-{port}");
        overrides.ignore_preflight_errors.iter().any(|one| *one == check || one == "all")
    };
    let taken = ports.into_iter().filter_map(|port| Some((*port, facts.obstacles.ports.get(port)?)));
    let taken = taken.filter(|(port, _)| !ignored(*port));
    let taken: Vec<String> =
        taken.map(|(port, program)| format!("{port} ({})", or_unknown(program).escape_debug())).collect();
    (!taken.is_empty()).then(|| {
        let problem = format!("somebody else listens on TCP ports that Kubernetes needs: {}", taken.join(", "));
        (Gate::Ports, problem, "stop the programs that listen there, or choose another host".into())
    })
}

fn or_unknown(program: &str) -> &str {
    if program.is_empty() { "not said by whom" } else { program }
}

fn modules(facts: &HostFacts) -> Failed {
    let missing = &facts.obstacles.missing_modules;
    (!missing.is_empty()).then(|| {
        let names = missing.join(", ");
        let remedy = format!(
            "install the package with the modules of kernel {}, or boot the kernel that is installed",
            facts.kernel
        );
        (Gate::Modules, format!("its kernel, {}, has no module {names}", facts.kernel), remedy)
    })
}

/// The packages of Debian and Ubuntu that bring `programs`, each once.
fn packages_of(programs: &[String]) -> String {
    let packages: BTreeSet<&str> = programs.iter().map(|program| package_of(program)).collect();
    packages.into_iter().collect::<Vec<_>>().join(", ")
}

/// The same failure; of what a host lacks, also how a station brings it.
fn or_by_release(mut failure: GateFailure, facts: &HostFacts) -> GateFailure {
    let packages = match failure.gate {
        Gate::Programs => packages_of(&facts.missing_programs),
        Gate::Time if lacks_clock(facts) => CLOCK.to_owned(),
        _ => return failure,
    };
    failure.remedy += &by_release(&packages, facts);
    failure
}

/// How the release could bring `packages` to such a host, in words.
fn by_release(packages: &str, facts: &HostFacts) -> String {
    /// Those whose packages are not apt's, by what `/etc/os-release` calls them.
    const OTHERS: [&str; 9] = ["almalinux", "amzn", "centos", "fedora", "ol", "opensuse-leap", "rhel", "rocky", "sles"];
    if OTHERS.contains(&facts.os.id.as_str()) {
        return "; Sealock brings packages of the release to hosts with apt alone".to_owned();
    }
    let system = system_of(facts).escape_debug().to_string();
    format!(
        "; or carry a bundle that has {packages} in a set `{system}` of its `osPackages`: `cluster apply` brings it then, or `cluster restore` where the cluster is made again"
    )
}

fn own_address(address: &str, facts: &HostFacts) -> Failed {
    let is_it = |with_prefix: &String| with_prefix.split('/').next() == Some(address);
    (!facts.network.addresses.iter().any(is_it)).then(|| {
        let problem = format!("{address} is none of its addresses ({})", facts.network.addresses.join(", "));
        (Gate::Address, problem, "put the host's own address on the segment into the spec".into())
    })
}

pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= 10 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes / MIB) }
}
