//! The table of contents of a backup, which the site signs.

use jiff::Timestamp;
use sealock_node::backup::{AUTHORITIES, KEYS, OF_ETCD, may_be_put_back};
use sealock_trust::Digest;
use sealock_trust::format::{self, Format};
use sealock_trust::site::{SiteKeys, SiteRoot};
use serde::{Deserialize, Serialize};

use super::table::{self, Table};
use super::{BackupError, KUBERNETES, SNAPSHOT, SPEC, payload};
use crate::plan::ReleaseId;
use crate::spec::KubernetesVersion;

/// The table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// `backup/1.0`.
    pub format: String,
    /// The site.
    pub site: String,
    /// The cluster.
    pub cluster: String,
    /// When it was begun, by the station's clock, to the second.
    pub taken: Timestamp,
    /// What the site served then.
    pub release: ReleaseId,
    /// The control plane host that it was taken from.
    pub host: String,
    /// Who can open it: age recipients, sorted.
    pub recipients: Vec<String>,
    /// What that host says is in it.
    pub state: Taken,
    /// The encrypted content.
    pub payload: Payload,
}

/// What a control plane host says of a backup that it has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Taken {
    /// Which Kubernetes it runs, like `v1.36.3`.
    pub kubernetes: String,
    /// The SHA-256 of the public key of the cluster's authority: what kubeadm's discovery pins.
    pub ca_hash: String,
    /// etcd.
    pub etcd: EtcdState,
    /// What the encrypted content holds, in its order.
    pub contents: Vec<Content>,
}

/// What is known of the snapshot of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdState {
    /// The version that served, and that the restore was rehearsed with.
    pub version: String,
    /// The newest revision.
    pub revision: i64,
    /// How many keys an etcd served that was started over the restored data.
    pub rehearsed_keys: i64,
}

/// A file in the encrypted content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Content {
    /// Its path.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// The encrypted content as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Payload {
    /// Its digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl Table for Manifest {
    const PAYLOAD_TYPE: &'static str = "application/vnd.sealock.backup.v1+json";
    const FORMAT: &'static Format = format::BACKUP;

    fn format(&self) -> &str {
        &self.format
    }
}

impl Manifest {
    /// The envelope that the site signs.
    ///
    /// # Errors
    /// It cannot be written canonically, or the key does not sign.
    pub fn sign(&self, keys: &SiteKeys) -> Result<Vec<u8>, BackupError> {
        table::sign(self, keys)
    }

    /// What the envelope in `bytes` says, if `site` has signed it.
    ///
    /// # Errors
    /// It is not the site's, or is malformed.
    pub fn open(bytes: &[u8], site: &SiteRoot) -> Result<Self, BackupError> {
        table::open(bytes, site)
    }

    /// What the envelope in `bytes` says, whoever has signed it.
    ///
    /// # Errors
    /// It is malformed.
    pub fn unverified(bytes: &[u8]) -> Result<Self, BackupError> {
        table::unverified(bytes)
    }

    /// The content called `path`.
    pub fn content(&self, path: &str) -> Option<&Content> {
        self.state.contents.iter().find(|content| content.path == path)
    }
}

impl Taken {
    /// Whether it holds any of etcd's authority, which is in it where each control plane runs a member. An external etcd is its owner's.
    pub fn holds_etcds_authority(&self) -> bool {
        let is_one = |path: &str| OF_ETCD.iter().any(|one| path.strip_prefix(KUBERNETES) == Some(one));
        self.contents.iter().any(|content| is_one(&content.path))
    }

    /// Whether it holds any key of an authority: all of them, unless they stay with somebody else.
    pub fn holds_authorities_keys(&self) -> bool {
        let is_one = |path: &str| KEYS.iter().any(|one| path.strip_prefix(KUBERNETES) == Some(one));
        self.contents.iter().any(|content| is_one(&content.path))
    }

    /// Whether a control plane can be made of this, and nothing else: the host that says so is not believed in it. Before the site signs it,
    /// and again before anything of it is used.
    ///
    /// # Errors
    /// A part is missing, is there twice, or has no place in a backup.
    pub fn check(&self) -> Result<(), BackupError> {
        payload::check_contents(&self.contents)?;
        let (has_etcds, has_keys) = (self.holds_etcds_authority(), self.holds_authorities_keys());
        let ours = AUTHORITIES.iter().filter(|path| has_etcds || !OF_ETCD.contains(path));
        let ours = ours.filter(|path| has_keys || !KEYS.contains(path));
        let authorities = ours.map(|path| format!("{KUBERNETES}{path}"));
        let needed: Vec<String> = [SNAPSHOT, SPEC].map(ToOwned::to_owned).into_iter().chain(authorities).collect();
        if let Some(missing) = needed.iter().find(|path| !self.contents.iter().any(|content| content.path == **path)) {
            return Err(BackupError::layout(format!("{missing} is not in it")));
        }
        let others: Vec<&Content> = self.contents.iter().filter(|content| !needed.contains(&content.path)).collect();
        if self.contents.len() - others.len() != needed.len() || others.len() > 1 {
            return Err(BackupError::layout("a file is in it twice, or more than a cluster is made of"));
        }
        if let Some(other) = others.iter().find(|content| !may_be_encryption(&content.path)) {
            return Err(BackupError::layout(format!("{:?} has no place in it", other.path)));
        }
        let is_plain =
            |text: &str| text.len() < 40 && text.chars().all(|one| one.is_ascii_alphanumeric() || ".-+".contains(one));
        let is_hash = self.ca_hash.parse::<Digest>().is_ok();
        if self.kubernetes.parse::<KubernetesVersion>().is_err() || !is_hash || !is_plain(&self.etcd.version) {
            return Err(BackupError::layout("what the host says of its versions and authority is not understood"));
        }
        Ok(())
    }
}

/// The configuration by which an API server encrypts: no manifest that kubelet would run, and no credentials.
fn may_be_encryption(path: &str) -> bool {
    let Some(below) = path.strip_prefix(KUBERNETES) else { return false };
    may_be_put_back(below)
}
