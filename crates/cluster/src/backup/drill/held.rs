//! What an etcd over the restored data holds, and whether it is what a cluster cannot be without.

use super::secrets::{Configured, Secrets};
use crate::backup::{BackupError, EtcdState};
use crate::etcd::restore::Rehearsal;
use crate::etcd::{CallError, Connection};

/// Where the API server keeps its objects.
const NODES: &[u8] = b"/registry/minions/";
const SECRETS: &[u8] = b"/registry/secrets/";
const SYSTEM: &[u8] = b"/registry/namespaces/kube-system";
const KUBEADM: &[u8] = b"/registry/configmaps/kube-system/kubeadm-config";
/// How many Secrets are read at a time. They come in one answer, and the largest that etcd takes (1.5 MiB each) have to fit in it.
const AT_A_TIME: i64 = 5;
/// How many are looked at; no cluster that is known has near as many.
const MOST: u64 = 1 << 20;

/// What was read over gRPC.
#[derive(Debug)]
pub(super) struct Held {
    hash: u32,
    nodes: i64,
    has_system: bool,
    has_kubeadm: bool,
    /// What became of the Secrets.
    pub(super) secrets: Secrets,
}

/// Reads what is there, and every Secret by what the backup says of their encryption.
pub(super) async fn read(etcd: &Connection, configured: &Configured) -> Result<Held, CallError> {
    let (hash, _) = etcd.hash(0).await?;
    Ok(Held {
        hash,
        nodes: etcd.count_below(NODES).await?,
        has_system: etcd.value(SYSTEM).await?.is_some(),
        has_kubeadm: etcd.value(KUBEADM).await?.is_some(),
        secrets: look_at_secrets(etcd, configured).await?,
    })
}

/// A few at a time, and none of them is kept.
async fn look_at_secrets(etcd: &Connection, configured: &Configured) -> Result<Secrets, CallError> {
    let mut secrets = Secrets::default();
    let mut last: Option<Vec<u8>> = None;
    loop {
        let (page, more) = etcd.page_below(SECRETS, last.as_deref(), AT_A_TIME).await?;
        page.iter().for_each(|pair| secrets.look(pair, configured));
        last = page.into_iter().next_back().map(|pair| pair.key);
        secrets.more = more && secrets.seen >= MOST;
        if !more || secrets.more || last.is_none() {
            return Ok(secrets);
        }
    }
}

impl Held {
    /// Whether the rehearsal found again what was found when the backup was taken.
    ///
    /// # Errors
    /// It did not.
    pub(super) fn check_state(&self, rehearsal: &Rehearsal, wanted: &EtcdState) -> Result<String, BackupError> {
        let (revision, keys) = (rehearsal.content.revision, rehearsal.read.keys);
        if rehearsal.version != wanted.version {
            return Err(BackupError::drill(format!(
                "etcd {} was started, and the cluster ran {}",
                rehearsal.version, wanted.version
            )));
        }
        if (revision, keys) != (wanted.revision, wanted.rehearsed_keys) {
            return Err(BackupError::drill(format!(
                "{keys} keys at revision {revision} are there, and when it was taken there were {} at {}",
                wanted.rehearsed_keys, wanted.revision
            )));
        }
        Ok(format!("etcd {} serves {keys} keys of revision {revision}, hash {:08x}", rehearsal.version, self.hash))
    }

    /// Whether the objects are there that no cluster of kubeadm's is without.
    ///
    /// # Errors
    /// One is not.
    pub(super) fn check_objects(&self) -> Result<String, BackupError> {
        let missing = [
            (self.has_system, "the namespace kube-system"),
            (self.has_kubeadm, "the ConfigMap kubeadm-config"),
            (self.nodes > 0, "a node"),
        ];
        if let Some((_, what)) = missing.into_iter().find(|(is_there, _)| !is_there) {
            return Err(BackupError::drill(format!("{what} is not in etcd")));
        }
        let s = if self.nodes == 1 { "" } else { "s" };
        Ok(format!("kube-system, kubeadm-config and {} node{s}", self.nodes))
    }
}
