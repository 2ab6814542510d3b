//! How well a cluster has to be before its nodes go away one after the other. An upgrade that was begun is ended whatever they are like:
//! some of them are away because of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sealock_node::facts::{CertificateFact, HostFacts};
use sealock_node::kubernetes_certificates::BROUGHT;

use super::PlanError;
use super::gate::{Gate, GateFailure, size};
use crate::inventory::Inventory;
use crate::spec::Cluster;

/// What is left to every certificate: an upgrade that is interrupted, looked into and ended some days later does not find one ended.
const CERTIFICATES_LAST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Of one that is made for a short time, this part of it.
const PART: i32 = 3;
/// A snapshot, and the copy of the data that a step back needs.
const COPIES: u64 = 2;

/// How the cluster is, by its own word.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The nodes, each with why it is not Ready, where it is not.
    pub nodes: BTreeMap<String, Option<String>>,
    /// The members of etcd on control planes, by the name of their host, and their versions.
    pub members: BTreeMap<String, String>,
    /// Bytes of etcd's database; nothing where it is elsewhere.
    pub database: u64,
}

/// # Errors
/// [`PlanError::Gates`], with all that is not as it has to be.
pub fn check_health(cluster: &Cluster, inventory: &Inventory, health: &Health) -> Result<(), PlanError> {
    let newest = newest(health.members.values());
    let mut failures = Vec::new();
    for host in cluster.hosts() {
        let name = host.name.as_str();
        failures.extend(ready(name, health));
        failures.extend(health.members.get(name).and_then(|version| same(name, version, newest)));
        let Some(observation) = inventory.hosts.get(name) else { continue };
        if host.is_control_plane() {
            failures.extend(room(name, &observation.facts, health.database));
        }
        let facts = &observation.facts;
        failures.extend(facts.certificates.iter().filter_map(|one| lasting(name, one, facts.clock)));
    }
    if failures.is_empty() { Ok(()) } else { Err(PlanError::Gates(failures)) }
}

fn failure(host: &str, gate: Gate, problem: String, remedy: impl Into<String>) -> GateFailure {
    GateFailure { host: host.to_owned(), gate, problem, remedy: remedy.into() }
}

fn ready(host: &str, health: &Health) -> Option<GateFailure> {
    let problem = match health.nodes.get(host) {
        Some(None) => return None,
        Some(Some(reason)) if reason.is_empty() => "its node is not Ready".to_owned(),
        Some(Some(reason)) => format!("its node is not Ready: {}", reason.escape_debug()),
        None => "the cluster has no node of this name".to_owned(),
    };
    let remedy = "look at kubelet and containerd there (`sealock cluster status`, `systemctl status kubelet`), or take the host out: \
                  `sealock cluster remove`";
    Some(failure(host, Gate::Ready, problem, remedy))
}

fn newest<'a>(versions: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let numbers =
        |version: &&String| -> Vec<u64> { version.split(['.', '-']).map_while(|part| part.parse().ok()).collect() };
    versions.max_by_key(numbers).map(String::as_str)
}

fn same(host: &str, version: &str, newest: Option<&str>) -> Option<GateFailure> {
    let newest = newest.filter(|newest| *newest != version)?;
    let problem =
        format!("its member of etcd is {}, and another one is {}", version.escape_debug(), newest.escape_debug());
    Some(failure(
        host,
        Gate::Members,
        problem,
        "bring all members to one version: `sealock cluster upgrade --components`",
    ))
}

fn room(host: &str, facts: &HostFacts, database: u64) -> Option<GateFailure> {
    let needed = database.saturating_mul(COPIES);
    (facts.disk.free_bytes < needed).then(|| {
        let problem = format!(
            "only {} are free below /var/lib, and {COPIES} copies of etcd's database are {}",
            size(facts.disk.free_bytes),
            size(needed)
        );
        failure(host, Gate::Database, problem, "make room, or shrink the database: `sealock etcd defrag`")
    })
}

fn lasting(host: &str, certificate: &CertificateFact, now: Timestamp) -> Option<GateFailure> {
    let left = certificate.not_after.duration_since(now);
    let lifetime = certificate.not_before.map(|since| certificate.not_after.duration_since(since));
    let wanted = lifetime.map_or(CERTIFICATES_LAST, |lifetime| CERTIFICATES_LAST.min(lifetime / PART));
    (left < wanted).then(|| {
        let path = certificate.path.escape_debug();
        let problem = match left.is_negative() {
            true => format!("the certificate in {path} has ended"),
            false => {
                format!("the certificate in {path} ends in {}, and an upgrade wants {}", lasts(left), lasts(wanted))
            }
        };
        failure(host, Gate::Certificates, problem, renewed_by(certificate))
    })
}

fn lasts(time: SignedDuration) -> String {
    match time.as_hours() {
        hours @ ..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

fn renewed_by(certificate: &CertificateFact) -> &'static str {
    match certificate {
        one if BROUGHT.contains(&one.path.as_str()) => {
            "get another one from who runs etcd, and bring it: `sealock cluster apply`"
        }
        one if one.authority => "replace the authority: `sealock cluster renew --authorities trust`",
        one if one.renewable => "renew it: `sealock cluster renew`",
        _ => "kubelet renews it by itself, and has not: look at `journalctl -u kubelet` there",
    }
}
