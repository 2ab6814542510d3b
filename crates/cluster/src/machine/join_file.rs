//! What a machine needs to join: where the cluster is, by what it is known, and a token (docs/formats/node-join.md).

use std::fmt;

use jiff::Timestamp;
use sealock_node::request::Secrets;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::reason::Code;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::MachineError;
use crate::render::kubeadm::{CA_HASH, CERTIFICATE_KEY, TOKEN};
use crate::spec::{Endpoint, KubernetesVersion, Name};

/// No join file is near this long.
pub const MAX_JOIN_FILE: u64 = 64 << 10;

/// What a machine needs to join. It holds secrets: whoever has it can join until it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinFile {
    /// `node-join/1.0`.
    pub format: String,
    /// The cluster's name.
    pub cluster: Name,
    /// What its control planes run.
    pub kubernetes: KubernetesVersion,
    /// Where its API is reached.
    pub endpoint: Endpoint,
    /// `sha256:…` of its authority's public key: by this the cluster is known.
    pub ca_hash: String,
    /// By this the machine is known, once.
    pub token: Secret,
    /// When the token ends.
    pub expires: Timestamp,
    /// What a further control plane needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<Authorities>,
}

/// By what a further control plane reads the authorities, which lie encrypted in the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorities {
    /// The key that they are encrypted with.
    pub certificate_key: Secret,
    /// When the cluster deletes them.
    pub expires: Timestamp,
}

