//! One machine of a cluster spec.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use sealock_trust::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Name;

/// One machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// Its name as a node of the cluster.
    pub name: Name,
    /// Its address on the segment that the nodes share.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// What it does.
    pub roles: Vec<Role>,
    /// How the station reaches it.
    pub ssh: Ssh,
    /// Its part of the pod network, where that must not be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub pods: Option<Ipv4Net>,
    /// Labels that the node registers with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints that the node registers with. A control plane that is no worker gets the usual one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<Taint>>,
}

impl Host {
    /// Whether it carries a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.roles.contains(&Role::ControlPlane)
    }

    /// The taints that the node registers with.
    pub fn effective_taints(&self) -> Vec<Taint> {
        let usual = self.is_control_plane() && !self.roles.contains(&Role::Worker);
        self.taints.clone().unwrap_or_else(|| if usual { vec![Taint::control_plane()] } else { Vec::new() })
    }
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// API server, controllers, scheduler and an etcd member.
    ControlPlane,
    /// Runs applications.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        })
    }
}

/// A taint, as Kubernetes has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Like `node-role.kubernetes.io/control-plane`.
    pub key: String,
    /// May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: TaintEffect,
}

impl Taint {
    pub(crate) fn control_plane() -> Self {
        let key = "node-role.kubernetes.io/control-plane".into();
        Self { key, value: String::new(), effect: TaintEffect::NoSchedule }
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not scheduled here.
    NoSchedule,
    /// They are scheduled elsewhere where possible.
    PreferNoSchedule,
    /// They are also removed.
    NoExecute,
}

/// How the station reaches a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ssh {
    /// The account. Where it is not root it needs `sudo` without a password.
    pub user: String,
    /// The port.
    #[serde(default = "ssh_port", skip_serializing_if = "is_ssh_port")]
    pub port: u16,
    /// The machine's key, pinned: a line like `ssh-ed25519 AAAA…`, or its fingerprint `SHA256:…`.
    pub host_key: Pin,
    /// The private key to log in with; where absent, what the station's ssh is set up to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
}

fn ssh_port() -> u16 {
    22
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ssh_port(port: &u16) -> bool {
    *port == 22
}

/// A pinned SSH host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The whole key, as in `known_hosts`: type and base64.
    Key {
        /// Like `ssh-ed25519`.
        kind: String,
        /// The key as RFC 4253 encodes it.
        blob: Vec<u8>,
    },
    /// The SHA-256 of the key.
    Fingerprint([u8; 32]),
}

impl Pin {
    /// Whether `blob`, a key as RFC 4253 encodes it, is the pinned one.
    pub fn matches(&self, blob: &[u8]) -> bool {
        match self {
            Self::Key { blob: pinned, .. } => pinned == blob,
            Self::Fingerprint(_) => self.fingerprint() == fingerprint(blob),
        }
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Key { blob, .. } => fingerprint(blob),
            Self::Fingerprint(hash) => format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)),
        }
    }
}

/// The fingerprint of a public key as `ssh-keygen -l` prints it: `SHA256:` and base64 without padding.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    let hash = hex::decode(Digest::sha256(blob).hex()).unwrap_or_default();
    format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { kind, blob } => write!(f, "{kind} {}", STANDARD.encode(blob)),
            Self::Fingerprint(_) => f.write_str(&self.fingerprint()),
        }
    }
}

/// A text that is not a pinned host key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a host key: copy a line of /etc/ssh/ssh_host_ed25519_key.pub (`ssh-ed25519 AAAA…`) or its fingerprint (`SHA256:…`)"
)]
pub struct ParsePinError;

impl FromStr for Pin {
    type Err = ParsePinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(encoded) = text.strip_prefix("SHA256:") {
            let hash = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| ParsePinError)?;
            return hash.try_into().map(Self::Fingerprint).map_err(|_| ParsePinError);
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), Some(encoded)) = (words.next(), words.next()) else { return Err(ParsePinError) };
        let blob = STANDARD.decode(encoded).map_err(|_| ParsePinError)?;
        // RFC 4253 §6.6: the key starts with its own type as a string, so a mixed-up line does not pass.
        let named = blob.get(4..4 + kind.len()) == Some(kind.as_bytes());
        let sized = blob.get(..4) == Some(&u32::try_from(kind.len()).unwrap_or(0).to_be_bytes()[..]);
        if !named || !sized {
            return Err(ParsePinError);
        }
        Ok(Self::Key { kind: kind.into(), blob })
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Pin {
    fn schema_name() -> Cow<'static, str> {
        "HostKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^(SHA256:|ssh-|ecdsa-|sk-)"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv root@cp1";

    #[test]
    fn a_key_and_its_fingerprint_pin_the_same_key() {
        let key: Pin = LINE.parse().unwrap();
        let Pin::Key { blob, .. } = &key else { panic!("{key:?}") };
        let fingerprint: Pin = key.fingerprint().parse().unwrap();
        assert!(fingerprint.matches(blob));
        assert!(!fingerprint.matches(b"another"));
        assert_eq!(format!("{key} root@cp1"), LINE);
    }

    #[test]
    fn a_line_that_names_another_type_than_its_key_is_refused() {
        assert_eq!(LINE.replace("ssh-ed25519 ", "ssh-rsa ").parse::<Pin>(), Err(ParsePinError));
        assert_eq!("SHA256:abcd".parse::<Pin>(), Err(ParsePinError));
        assert_eq!("ssh-ed25519".parse::<Pin>(), Err(ParsePinError));
    }
}
