//! The publisher's own record of its delegations, `delegations.json` (docs/formats/delegations.md): kept in version control,
//! and signed only as a part of each bundle's targets metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DelegatedRole, Delegations, MAX_PATTERNS, TrustError};
use crate::format;
use crate::json::{Limits, jcs};
use crate::key::{KeyId, PublicKey};
use crate::names::{NamePrefix, RoleName};
use crate::role::KeySet;

/// The value of `format`.
pub const DELEGATIONS_FORMAT: &str = format::DELEGATIONS.current;
/// How the file is called.
const FILE: &str = "delegations.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    keys: BTreeMap<KeyId, PublicKey>,
    roles: Vec<DelegatedRole>,
}

/// Why a delegation is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The vendor has another delegation.
    #[error("the vendor {0} is there already, with other keys, another threshold or other names")]
    Taken(RoleName),
    /// A name would have two vendors.
    #[error("{prefix} and {theirs}, which is delegated to the vendor {vendor}, have names in common")]
    Overlap {
        /// What is to be delegated.
        prefix: NamePrefix,
        /// What is delegated already.
        theirs: NamePrefix,
        /// To whom.
        vendor: RoleName,
    },
    /// Every name.
    #[error("every name at once is not delegated: whoever vouches for all of them is a publisher")]
    Everything,
    /// Nothing, or more than one delegation holds.
    #[error("a vendor has 1 to {limit} beginnings of names, and {count} were given")]
    Count {
        /// How many were given.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl Delegations {
    /// Reads the file as [`Self::to_bytes`] writes it.
    ///
    /// # Errors
    /// [`TrustError`] where it is not canonical, of another format, or unsound.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrustError> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let malformed = |source| TrustError::Json { file: FILE.to_owned(), source };
        let other = |source| TrustError::Format { file: FILE.to_owned(), source };
        let wire = format::read(text, &Limits::DOCUMENT, format::DELEGATIONS, |wire: &Wire| &wire.format);
        let wire = wire.map_err(|error| error.either(malformed, other))?;
        let delegations = Self { keys: wire.keys, roles: wire.roles };
        delegations.check(FILE)?;
        Ok(delegations)
    }

    /// The file: canonical JSON, and a line feed for git's sake.
    ///
    /// # Errors
    /// [`TrustError::Json`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrustError> {
        let (keys, roles) = (self.keys.clone(), self.roles.clone());
        let wire = Wire { format: DELEGATIONS_FORMAT.to_owned(), keys, roles };
        let bytes = jcs::to_vec(&wire).map_err(|source| TrustError::Json { file: FILE.to_owned(), source });
        bytes.map(|mut bytes| {
            bytes.push(b'\n');
            bytes
        })
    }

    /// Delegates the names that begin with one of `prefixes` to `vendor` with its `keys`, terminating. Whether anything changed
    /// is answered: the very same again is no harm.
    ///
    /// # Errors
    /// [`DelegateError`]; nothing is changed then.
    pub fn delegate(
        &mut self,
        vendor: &RoleName,
        keys: &KeySet,
        prefixes: &[NamePrefix],
    ) -> Result<bool, DelegateError> {
        let role = delegated_role(vendor, keys, prefixes)?;
        if let Some(present) = self.roles.iter().find(|present| present.name == *vendor) {
            return if *present == role { Ok(false) } else { Err(DelegateError::Taken(vendor.clone())) };
        }
        for other in &self.roles {
            for (prefix, theirs) in pairs(prefixes, &NamePrefix::of_patterns(&other.paths)) {
                if prefix.overlaps(theirs) {
                    let (prefix, theirs, vendor) = (prefix.clone(), theirs.clone(), other.name.clone());
                    return Err(DelegateError::Overlap { prefix, theirs, vendor });
                }
            }
        }
        self.keys.extend(keys.keys().iter().map(|(id, key)| (id.clone(), key.clone())));
        self.roles.push(role);
        self.roles.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(true)
    }

    /// Takes the delegation to `vendor` back. Whether there was one is answered.
    pub fn revoke(&mut self, vendor: &RoleName) -> bool {
        let remaining = self.keeping(|name| name != vendor);
        let is_changed = remaining.roles.len() != self.roles.len();
        *self = remaining;
        is_changed
    }
}

fn pairs<'a>(
    ours: &'a [NamePrefix],
    theirs: &'a [NamePrefix],
) -> impl Iterator<Item = (&'a NamePrefix, &'a NamePrefix)> {
    ours.iter().flat_map(move |prefix| theirs.iter().map(move |other| (prefix, other)))
}

