//! What hosts lack and OS packages of the release bring, before anything else comes to them.

use std::collections::{BTreeMap, BTreeSet};

use sealock_node::facts::HostFacts;
use sealock_node::step::{OsPackagesAdded, OsPackagesLaidDown};
use sealock_node::time::TimeDaemon;
use sealock_node::{Step, StepKind};

use super::{HostPackages, Phase, Plan};
use crate::inventory::Inventory;
use crate::spec::Cluster;

/// The package that brings a program which keeps the clock.
pub(super) const CLOCK: &str = "chrony";

/// The packages of Debian and Ubuntu that bring what the hosts of `cluster` lack, by host; those without any need are not in it.
pub fn lacking(cluster: &Cluster, inventory: &Inventory) -> BTreeMap<String, BTreeSet<String>> {
    let of_host = |name: &str| {
        let facts = &inventory.hosts.get(name)?.facts;
        let programs = facts.missing_programs.iter().map(|program| package_of(program).to_owned());
        let clock = (cluster.spec().time.is_some() && lacks_clock(facts)).then(|| CLOCK.to_owned());
        // A host without systemd is none that packages make one.
        let all: BTreeSet<String> = programs.chain(clock).filter(|package| package != "systemd").collect();
        (!all.is_empty()).then(|| (name.to_owned(), all))
    };
    cluster.hosts().iter().filter_map(|host| of_host(host.name.as_str())).collect()
}

pub(super) fn lacks_clock(facts: &HostFacts) -> bool {
    facts.time.daemon.is_none() && facts.time.others.is_empty()
}

/// The package of Debian and Ubuntu that brings `program`.
pub(super) fn package_of(program: &str) -> &str {
    match program {
        "ip" => "iproute2",
        "nft" => "nftables",
        "umount" | "losetup" => "mount",
        "modprobe" => "kmod",
        "sysctl" => "procps",
        "systemctl" | "journalctl" => "systemd",
        "nsenter" => "util-linux",
        // What is called like its package.
        other => other,
    }
}

/// Keeps of what was `begun` for each host what brings all that it lacks still; `lacking` is what is left to be asked for. A host that lacks something
/// more by now is asked anew.
pub fn go_on_with(begun: &mut BTreeMap<String, HostPackages>, lacking: &mut BTreeMap<String, BTreeSet<String>>) {
    begun.retain(|host, packages| {
        let lacks = lacking.get(host);
        lacks.is_none_or(|lacks| lacks.iter().all(|package| packages.brings(package)))
    });
    lacking.retain(|host, packages| !packages.is_empty() && !begun.contains_key(host));
}

impl HostPackages {
    fn brings(&self, package: &str) -> bool {
        self.changes.iter().any(|one| one.package == package && one.to.is_some())
    }
}

/// What hosts are like once `packages` have come to them.
pub fn with_needs(inventory: &Inventory, packages: &BTreeMap<String, HostPackages>) -> Inventory {
    let mut inventory = inventory.clone();
    for (name, packages) in packages {
        let comes = |package: &str| packages.brings(package);
        let Some(host) = inventory.hosts.get_mut(name) else { continue };
        host.facts.missing_programs.retain(|program| !comes(package_of(program)));
        if comes(CLOCK) && lacks_clock(&host.facts) {
            host.facts.time.daemon = Some(TimeDaemon::Chrony);
        }
    }
    inventory
}

impl Plan {
    /// The same plan, with what hosts need of `packages` behind the claim of each.
    pub fn with_needs(mut self, packages: &BTreeMap<String, HostPackages>) -> Self {
        for task in self.tasks.iter_mut().filter(|task| Phase::Prepare.has(task)) {
            let Some(packages) = packages.get(&task.host) else { continue };
            let at = task.steps.iter().position(|step| step.id == "claim").map_or(0, |claim| claim + 1);
            task.steps.splice(at..at, steps(packages));
        }
        self
    }

    /// What the plan brings to each of its hosts because they lack it.
    pub fn needs_of_hosts(&self) -> BTreeMap<String, HostPackages> {
        let mut hosts: BTreeMap<String, HostPackages> = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| Phase::Prepare.has(task)) {
            for step in &task.steps {
                match &step.action {
                    StepKind::OsPackagesLaidDown(step) => {
                        hosts.entry(task.host.clone()).or_default().sets.clone_from(&step.sets);
                    }
                    StepKind::OsPackagesAdded(step) => {
                        hosts.entry(task.host.clone()).or_default().changes.clone_from(&step.changes);
                    }
                    _ => {}
                }
            }
        }
        hosts
    }
}

fn steps(packages: &HostPackages) -> [Step; 2] {
    let laid = OsPackagesLaidDown { sets: packages.sets.clone() };
    let added = OsPackagesAdded {
        sets: packages.sets.iter().map(|set| set.name.clone()).collect(),
        contents: laid.contents(),
        changes: packages.changes.clone(),
    };
    [Step::new("os-packages/laid-down", laid), Step::new("os-packages/added", added)]
}
