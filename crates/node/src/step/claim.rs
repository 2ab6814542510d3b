//! Takes the host for one cluster.

use std::collections::BTreeMap;

use sealock_trust::format::{self, UnknownFormat};
use serde::{Deserialize, Serialize};

use super::unit::State;
use super::{Act, Claim, Mode, Probe, rules};
use crate::changes::{Before, Changes, NODE_FOLDER, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::facts::ca_hash;
use crate::host::{self, Alteration, Entry, Host, HostError};
use crate::mounts;

/// Whom a machine is claimed for that its own operator prepares, without a station: no cluster can be called so.
pub const BY_ITSELF: &str = "(by itself)";

const CLAIM: &str = "/var/lib/sealock/node/claim.json";
const FORMAT: &str = format::NODE_CLAIM.current;

/// Folders whose content comes from what runs in the cluster: not there, or empty, before the claim, so they go at a reset.
const TREES: &[&str] = &[
    "/etc/kubernetes",
    "/var/lib/kubelet",
    "/var/lib/etcd",
    "/var/lib/containerd",
    "/run/containerd",
    "/etc/cni",
    "/var/lib/cni",
    "/run/cni",
    "/run/nri",
    "/opt/cni",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
    "/var/log/pods",
    "/var/log/containers",
    "/root/.kube",
];

/// Those of them that hold a cluster and nothing else: of a node that is taken over they are full, and go at a reset all the same. Programs,
/// images, plugins and the pod network's settings were put there by whoever made the cluster, and stay.
const OF_A_CLUSTER: &[&str] =
    &["/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/var/log/pods", "/var/log/containers"];

/// Units of a node that are Sealock's as long as it is.
const UNITS_OF_A_NODE: [&str; 2] = ["containerd.service", "kubelet.service"];

/// Folders that pods make on the host for their mounts; they go at a reset if they are empty.
const FOLDERS: &[&str] = &["/lib/modules"];

/// Traces of a Kubernetes or a container runtime.
const EVIDENCE: &[&str] = &[
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/etcd/member",
    "/var/lib/containerd/io.containerd.metadata.v1.bolt",
    "/run/containerd/containerd.sock",
    "/var/lib/rancher",
    "/var/lib/k0s",
    "/var/lib/docker",
];

const UNIT_FOLDERS: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const UNITS: &[&str] = &[
    "containerd.service",
    "crio.service",
    "docker.service",
    "k0scontroller.service",
    "k0sworker.service",
    "k3s.service",
    "k3s-agent.service",
    "kubelet.service",
    "rke2-agent.service",
    "rke2-server.service",
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: String,
    cluster: String,
    /// The tables that nftables had before.
    #[serde(default)]
    tables: Vec<String>,
    /// What the units of a node were that was taken over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    units: BTreeMap<String, UnitBefore>,
}

/// What a unit was before the claim.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitBefore {
    pub(super) enabled: bool,
    pub(super) active: bool,
}

impl Act for Claim {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match claimed(host)? {
            Some(cluster) if cluster == self.cluster => Probe::Done,
            Some(cluster) => Probe::foreign(belongs_to(&cluster)),
            None if self.running.is_some() => self.probe_running(host)?,
            None => match evidence(host)?.as_slice() {
                [] => Probe::not_done("the host is free"),
                found => Probe::foreign(format!(
                    "the host already has a cluster or a container runtime: {}",
                    found.join(", ")
                )),
            },
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        // Asked first: between what is written down and the claim nothing is to fail.
        let units = if self.running.is_some() { units(host)? } else { BTreeMap::new() };
        let tables = rules::tables(host)?;
        let mut changes = Changes::load(host)?;
        for tree in TREES {
            if let Some(was) = self.before_of(host, tree)? {
                changes.before(host, Subject::Tree { path: (*tree).to_owned() }, was)?;
            }
        }
        for folder in FOLDERS {
            if host.inspect(folder)? == Entry::Missing {
                changes.before(host, Subject::Directory { path: (*folder).to_owned() }, Before::Absent)?;
            }
        }
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        let (format, cluster) = (FORMAT.to_owned(), self.cluster.clone());
        let record = Record { format, cluster, tables, units };
        let text = serde_json::to_vec(&record).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, CLAIM, Mode::PRIVATE, &text)?)
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for folder in FOLDERS {
            changes.undo(host, &Subject::Directory { path: (*folder).to_owned() })?;
        }
        for tree in TREES.iter().rev() {
            let tree = Subject::Tree { path: (*tree).to_owned() };
            // What was there before the claim is there for others.
            if self.running.is_some() { changes.forget(host, &tree)? } else { changes.undo(host, &tree)? }
        }
        release(host)
    }
}

