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
    #[error("valid signatures by distinct keys of the role: {valid}, needed: {threshold}")]
    Threshold {
        /// Valid signatures by distinct keys.
        valid: usize,
        /// Signatures that it takes.
        threshold: u32,
    },
    /// The threshold is missed, and would not be if signatures of an unknown scheme could be checked.
    #[error("valid signatures: {valid}, needed: {threshold}; others are of the unknown scheme {scheme:?}")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{FileKey, Scheme, Signer};

    const MESSAGE: &[u8] = b"message";

    fn keys(count: usize) -> Vec<FileKey> {
        let scheme = |index| if index % 2 == 0 { Scheme::Ed25519 } else { Scheme::EcdsaP256 };
        (0..count).map(|index| FileKey::generate(scheme(index)).unwrap()).collect()
    }

    fn public(keys: &[FileKey]) -> impl Iterator<Item = PublicKey> {
        keys.iter().map(|key| key.public_key().clone())
    }

    fn judge(set: &KeySet, signatures: &[(KeyId, Vec<u8>)]) -> Result<Signers, Code> {
        let claims: Vec<_> = signatures.iter().map(|(id, signature)| Claim { keyid: id.as_str(), signature }).collect();
        set.verify(MESSAGE, &claims).map_err(|error| error.code())
    }

    fn sign(key: &FileKey) -> (KeyId, Vec<u8>) {
        (key.public_key().id().clone(), key.sign(MESSAGE).unwrap())
    }

    /// The same public key under a second id: unknown fields of a key object are part of what the id is made of.
    fn alias(key: &PublicKey) -> PublicKey {
        let mut object: BTreeMap<String, serde_json::Value> = key.clone().into();
        object.insert("x-comment".to_owned(), "second".into());
        PublicKey::try_from(object).unwrap()
    }

    fn of_unknown_scheme(scheme: &str) -> PublicKey {
        let object = serde_json::json!({"keytype": scheme, "scheme": scheme, "keyval": {"public": "00"}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_threshold_of_valid_signatures_holds() {
        let keys = keys(3);
        let set = KeySet::new(public(&keys), 2).unwrap();
        let signers = judge(&set, &[sign(&keys[0]), sign(&keys[1])]).unwrap();
        assert_eq!(signers.valid.len(), 2);
        assert!(set.is_met_by(&signers.valid) && !set.is_met_by(&signers.valid[..1]));
        assert_eq!(judge(&set, &[sign(&keys[0])]), Err(Code::Threshold));
        assert_eq!(judge(&set, &[]), Err(Code::Unsigned));
    }

    #[test]
    fn one_key_that_signs_twice_counts_once() {
        let keys = keys(2);
        let set = KeySet::new(public(&keys), 2).unwrap();
        assert_eq!(judge(&set, &[sign(&keys[0]), sign(&keys[0])]), Err(Code::Threshold));
    }

    #[test]
    fn one_key_under_two_ids_counts_once() {
        let keys = keys(2);
        let second = alias(keys[0].public_key());
        assert_ne!(second.id(), keys[0].public_key().id());
        let set = KeySet::new(public(&keys).chain([second.clone()]), 2).unwrap();
        let (_, signature) = sign(&keys[0]);
        assert_eq!(judge(&set, &[sign(&keys[0]), (second.id().clone(), signature)]), Err(Code::Threshold));
        let alone = KeySet::new([keys[0].public_key().clone(), second], 2);
        assert_eq!(alone, Err(RoleError::Unreachable { threshold: 2, keys: 1 }));
    }

    #[test]
    fn an_invalid_signature_is_refused_even_where_the_others_suffice() {
        let keys = keys(2);
        let set = KeySet::new(public(&keys), 1).unwrap();
        let (id, mut signature) = sign(&keys[1]);
        let last = signature.len() - 1;
        signature[last] ^= 1;
        assert_eq!(judge(&set, &[sign(&keys[0]), (id, signature)]), Err(Code::Sig));
    }

    #[test]
    fn an_unknown_scheme_never_counts_and_is_named_only_where_it_is_missed() {
        let keys = keys(1);
        let foreign = of_unknown_scheme("ml-dsa-65");
        let claim = (foreign.id().clone(), vec![0]);
        let both = public(&keys).chain([foreign.clone()]);
        let needs_two = KeySet::new(both, 2).unwrap();
        assert_eq!(judge(&needs_two, &[sign(&keys[0]), claim.clone()]), Err(Code::Alg));
        assert_eq!(judge(&needs_two, &[sign(&keys[0])]), Err(Code::Threshold));
        let needs_one = KeySet::new(public(&keys).chain([foreign]), 1).unwrap();
        assert!(judge(&needs_one, &[sign(&keys[0]), claim]).is_ok());
        let empty = KeySet::new([of_unknown_scheme("")], 1).unwrap();
        let id = empty.keys().keys().next().unwrap().clone();
        assert_eq!(judge(&empty, &[(id, Vec::new())]), Err(Code::Alg));
    }

    #[test]
    fn a_role_that_nobody_can_fill_is_refused() {
        let keys = keys(1);
        assert!(KeySet::new(public(&keys), 0).is_err());
        assert!(KeySet::new([], 1).is_err());
        let id = keys[0].public_key().id().clone();
        let role = Role { keyids: vec![id.clone()], threshold: 1 };
        assert_eq!(KeySet::from_role(&BTreeMap::new(), &role), Err(RoleError::MissingKey(id.clone())));
        // Under an id that is not its own.
        let stranger = of_unknown_scheme("x");
        let listed = BTreeMap::from([(id.clone(), stranger)]);
        assert_eq!(KeySet::from_role(&listed, &role), Err(RoleError::MissingKey(id)));
    }
}
