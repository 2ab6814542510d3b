//! How well a cluster has to be before its nodes go away one after the other. An upgrade that was begun is ended whatever they are like:
//! some of them are away because of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sealock_node::facts::{CertificateFact, HostFacts};
use sealock_node::kubernetes_certificates::{BROUGHT, KEPT};
use serde_json::Value;

use super::PlanError;
use super::gate::{Gate, GateFailure, size};
use crate::inventory::Inventory;
use crate::spec::{Cluster, Host};

/// What is left to every certificate: an upgrade that is interrupted, looked into and ended some days later does not find one ended.
const CERTIFICATES_LAST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Of those that kubeadm makes for a short time, this part of it.
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
    let own = |host: &Host| health.members.get(host.name.as_str());
    let newest = cluster.control_planes().filter_map(own).filter_map(|version| minor(version)).max();
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
        let time = (facts.clock, made_for(cluster));
        failures.extend(facts.certificates.iter().filter_map(|one| lasting(name, one, time)));
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

/// Major and minor number: patches of one minor version serve together.
fn minor(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn same(host: &str, version: &str, newest: Option<(u64, u64)>) -> Option<GateFailure> {
    let (newest, own) = (newest?, minor(version)?);
    (own < newest).then(|| {
        let problem =
            format!("its member of etcd is {}, and another one is {}.{}", version.escape_debug(), newest.0, newest.1);
        let remedy =
            "bring all members to one minor version of etcd first, by the means by which the others came to theirs";
        failure(host, Gate::Members, problem, remedy)
    })
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

fn lasting(
    host: &str,
    certificate: &CertificateFact,
    (now, made_for): (Timestamp, SignedDuration),
) -> Option<GateFailure> {
    let left = certificate.not_after.duration_since(now);
    let wanted = match certificate {
        // kubelet renews it by itself, later or sooner in its last third.
        one if KEPT.contains(&one.path.as_str()) => SignedDuration::ZERO,
        one if one.renewable => CERTIFICATES_LAST.min(made_for / PART),
        _ => CERTIFICATES_LAST,
    };
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

/// How long those that kubeadm makes hold: what the spec says in whole hours, as people write it (`720h`), else kubeadm's year. When one was made it
/// does not tell: in front of the time that counts stands that of its authority.
fn made_for(cluster: &Cluster) -> SignedDuration {
    let said = cluster.spec().overrides.cluster_configuration.get("certificateValidityPeriod");
    let hours = said.and_then(Value::as_str).and_then(|said| said.split('h').next()?.parse().ok());
    SignedDuration::from_hours(hours.filter(|hours| (1..=1_000_000).contains(hours)).unwrap_or(365 * 24))
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
