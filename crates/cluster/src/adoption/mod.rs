//! Taking over a cluster that kubeadm made and Sealock did not: what it says of itself, and where that is not what the spec says.
//!
//! Nothing here asks anybody: the words of the cluster and of its hosts go in ([`Told`]), and every difference that cannot be taken over
//! comes out ([`Mismatch`]).

mod cluster;
pub(crate) mod containerd;
mod draft;
mod host;
mod kubelet;
mod model;
mod nodes;
mod overrides;
mod told;
mod unit;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use draft::{draft, nodes_of};
pub use model::Running;
pub use told::{HostTold, Told};

use crate::inventory::Inventory;
use crate::release::ReleaseView;
use crate::spec::{Cluster, Host};

/// Where a running cluster is not what the spec says, or not what Sealock can take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mismatch {
    /// The host, or the word `cluster`.
    pub at: String,
    /// The field of the spec, or what else is meant.
    pub field: String,
    /// What it would have to be.
    pub wanted: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, field, wanted, found } = self;
        write!(f, "{at}: {field} is {found}, and {wanted}")
    }
}

/// What becomes something else by being taken over, and is no obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it is.
    pub field: String,
    /// What it was.
    pub was: String,
    /// What it becomes.
    pub becomes: String,
    /// Where.
    pub hosts: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, was, becomes, hosts } = self;
        write!(f, "{field} is {was}, and becomes {becomes} ({})", hosts.join(", "))
    }
}

/// What the cluster and its hosts are held against.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the spec says.
    pub cluster: &'a Cluster,
    /// What the hosts say about themselves.
    pub inventory: &'a Inventory,
    /// What the site serves.
    pub release: ReleaseView<'a>,
    /// The station's clock.
    pub now: Timestamp,
}

/// Every difference between `running` and what is wanted, in the order of the spec; none where it can be taken over.
pub fn compare(running: &Running, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let mut found = cluster::compare(running, wanted.cluster);
    found.extend(nodes::compare(running, wanted));
    for host in wanted.cluster.hosts() {
        found.extend(host::compare(running, host, wanted));
    }
    found
}

/// The versions of what runs containers on `host`, as the release calls them.
pub fn runtime_of(running: &Running, host: &Host) -> BTreeMap<String, String> {
    host::versions(running, host).into_iter().map(|(program, version)| (program.as_str().to_owned(), version)).collect()
}

/// Drop-ins by which what the units of `host` say goes on to hold, by unit.
pub fn kept_of(running: &Running, host: &Host) -> BTreeMap<String, String> {
    running.hosts.get(host.name.as_str()).map(unit::kept).unwrap_or_default()
}

/// What becomes something else on the hosts, and is no obstacle.
pub fn changes(running: &Running) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for (host, told) in &running.hosts {
        for change in containerd::changes(told) {
            let same = |one: &&mut Change| {
                (&one.field, &one.was, &one.becomes) == (&change.field, &change.was, &change.becomes)
            };
            match all.iter_mut().find(same) {
                Some(known) => known.hosts.push(host.clone()),
                None => all.push(Change { hosts: vec![host.clone()], ..change }),
            }
        }
    }
    all
}

/// What a step of the plan finds in its way.
pub(crate) fn in_the_way(host: &str, step: &str, found: &str) -> Mismatch {
    mismatch(host, &format!("step {step}"), "something is in its way", found)
}

fn mismatch(at: &str, field: &str, wanted: impl fmt::Display, found: impl fmt::Display) -> Mismatch {
    Mismatch { at: at.into(), field: field.into(), wanted: wanted.to_string(), found: found.to_string() }
}
