//! What concerns one host: what runs containers there, how kubelet is called, and how long certificates last.

use jiff::SignedDuration;
use sealock_node::facts::CertificateFact;

use super::model::Running;
use super::told::HostTold;
use super::{Mismatch, Wanted, containerd, kubelet, mismatch, overrides, unit};
use crate::release::Program;
use crate::render::units::KEPT;
use crate::spec::Host;

/// Certificates that end earlier are renewed before the cluster is taken over, by whoever has it now.
const LASTING: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What of its own folder of registries containerd may have: what Sealock writes there itself.
const REGISTRIES: [&str; 2] = ["_default", "site-ca.crt"];
/// The drop-in of kubelet's unit that kubeadm's packages bring, and Sealock too.
const DROP_IN: &str = "/10-kubeadm.conf";

pub(super) fn compare(running: &Running, host: &Host, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let name = host.name.as_str();
    let Some(told) = running.hosts.get(name) else { return Vec::new() };
    let mut all = of_versions(running, host, wanted);
    all.extend(containerd::compare(name, told));
    all.extend(unit::compare(name, told));
    all.extend(kubelet::compare(name, told));
    if let Some(found) = running.kubelets.get(name) {
        let patch = &wanted.cluster.spec().overrides.kubelet;
        all.extend(overrides::compare(name, "spec.overrides.kubelet", patch, found));
    }
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

/// What others configured besides, and what would go on to hold.
fn of_files(name: &str, told: &HostTold) -> Vec<Mismatch> {
    let drop_ins = told.drop_ins.lines().flat_map(|line| line.trim_start_matches("DropInPaths=").split_whitespace());
    let others = drop_ins.filter(|path| !path.ends_with(DROP_IN) && !path.ends_with(KEPT));
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
