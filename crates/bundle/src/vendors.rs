//! Vendors: which artifacts of a bundle each is asked to vouch for, and what of their earlier words still serves.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::tuf::{DelegatedRole, Delegations, MAX_JUMP, TargetFile, TrustError, VendorPlan, VendorWord};
use sealock_trust::{Digest, NamePrefix, RoleName};

use crate::manifest::Manifest;

/// What vendors have signed before: their files by role, not judged yet.
pub type Words = BTreeMap<RoleName, Vec<u8>>;

/// Artifacts of one bundle that one vendor is asked for at most: its file has to stay a document that can be read.
pub const MAX_ARTIFACTS: usize = 4_000;
/// Bytes of what one vendor is asked to sign at most.
const MAX_ASKED: usize = 900 << 10;
/// Bytes that one artifact takes in a vendor's file beside its name, at most.
const PER_ARTIFACT: usize = 256;
/// Bytes that a vendor's file takes beside its artifacts and signatures, at most.
const PER_ROLE: u64 = 4 << 10;
/// Bytes that one signature takes, at most.
const PER_KEY: u64 = 4 << 10;
/// Bytes of the header that are kept for vendors at most.
const MAX_ROOM: u64 = 4 << 20;
/// How delegations are called in errors.
const DELEGATIONS: &str = "the delegations";

/// Why delegations do not serve a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VendorsError {
    /// They are unsound by themselves.
    #[error(transparent)]
    Unsound(#[from] TrustError),
    /// A name below a delegated prefix that the patterns of the delegation do not reach.
    #[error(
        "{name} lies more than {levels} words below {prefix}, deeper than its delegation to the vendor {vendor} reaches",
        levels = NamePrefix::LEVELS
    )]
    TooDeep {
        /// The vendor's role.
        vendor: RoleName,
        /// The delegated prefix.
        prefix: NamePrefix,
        /// The artifact's name.
        name: String,
    },
    /// More artifacts than one vendor's file can hold.
    #[error("the vendor {vendor} would have to vouch for more artifacts than one file holds, some {MAX_ARTIFACTS}")]
    TooMany {
        /// The vendor's role.
        vendor: RoleName,
    },
}

impl VendorsError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Unsound(source) => source.code(),
            Self::TooDeep { .. } | Self::TooMany { .. } => Code::Limit,
        }
    }

    /// Always: the same delegations and names are refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

/// Those of `delegations` that have a say in one of `names`; none where nobody has.
///
/// # Errors
/// [`VendorsError`].
pub fn concerned<'a>(
    delegations: &Delegations,
    names: impl Iterator<Item = &'a str>,
) -> Result<Option<Delegations>, VendorsError> {
    delegations.check(DELEGATIONS)?;
    let mut asked: BTreeMap<&RoleName, (usize, usize)> = BTreeMap::new();
    for name in names {
        let Some(role) = delegations.asked_for(name) else {
            check_depth(delegations, name)?;
            continue;
        };
        let (count, bytes) = asked.entry(&role.name).or_default();
        *count += 1;
        *bytes += name.len() + PER_ARTIFACT / 2;
        if *count > MAX_ARTIFACTS || *bytes > MAX_ASKED {
            return Err(VendorsError::TooMany { vendor: role.name.clone() });
        }
    }
    Ok((!asked.is_empty()).then(|| delegations.keeping(|role| asked.contains_key(role))))
}

/// Nobody's patterns cover `name`: then it must not lie below a prefix that somebody was given either.
fn check_depth(delegations: &Delegations, name: &str) -> Result<(), VendorsError> {
    for role in &delegations.roles {
        let prefixes = NamePrefix::of_patterns(&role.paths);
        if let Some(prefix) = prefixes.into_iter().find(|prefix| prefix.covers(name)) {
            return Err(VendorsError::TooDeep { vendor: role.name.clone(), prefix, name: name.to_owned() });
        }
    }
    Ok(())
}

/// Bytes of the header that are kept for delegations and vendors' files, whoever signs: `names` are those of the bundle.
pub(crate) fn room<'a>(delegations: Option<&Delegations>, names: impl Iterator<Item = &'a str>) -> u64 {
    let Some(delegations) = delegations else { return 0 };
    let own = jcs::to_vec(delegations).map_or(0, |bytes| bytes.len() as u64);
    let roles = delegations.roles.iter().map(|role| PER_ROLE + PER_KEY * role.keyids.len() as u64).sum::<u64>();
    let covered = names.filter(|name| delegations.asked_for(name).is_some());
    let artifacts = covered.map(|name| (name.len() + PER_ARTIFACT) as u64).sum::<u64>();
    (own + roles + artifacts).min(MAX_ROOM)
}

