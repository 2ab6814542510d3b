//! Roles: which keys speak for what, and how many of them it takes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::key::{KeyError, KeyId, PublicKey};
use crate::reason::Code;

/// A role as TUF writes it (TUF specification 1.0.34, section 4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The ids of the keys that may sign.
    pub keyids: Vec<KeyId>,
    /// How many of them it takes; at least 1.
    pub threshold: u32,
}

/// Why a role's word is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// The threshold is zero, or above the number of distinct keys.
    #[error("a threshold of {threshold} cannot be met by {keys} distinct keys")]
    Unreachable {
        /// Signatures that it takes.
        threshold: u32,
        /// Distinct public keys that the role has.
        keys: usize,
    },
    /// The role names a key that is not among the document's keys, or stands there under another id than its own.
    #[error("the key {0} of the role is not among the document's keys under its own id")]
    MissingKey(KeyId),
    /// Nothing was signed.
    #[error("there is no signature")]
    Unsigned,
    /// A signature by one of the role's keys does not fit.
    #[error("the signature by key {0} does not fit the content")]
    BadSignature(KeyId),
    /// Fewer valid signatures by distinct keys than it takes.
    #[error("{valid} valid signatures by distinct keys of the role, but it takes {threshold}")]
    Threshold {
        /// Valid signatures by distinct keys.
        valid: usize,
        /// Signatures that it takes.
        threshold: u32,
    },
    /// The threshold is missed, and would not be if signatures of an unknown scheme could be checked.
    #[error("{valid} valid signatures of {threshold} needed; others are of the unknown scheme {scheme:?}")]
    UnknownScheme {
        /// Valid signatures by distinct keys.
        valid: usize,
        /// Signatures that it takes.
        threshold: u32,
        /// One scheme that is not known.
        scheme: String,
    },
}

impl RoleError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::MissingKey(_) => Code::Format,
            Self::Unsigned => Code::Unsigned,
            Self::BadSignature(_) => Code::Sig,
            Self::Threshold { .. } => Code::Threshold,
            Self::UnknownScheme { .. } => Code::Alg,
        }
    }

    /// Always.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

/// Public keys and the number of them that must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<KeyId, PublicKey>,
    threshold: u32,
}

/// A signature to be judged: who claims to have made it, and its raw bytes.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The claimed signer's key id.
    pub keyid: &'a str,
    /// The signature.
    pub signature: &'a [u8],
}

/// Who signed, once the threshold is met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// Keys of the set with a valid signature, one id for each distinct key.
    pub valid: Vec<KeyId>,
    /// Claimed signers that are not in the set, whose signatures were not looked at.
    pub foreign: Vec<String>,
}

impl KeySet {
    /// A set of keys of which `threshold` must sign.
    ///
    /// # Errors
    /// [`RoleError::Unreachable`].
    pub fn new(keys: impl IntoIterator<Item = PublicKey>, threshold: u32) -> Result<Self, RoleError> {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.id().clone(), key)).collect();
        let distinct = keys.values().map(PublicKey::identity).collect::<BTreeSet<_>>().len();
        if threshold == 0 || usize::try_from(threshold).is_ok_and(|threshold| threshold > distinct) {
            return Err(RoleError::Unreachable { threshold, keys: distinct });
        }
        Ok(Self { keys, threshold })
    }

    /// The keys that `role` names, out of a document's `keys`.
    ///
    /// # Errors
    /// [`RoleError::MissingKey`] and [`RoleError::Unreachable`].
    pub fn from_role(keys: &BTreeMap<KeyId, PublicKey>, role: &Role) -> Result<Self, RoleError> {
        let key = |id: &KeyId| {
            let key = keys.get(id).filter(|key| key.id() == id);
            key.cloned().ok_or_else(|| RoleError::MissingKey(id.clone()))
        };
        let keys: Vec<_> = role.keyids.iter().map(key).collect::<Result<_, _>>()?;
        Self::new(keys, role.threshold)
    }

    /// This set as a document's role.
    pub fn role(&self) -> Role {
        Role { keyids: self.keys.keys().cloned().collect(), threshold: self.threshold }
    }

    /// The keys, by id.
    pub fn keys(&self) -> &BTreeMap<KeyId, PublicKey> {
        &self.keys
    }

    /// How many distinct keys must sign.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Whether the threshold is met for `message`. Distinct public keys count, not signatures and not key ids.
    ///
    /// A signature that can be checked and does not fit is refused even where the others would do.
    ///
    /// # Errors
    /// [`RoleError`].
    pub fn verify(&self, message: &[u8], claims: &[Claim<'_>]) -> Result<Signers, RoleError> {
        if claims.is_empty() {
            return Err(RoleError::Unsigned);
        }
        let mut tally = Tally::default();
        for claim in claims {
            match self.keys.iter().find(|(id, _)| id.as_str() == claim.keyid) {
                Some((_, key)) => tally.judge(key, message, claim.signature)?,
                None => tally.signers.foreign.push(claim.keyid.to_owned()),
            }
        }
        tally.conclude(self.threshold)
    }

    /// Whether the keys `ids` alone would meet this set's threshold.
    pub fn is_met_by(&self, ids: &[KeyId]) -> bool {
        let known = ids.iter().filter_map(|id| self.keys.get(id)).filter(|key| key.is_known());
        let distinct = known.map(PublicKey::identity).collect::<BTreeSet<_>>().len();
        usize::try_from(self.threshold).is_ok_and(|threshold| distinct >= threshold)
    }
}

#[derive(Default)]
struct Tally {
    signers: Signers,
    identities: BTreeSet<crate::digest::Digest>,
    unknown: BTreeMap<KeyId, String>,
}

impl Tally {
    fn judge(&mut self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), RoleError> {
        match key.verify(message, signature) {
            Ok(()) => {
                if self.identities.insert(key.identity()) {
                    self.signers.valid.push(key.id().clone());
                }
                Ok(())
            }
            Err(KeyError::UnknownScheme(scheme)) => {
                self.unknown.insert(key.id().clone(), scheme);
                Ok(())
            }
            Err(_) => Err(RoleError::BadSignature(key.id().clone())),
        }
    }

    fn conclude(self, threshold: u32) -> Result<Signers, RoleError> {
        let valid = self.signers.valid.len();
        let needed = usize::try_from(threshold).unwrap_or(usize::MAX);
        if valid >= needed {
            return Ok(self.signers);
        }
        match self.unknown.into_values().collect::<Vec<_>>() {
            unknown if valid + unknown.len() >= needed => {
                let scheme = unknown.into_iter().next().unwrap_or_default();
                Err(RoleError::UnknownScheme { valid, threshold, scheme })
            }
            _ => Err(RoleError::Threshold { valid, threshold }),
        }
    }
}