impl Claim {
    /// What becomes of `tree` at a reset; nothing where it stays what it is then.
    fn before_of(&self, host: &dyn Host, tree: &str) -> Result<Option<Before>, HostError> {
        if self.running.is_none() || !OF_A_CLUSTER.contains(&tree) {
            return empty_or_absent(host, tree);
        }
        // The top of a file system of its own stays.
        let is_mounted = mounts::points(host)?.iter().any(|point| point == tree);
        Ok(Some(if is_mounted { Before::Directory } else { Before::Absent }))
    }

    /// A node of the very cluster that is taken over, and of no other.
    fn probe_running(&self, host: &dyn Host) -> Result<Probe, StepError> {
        let found = ca_hash(host)?;
        Ok(match found {
            Some(found) if Some(&found) == self.running.as_ref() => {
                Probe::not_done("it is a node of the cluster, and claimed for nobody")
            }
            Some(_) => {
                Probe::foreign("it is a node of another cluster: /etc/kubernetes/pki/ca.crt is another authority")
            }
            None => Probe::foreign("it is no node of the cluster: /etc/kubernetes/pki/ca.crt is not there"),
        })
    }
}

/// Whose the host is, in words.
pub fn belongs_to(claim: &str) -> String {
    match claim {
        BY_ITSELF => "the host was prepared by `sealock node prepare`, for no cluster of a station".to_owned(),
        cluster => format!("the host belongs to cluster {cluster}"),
    }
}

/// The cluster that the host is claimed for.
pub(crate) fn claimed(host: &dyn Host) -> Result<Option<String>, StepError> {
    Ok(record(host)?.map(|record| record.cluster))
}

/// The tables that nftables had before the claim.
pub(super) fn tables_before(host: &dyn Host) -> Result<Vec<String>, StepError> {
    Ok(record(host)?.map(|record| record.tables).unwrap_or_default())
}

/// What the units were before the claim; none where the host was no node then.
pub(super) fn units_before(host: &dyn Host) -> Result<BTreeMap<String, UnitBefore>, StepError> {
    Ok(record(host)?.map(|record| record.units).unwrap_or_default())
}

fn units(host: &dyn Host) -> Result<BTreeMap<String, UnitBefore>, HostError> {
    let state = |name: &str| {
        let State { enabled, active, .. } = State::of(host, name)?;
        Ok((name.to_owned(), UnitBefore { enabled, active }))
    };
    UNITS_OF_A_NODE.into_iter().map(state).collect()
}

fn record(host: &dyn Host) -> Result<Option<Record>, StepError> {
    let Some(text) = host::read(host, CLAIM, 4096)? else { return Ok(None) };
    let damaged = |_| StepError::Unknown { because: format!("{CLAIM} is damaged") };
    let unknown = |error: UnknownFormat| StepError::Unknown { because: format!("{CLAIM}: {error}") };
    format::NODE_CLAIM.look(&text).map_err(unknown)?;
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// Ends the claim.
pub(crate) fn release(host: &dyn Host) -> Result<(), StepError> {
    Ok(host.alter(Alteration::RemoveFile { path: CLAIM })?)
}

/// Traces of a Kubernetes or a container runtime on a host that is not claimed.
pub(crate) fn evidence(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for path in EVIDENCE {
        if host::exists(host, path)? {
            found.push((*path).to_owned());
        }
    }
    for unit in UNITS {
        for folder in UNIT_FOLDERS {
            let path = format!("{folder}/{unit}");
            if host::exists(host, &path)? {
                found.push(path);
                break;
            }
        }
    }
    Ok(found)
}

fn empty_or_absent(host: &dyn Host, path: &str) -> Result<Option<Before>, HostError> {
    Ok(match host.inspect(path)? {
        Entry::Missing => Some(Before::Absent),
        Entry::Directory { .. } if host.list(path)?.is_empty() => Some(Before::Directory),
        _ => None,
    })
}