/// A text that is shown to nobody.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0.as_str().to_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a file is no join file, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum JoinFileError {
    /// Another version.
    #[error("it is not of a version that is read here")]
    Format(#[from] UnknownFormat),
    /// It is not what a join file is. What the parser says would quote secrets.
    #[error("its {0} is not what it has to be")]
    Malformed(&'static str),
    /// Too late.
    #[error("its {what} has ended at {expires}")]
    Ended {
        /// Which part.
        what: &'static str,
        /// When.
        expires: Timestamp,
    },
    /// A control plane is asked for, and the file is for workers.
    #[error("it was made for workers, and a control plane is asked for")]
    ForWorkers,
    /// Its cluster is not the one that was named.
    #[error("its cluster is known by {found}, and {named} was named")]
    OtherHash {
        /// What was named.
        named: String,
        /// What stands in it.
        found: String,
    },
}

impl JoinFileError {
    /// The reason code.
    pub fn code(&self) -> Code {
        match self {
            Self::Format(error) => error.code(),
            Self::Malformed(_) => Code::Format,
            Self::Ended { .. } => Code::Expired,
            Self::ForWorkers => Code::Spec,
            Self::OtherHash { .. } => Code::Digest,
        }
    }
}

impl JoinFile {
    /// The join file of `text`.
    ///
    /// # Errors
    /// It is none.
    pub fn from_json(text: &[u8]) -> Result<Self, JoinFileError> {
        format::NODE_JOIN.look(text)?;
        let file: Self = serde_json::from_slice(text).map_err(|_| JoinFileError::Malformed("content"))?;
        // They are put into kubeadm's configuration as they are: nothing else may come with them.
        let is =
            |part: &str, length: usize, fits: fn(&u8) -> bool| part.len() == length && part.bytes().all(|b| fits(&b));
        let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let token = file.token.0.split_once('.').is_some_and(|(id, secret)| is(id, 6, word) && is(secret, 16, word));
        if !token {
            return Err(JoinFileError::Malformed("token"));
        }
        if !file.ca_hash.strip_prefix("sha256:").is_some_and(|hash| is(hash, 64, hex)) {
            return Err(JoinFileError::Malformed("caHash"));
        }
        match &file.control_plane {
            Some(plane) if !is(&plane.certificate_key.0, 64, hex) => Err(JoinFileError::Malformed("certificateKey")),
            _ => Ok(file),
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// None that can be foreseen.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, MachineError> {
        let mut text = Zeroizing::new(serde_json::to_vec_pretty(self).map_err(MachineError::Unwritable)?);
        text.push(b'\n');
        Ok(text)
    }

    /// Its cluster is the one that is known by `named`.
    ///
    /// # Errors
    /// It is another one.
    pub fn check_hash(&self, named: &str) -> Result<(), JoinFileError> {
        if self.ca_hash == named {
            return Ok(());
        }
        Err(JoinFileError::OtherHash { named: named.to_owned(), found: self.ca_hash.clone() })
    }

    /// Whether a machine can still join by it.
    pub(super) fn check(&self, control_plane: bool, now: Timestamp) -> Result<(), MachineError> {
        let plane = match (control_plane, &self.control_plane) {
            (true, None) => return Err(JoinFileError::ForWorkers.into()),
            (true, Some(plane)) => Some(("certificate key", plane.expires)),
            (false, _) => None,
        };
        let parts = [("token", self.expires)].into_iter().chain(plane);
        for (what, expires) in parts {
            if expires <= now {
                return Err(JoinFileError::Ended { what, expires }.into());
            }
        }
        Ok(())
    }

    /// What the steps of a join ask for.
    pub fn secrets(&self) -> Secrets {
        let key = self.control_plane.as_ref().map(|plane| (CERTIFICATE_KEY, plane.certificate_key.0.as_str()));
        let all = [(TOKEN, self.token.0.as_str()), (CA_HASH, &self.ca_hash)].into_iter().chain(key);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({
            "format": "node-join/1.0", "cluster": "plant-7", "kubernetes": "v1.36.3", "endpoint": "10.77.0.11:6443",
            "caHash": format!("sha256:{}", "a1".repeat(32)), "token": "abcdef.0123456789abcdef",
            "expires": "2026-11-28T09:00:00Z",
        })
    }

    fn read(document: &Value) -> Result<JoinFile, JoinFileError> {
        JoinFile::from_json(document.to_string().as_bytes())
    }

    /// kubeadm's configuration is text, and a secret becomes a part of it.
    #[test]
    fn nothing_but_a_token_a_hash_and_a_key_stands_in_their_places() {
        let plane = |key: &str| json!({"certificateKey": key, "expires": "2026-11-27T11:00:00Z"});
        read(&document()).unwrap();
        let evil = [
            ("token", json!("abcdef.0123456789abcde")),
            ("token", json!("abcdef.0123456789abcde\n")),
            ("token", json!("ABCDEF.0123456789abcdef")),
            ("caHash", json!(format!("sha256:{}\"", "a1".repeat(31)))),
            ("caHash", json!("a1".repeat(32))),
            ("controlPlane", plane("x: y")),
            ("controlPlane", plane(&"G".repeat(64))),
            ("endpoint", json!("10.77.0.11:6443\nx: y")),
            ("more", json!(1)),
        ];
        for (field, value) in evil {
            let mut bent = document();
            bent[field] = value;
            let error = read(&bent).expect_err(field);
            assert!(!error.to_string().contains("0123456789"), "{error}");
        }
    }

    #[test]
    fn a_file_ends_and_one_for_workers_makes_no_control_plane() {
        let file = read(&document()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        file.check(false, at("2026-11-28T08:59:59Z")).unwrap();
        let ended = file.check(false, at("2026-11-28T09:00:00Z")).unwrap_err();
        assert!(ended.hint().is_some() && ended.is_refusal(), "{ended}");
        assert!(file.check(true, at("2026-11-27T09:00:00Z")).is_err());
        assert!(!format!("{file:?}").contains("0123456789"));
    }

    #[test]
    fn a_file_of_another_cluster_than_the_named_one_is_refused() {
        let file = read(&document()).unwrap();
        file.check_hash(&format!("sha256:{}", "a1".repeat(32))).unwrap();
        let other = MachineError::from(file.check_hash(&format!("sha256:{}", "b2".repeat(32))).unwrap_err());
        assert_eq!(other.code(), Some(Code::Digest));
        assert!(other.hint().is_some_and(|hint| hint.contains("another cluster")));
    }
}
