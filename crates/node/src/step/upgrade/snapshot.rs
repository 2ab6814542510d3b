//! A snapshot of etcd before the control plane changes.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::changes::NODE_FOLDER;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError};
use crate::step::kubeadm::ran_with;
use crate::step::{Act, KubeadmCommand, Mode, Probe};

/// Where snapshots are kept.
pub(crate) const FOLDER: &str = "/var/lib/sealock/snapshots";
const RECORD: &str = "snapshot.json";
/// 8 GiB to a slow disk.
const TAKES: Duration = Duration::from_secs(1800);
/// A snapshot that is older says too little about what an upgrade changes.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// How many are kept.
const KEPT: usize = 3;

/// What a snapshot is called by that is taken before a cluster of others is taken over.
pub const BEFORE_ADOPTION: &str = "adoption";

/// Takes a snapshot of the etcd of this control plane host, or of the one that is elsewhere, by Sealock itself: size and checksum are
/// looked at before it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdSnapshot {
    /// Absolute path of Sealock on this host.
    pub program: String,
    /// What the cluster is about to become, a version of Kubernetes or what a release has: a part of the file's name.
    pub before: String,
    /// The digest of kubeadm's configuration, where kubeadm changes the control plane: once it has, no snapshot is one from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
}

/// The snapshot that was taken last.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    before: String,
    path: String,
    digest: Digest,
    at: Timestamp,
    /// Of etcd, where it was told: what comes after it is not in the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
}

/// What `sealock etcd snapshot` says.
#[derive(Deserialize)]
struct Taken {
    revision: i64,
}

impl fmt::Display for EtcdSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "take a snapshot of etcd, unless there is one of this hour")
    }
}

impl Act for EtcdSnapshot {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        if let Some(config) = &self.config
            && ran_with(host, KubeadmCommand::UpgradeApply, "control-plane", config)?
        {
            return Ok(Probe::Done);
        }
        let text = host::read_text(host, &record_path())?;
        let record = text.and_then(|text| serde_json::from_str::<Record>(&text).ok());
        let Some(record) = record.filter(|record| record.before == self.before) else {
            return Ok(Probe::not_done(format!("none was taken before {}", self.before)));
        };
        let age = Timestamp::now().duration_since(record.at);
        if age > FRESH || age < SignedDuration::ZERO {
            return Ok(Probe::not_done(format!("{} is of {}", record.path, record.at)));
        }
        if !host::exists(host, &record.path)? || host::digest(host, &record.path)? != record.digest {
            return Ok(Probe::not_done(format!("{} is missing or damaged", record.path)));
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let at = Timestamp::now();
        let path = format!("{FOLDER}/{}-before-{}.db", at.strftime("%Y-%m-%dT%H%M%SZ"), self.before);
        host.alter(Alteration::MakeDirectory { path: FOLDER, mode: Mode::new(0o700) })?;
        (context.progress)("taking a snapshot of etcd");
        let said = self.command(&path).must(host)?;
        let revision = serde_json::from_str::<Taken>(&said).ok().map(|taken| taken.revision);
        let record = Record { before: self.before.clone(), digest: host::digest(host, &path)?, path, at, revision };
        let text = serde_json::to_vec(&record).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        host::write(host, &record_path(), Mode::PRIVATE, &text)?;
        forget_old(host, &record.path)
    }

    /// A snapshot is never in the way.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl EtcdSnapshot {
    fn command(&self, path: &str) -> Command {
        let args = ["etcd", "snapshot", path, "--of-control-plane", "--output", "json"];
        Command::new(&self.program, args).timeout(TAKES)
    }
}

/// What is known of the snapshot that was taken last.
pub(crate) fn record_path() -> String {
    format!("{NODE_FOLDER}/{RECORD}")
}

/// Snapshots that were taken before a cluster was to be taken over: their names.
pub(crate) fn before_adoption(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let part = format!("-before-{BEFORE_ADOPTION}.db");
    Ok(host.list(FOLDER)?.into_iter().filter(|name| name.contains(&part)).collect())
}

/// Takes them away, where nothing else became of it.
pub(crate) fn forget_before_adoption(host: &dyn Host) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path: &record_path() })?;
    for name in before_adoption(host)? {
        host.alter(Alteration::RemoveFile { path: &format!("{FOLDER}/{name}") })?;
    }
    host.alter(Alteration::RemoveEmptyDirectory { path: FOLDER })
}

/// Names begin with their time: the oldest comes first. That one stays which was just taken, also where others were taken by a clock that was
/// ahead.
fn forget_old(host: &dyn Host, taken: &str) -> Result<(), StepError> {
    let names = host.list(FOLDER)?;
    let others: Vec<String> = names
        .iter()
        .filter(|name| name.contains("-before-"))
        .map(|name| format!("{FOLDER}/{name}"))
        .filter(|path| path != taken)
        .collect();
    for path in &others[..others.len().saturating_sub(KEPT - 1)] {
        host.alter(Alteration::RemoveFile { path })?;
    }
    Ok(())
}
