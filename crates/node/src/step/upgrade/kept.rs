//! What a node is, kept before an upgrade changes it: programs, units, containerd's settings, kubelet's configuration, static pods, and the
//! marks of kubeadm's phases. All of it is the node's own, so all of it can be put back on that node.
//!
//! Programs are not copied: each version has a folder of its own, and what changes are links. Certificates are not kept: those that an
//! upgrade makes anew come from the same authorities, and serve the older version as well.

use std::collections::BTreeMap;
use std::fmt;

use sealock_trust::format;
use serde::{Deserialize, Serialize};

use super::taken_back::{self, CONTAINERD_STARTED, KUBELET_STARTED};
use crate::changes::{Changes, NODE_FOLDER, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Entry, Host, HostError};
use crate::step::kubeadm::MARKS;
use crate::step::{Act, Mode, Probe, component_folder};

const RECORD: &str = "kept.json";
const LIMIT: u64 = 8 << 20;
/// Sealock itself does not go back: it is the one that takes back.
const OWN: &str = "sealock";
/// Beside the marks, which are a folder, and the links, which [`Changes`] knows.
const FILES: [&str; 13] = [
    "/etc/containerd/config.toml",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    CONTAINERD_STARTED,
    KUBELET_STARTED,
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
];

/// Keeps what the node is, before an upgrade changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kept {
    /// What the cluster is while nothing of the upgrade is done, like `v1.36.3 of release 1, plan 3f2a91c0d4e7`: what is kept under that
    /// name is not kept anew by an upgrade that is begun once more, when the node is something in between.
    pub since: String,
}

/// What a node was (docs/formats/journal.md).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    format: String,
    pub(super) since: String,
    /// Nothing for a file that was not there.
    pub(super) files: BTreeMap<String, Option<KeptFile>>,
    /// Programs, by the links that lead to them.
    pub(super) links: BTreeMap<String, String>,
    /// The marks of kubeadm's phases, by name.
    pub(super) marks: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct KeptFile {
    pub(super) mode: Mode,
    pub(super) content: String,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keep what the node is ({}), to take it back if need be", self.since)
    }
}

impl Act for Kept {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match Record::load(host)? {
            Some(record) if record.since == self.since => Probe::Done,
            _ => Probe::not_done("it is not kept yet"),
        })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let record = Record::of(host, &self.since)?;
        host.alter(host::Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        let text = serde_json::to_vec(&record).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, &path(), Mode::PRIVATE, &text)?)
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        taken_back::take_back(host, context, &self.since)
    }
}

impl Record {
    /// What is kept on `host`, if anything is.
    pub(super) fn load(host: &dyn Host) -> Result<Option<Self>, StepError> {
        let Some(text) = host::read(host, &path(), LIMIT)? else { return Ok(None) };
        let unreadable = |because: &dyn fmt::Display| StepError::Unknown {
            because: format!("{} cannot be read: {because}", path()),
        };
        format::NODE_KEPT.look(&text).map_err(|unknown| unreadable(&unknown))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(&error))
    }

    fn of(host: &dyn Host, since: &str) -> Result<Self, StepError> {
        let mut files = BTreeMap::new();
        for path in FILES {
            files.insert(path.to_owned(), KeptFile::of(host, path)?);
        }
        let mut marks = BTreeMap::new();
        for name in host.list(MARKS)? {
            let mark = host::read_text(host, &format!("{MARKS}/{name}"))?;
            marks.insert(name, mark.unwrap_or_default());
        }
        let format = format::NODE_KEPT.current.to_owned();
        Ok(Self { format, since: since.to_owned(), files, links: programs(host)?, marks })
    }
}

/// What `path` held on `host` before the upgrade that keeps things under the name `since`; nothing where nothing is kept for it.
///
/// # Errors
/// What is kept cannot be read.
pub fn kept_file(host: &dyn Host, since: &str, path: &str) -> Result<Option<String>, StepError> {
    let record = Record::load(host)?.filter(|record| record.since == since);
    Ok(record.and_then(|mut record| record.files.remove(path).flatten()).map(|file| file.content))
}

/// Whether the node keeps what it was under the name `since`.
///
/// # Errors
/// What is kept cannot be read.
pub fn is_kept(host: &dyn Host, since: &str) -> Result<bool, StepError> {
    Ok(Record::load(host)?.is_some_and(|record| record.since == since))
}

/// What is kept of the node.
pub(crate) fn path() -> String {
    format!("{NODE_FOLDER}/{RECORD}")
}

impl KeptFile {
    fn of(host: &dyn Host, path: &str) -> Result<Option<Self>, HostError> {
        let Entry::File { mode, .. } = host.inspect(path)? else { return Ok(None) };
        let content = host::read_text(host, path)?.unwrap_or_default();
        Ok(Some(Self { mode, content }))
    }
}

fn programs(host: &dyn Host) -> Result<BTreeMap<String, String>, StepError> {
    let mut links = BTreeMap::new();
    for change in Changes::load(host)?.iter() {
        let Subject::Link { path } = &change.subject else { continue };
        if let Entry::Link { target } = host.inspect(path)?
            && component_folder(&target).is_some_and(|(name, _)| name != OWN)
        {
            links.insert(path.clone(), target);
        }
    }
    Ok(links)
}