fn delegated_role(vendor: &RoleName, keys: &KeySet, prefixes: &[NamePrefix]) -> Result<DelegatedRole, DelegateError> {
    let mut prefixes = prefixes.to_vec();
    prefixes.sort();
    prefixes.dedup();
    if prefixes.iter().any(NamePrefix::is_all) {
        return Err(DelegateError::Everything);
    }
    let paths: Vec<String> = prefixes.iter().flat_map(NamePrefix::patterns).collect();
    if paths.is_empty() || paths.len() > MAX_PATTERNS {
        let (count, limit) = (prefixes.len(), MAX_PATTERNS / (NamePrefix::LEVELS + 2));
        return Err(DelegateError::Count { count, limit });
    }
    let role = keys.role();
    Ok(DelegatedRole { name: vendor.clone(), keyids: role.keyids, threshold: role.threshold, terminating: true, paths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{FileKey, Scheme, Signer};

    fn keys() -> KeySet {
        let keys = [Scheme::Ed25519, Scheme::EcdsaP256].map(|scheme| FileKey::generate(scheme).unwrap());
        KeySet::new(keys.iter().map(|key| key.public_key().clone()), 1).unwrap()
    }

    fn prefixes(texts: &[&str]) -> Vec<NamePrefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn role(name: &str) -> RoleName {
        name.parse().unwrap()
    }

    #[test]
    fn what_was_delegated_is_read_again_and_taken_back() {
        let (acme, zeta) = (keys(), keys());
        let mut delegations = Delegations::default();
        assert!(delegations.delegate(&role("zeta"), &zeta, &prefixes(&["quay.io/zeta"])).unwrap());
        assert!(delegations.delegate(&role("acme"), &acme, &prefixes(&["quay.io/acme", "ghcr.io/acme"])).unwrap());
        let bytes = delegations.to_bytes().unwrap();
        assert_eq!(Delegations::from_bytes(&bytes).unwrap(), delegations);
        assert!(!delegations.delegate(&role("acme"), &acme, &prefixes(&["ghcr.io/acme", "quay.io/acme"])).unwrap());
        assert_eq!(delegations.asked_for("ghcr.io/acme/a/b:1").unwrap().name, role("acme"));
        assert_eq!(delegations.asked_for("ghcr.io/acmetools/a:1"), None);
        assert!(delegations.revoke(&role("acme")) && !delegations.revoke(&role("acme")));
        assert_eq!((delegations.roles.len(), delegations.keys.len()), (1, 2));
    }

    #[test]
    fn a_name_has_one_vendor() {
        let mut delegations = Delegations::default();
        delegations.delegate(&role("acme"), &keys(), &prefixes(&["quay.io/acme"])).unwrap();
        for text in ["quay.io/acme", "quay.io/acme/team", "quay.io"] {
            let refused = delegations.delegate(&role("evil"), &keys(), &prefixes(&[text])).unwrap_err();
            assert!(matches!(refused, DelegateError::Overlap { .. }), "{text}: {refused}");
        }
        let refused = delegations.delegate(&role("acme"), &keys(), &prefixes(&["quay.io/acme"])).unwrap_err();
        assert_eq!(refused, DelegateError::Taken(role("acme")));
        assert_eq!(
            delegations.delegate(&role("evil"), &keys(), &prefixes(&["*"])).unwrap_err(),
            DelegateError::Everything
        );
        let many: Vec<String> = (0..7).map(|number| format!("quay.io/x{number}")).collect();
        let many = prefixes(&many.iter().map(String::as_str).collect::<Vec<_>>());
        for (given, count) in [(&many[..], 7), (&[], 0)] {
            let refused = delegations.delegate(&role("evil"), &keys(), given).unwrap_err();
            assert_eq!(refused, DelegateError::Count { count, limit: 6 });
        }
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_refused() {
        let mut delegations = Delegations::default();
        delegations.delegate(&role("acme"), &keys(), &prefixes(&["quay.io/acme"])).unwrap();
        let text = String::from_utf8(delegations.to_bytes().unwrap()).unwrap();
        for changed in [
            text.replace("delegations/1", "delegations/2"),
            text.replace(r#""threshold":1"#, r#""threshold":3"#),
            text.replace(r#"{"format""#, r#"{ "format""#),
            text.replace(r#""terminating":true"#, r#""more":1,"terminating":true"#),
        ] {
            assert_ne!(changed, text);
            assert!(Delegations::from_bytes(changed.as_bytes()).is_err(), "{changed}");
        }
    }
}