/// A word that does not serve a bundle, and why.
#[derive(Debug)]
pub struct Unfit {
    /// The vendor.
    pub role: RoleName,
    why: Why,
}

#[derive(Debug)]
enum Why {
    NotBelieved(TrustError),
    Expires { expires: Timestamp, until: Timestamp },
    Silent(String),
    OtherContent(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = &self.role;
        match &self.why {
            Why::NotBelieved(source) => {
                write!(f, "what the vendor {role} signed before is not believed: {source}")?;
                let causes = std::iter::successors(std::error::Error::source(source), |error| error.source());
                causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            Why::Expires { expires, until } => {
                write!(
                    f,
                    "what the vendor {role} signed before expires at {expires}, and the bundle is fresh until {until}"
                )
            }
            Why::Silent(name) => write!(f, "what the vendor {role} signed before says nothing of {name}"),
            Why::OtherContent(name) => {
                write!(f, "what the vendor {role} signed before is about other content of {name}")
            }
        }
    }
}

/// Who is asked for what in the bundle of `manifest`, with those of `words` that serve. Beside it, why others do not.
///
/// A word serves where it vouches for every artifact that its vendor is asked for, with this content, and outlives the time
/// for which the bundle is fresh. It may say more.
pub fn plan(manifest: &Manifest, words: &Words) -> (Option<VendorPlan>, Vec<Unfit>) {
    let Some(delegations) = &manifest.delegations else { return (None, Vec::new()) };
    let (targets, mut unfit) = (asked(manifest, delegations), Vec::new());
    let mut plan = VendorPlan { delegations: delegations.clone(), targets, ..VendorPlan::default() };
    for role in &delegations.roles {
        let Some(bytes) = words.get(&role.name) else { continue };
        let asked = plan.targets.get(&role.name);
        match judge(bytes, role, (delegations, asked), manifest.soft_expiry) {
            Ok(word) => drop(plan.words.insert(role.name.clone(), word)),
            Err(why) => {
                plan.versions.insert(role.name.clone(), version_after(bytes, manifest.sequence));
                unfit.push(Unfit { role: role.name.clone(), why });
            }
        }
    }
    (Some(plan), unfit)
}

/// The version of a new file: never behind the one before, so that no site sees the vendor go back.
fn version_after(word: &[u8], sequence: u64) -> u64 {
    let claimed = VendorWord::claimed_version(word).filter(|version| *version <= sequence.saturating_add(MAX_JUMP));
    claimed.map_or(sequence, |version| sequence.max(version + 1))
}

fn judge(
    bytes: &[u8],
    role: &DelegatedRole,
    (delegations, asked): (&Delegations, Option<&BTreeMap<String, TargetFile>>),
    until: Timestamp,
) -> Result<VendorWord, Why> {
    let word = VendorWord::open(bytes, role, &delegations.keys).map_err(Why::NotBelieved)?;
    for (name, wanted) in asked.into_iter().flatten() {
        match word.target(name) {
            None => return Err(Why::Silent(name.clone())),
            Some(said) if !agree(said, wanted) => return Err(Why::OtherContent(name.clone())),
            Some(_) => {}
        }
    }
    match word.expires() {
        expires if expires <= until => Err(Why::Expires { expires, until }),
        _ => Ok(word),
    }
}

/// Whether both are about the same content: the digest that is wanted is the one that is said.
fn agree(said: &TargetFile, wanted: &TargetFile) -> bool {
    said.length == wanted.length && wanted.hashes.iter().all(|(algorithm, hex)| said.hashes.get(algorithm) == Some(hex))
}

/// The artifacts of `manifest` that each role of `delegations` is asked to vouch for.
pub(crate) fn asked(
    manifest: &Manifest,
    delegations: &Delegations,
) -> BTreeMap<RoleName, BTreeMap<String, TargetFile>> {
    let sizes: BTreeMap<&Digest, u64> = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    let mut targets: BTreeMap<RoleName, BTreeMap<String, TargetFile>> = BTreeMap::new();
    for reference in &manifest.references {
        let name = reference.name.as_str();
        let Some(role) = delegations.asked_for(name) else { continue };
        let digest = &reference.digest;
        let length = sizes.get(digest).copied().unwrap_or_default();
        let hashes = BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]);
        let of_role = targets.entry(role.name.clone()).or_default();
        of_role.insert(name.to_owned(), TargetFile { length, hashes, custom: None });
    }
    targets
}
