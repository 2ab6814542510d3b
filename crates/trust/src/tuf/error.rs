//! Why a bundle's trust metadata is not believed.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::digest::Digest;
use crate::format::UnknownFormat;
use crate::json;
use crate::key::KeyId;
use crate::names::{NamePrefix, RoleName};
use crate::reason::Code;
use crate::role::RoleError;

/// Why a bundle's trust metadata is not believed. Files are named as in the bundle's `tuf/metadata/`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file that no such set has.
    #[error("{0:?} is not a file of trust metadata")]
    UnknownFile(String),
    /// A file that every such set has is missing.
    #[error("the trust metadata lacks {0}")]
    MissingFile(String),
    /// More roots than one bundle may bring.
    #[error("the trust metadata has more than {limit} roots")]
    TooManyRoots {
        /// The allowed count.
        limit: usize,
    },
    /// More delegations than one bundle may bring.
    #[error("the trust metadata has more than {limit} {what}")]
    TooManyDelegations {
        /// Of what.
        what: &'static str,
        /// The allowed count.
        limit: usize,
    },
    /// A role that is delegated to twice, or leads back to itself.
    #[error("the delegations lead to the role {role} a second time")]
    DelegationCycle {
        /// The role.
        role: RoleName,
    },
    /// A delegated role vouches for a name that it has no say in.
    #[error("{file} vouches for {name:?}, which is outside of its delegation")]
    OutOfScope {
        /// The role's file.
        file: String,
        /// The name.
        name: String,
    },
    /// An artifact that its publisher was not enrolled for.
    #[error("{name:?} is none of the names that this publisher's root is enrolled for: {}", names(allowed))]
    ForeignName {
        /// The artifact's name.
        name: String,
        /// What its names may begin with.
        allowed: Vec<NamePrefix>,
    },
    /// A vendor's file that delegates on: a bundle that is made here carries none of the files that this would take.
    #[error("{file} delegates to others, and their files do not come with it")]
    DelegatesOn {
        /// The role's file.
        file: String,
    },
    /// A delegated role's file is older than what was accepted.
    #[error("{file} has version {version}, and {accepted} was accepted already")]
    DelegatedRollback {
        /// The role's file.
        file: String,
        /// Its version.
        version: u64,
        /// The accepted version.
        accepted: u64,
    },
    /// Not well-formed metadata.
    #[error("{file} is not well-formed TUF metadata")]
    Json {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: json::Error,
    },
    /// A file of ours of another format or major version.
    #[error("{file} is not of a version that is read here")]
    Format {
        /// The file.
        file: String,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// Metadata of another role, or of an unknown major version of the specification.
    #[error("{file} says that it is {found:?}, but has to be {expected:?}")]
    Kind {
        /// The file.
        file: String,
        /// What it has to be.
        expected: &'static str,
        /// What it says.
        found: String,
    },
    /// The signatures of timestamp, snapshot or targets do not suffice.
    #[error("the signatures of {file} do not suffice")]
    Role {
        /// The file.
        file: String,
        /// Why not.
        source: RoleError,
    },
    /// A signature by a key that has no say in this file.
    #[error("{file} carries a signature by {keyid:?}, which is no key of this role")]
    ForeignSignature {
        /// The file.
        file: String,
        /// The claimed key id.
        keyid: String,
    },
    /// The roots do not follow each other one by one.
    #[error("root {expected} is needed next, but {found} comes")]
    RootGap {
        /// The version that has to come.
        expected: u64,
        /// The version that comes.
        found: u64,
    },
    /// A root is not signed by the threshold of the root before it, or of itself.
    #[error("root {version} is not signed by the threshold of root {by}")]
    RootSignature {
        /// The root that is to be believed.
        version: u64,
        /// The root whose keys should have signed it.
        by: u64,
        /// What the signatures lack.
        source: RoleError,
    },
    /// A root is unsound: a role that can't be filled.
    #[error("root {version} is unsound")]
    RootUnsound {
        /// The root's version.
        version: u64,
        /// What is wrong.
        source: RoleError,
    },
    /// Two different roots of one version.
    #[error("there are two different roots of version {version}, and the other one is trusted")]
    RootFork {
        /// The version.
        version: u64,
    },
    /// The hard expiry has passed.
    #[error("{file} expired at {expires}, and it is {now}")]
    Expired {
        /// The file.
        file: String,
        /// When it expired.
        expires: Timestamp,
        /// The time that was taken as now: the later of the clock and the last accepted issue time.
        now: Timestamp,
    },
    /// Files of different sequences put together.
    #[error("{file} has version {found}, but {by} promises {promised}")]
    Mixed {
        /// The file.
        file: String,
        /// The file that makes the promise.
        by: &'static str,
        /// The promised version.
        promised: u64,
        /// The version that it has.
        found: u64,
    },
    /// A file does not have the length it was promised to have.
    #[error("{file} has {found} bytes, but was signed with {promised}")]
    Size {
        /// The file.
        file: String,
        /// The signed length in bytes.
        promised: u64,
        /// Its length in bytes.
        found: u64,
    },
    /// A metadata file does not have the digest it was promised to have.
    #[error("{file} does not have the digest that {by} promises")]
    Digest {
        /// The file.
        file: String,
        /// The file that makes the promise.
        by: &'static str,
    },
    /// A promise is made without any SHA-256 or SHA-512, so it can't be checked.
    #[error("{by} gives no SHA-256 or SHA-512 digest of {file}")]
    NoDigest {
        /// The file.
        file: String,
        /// The file that makes the promise.
        by: &'static str,
    },
    /// The signed targets do not list a manifest.
    #[error("targets.json lists no manifest.json")]
    NoManifest,
    /// The manifest is not the one that was signed.
    #[error("manifest.json is not the one that was signed: it has {found}")]
    ManifestAltered {
        /// The digest it has.
        found: Digest,
    },
    /// Older than what was accepted.
    #[error("sequence {sequence} is older than {accepted}, which was accepted already")]
    Rollback {
        /// The bundle's sequence.
        sequence: u64,
        /// The accepted sequence.
        accepted: u64,
    },
    /// Another content under an accepted sequence.
    #[error("sequence {sequence} was accepted with manifest {accepted}, and now comes signed with {found}")]
    Equivocation {
        /// The sequence of both.
        sequence: u64,
        /// The accepted manifest.
        accepted: Digest,
        /// This one.
        found: Digest,
    },
    /// Sequences in between are missing.
    #[error("sequence {} of this stream must be imported first", range(missing))]
    Gap {
        /// The sequences that were skipped.
        missing: RangeInclusive<u64>,
    },
    /// Further ahead than any honest publisher gets.
    #[error("sequence {sequence} is more than {limit} ahead of {accepted}", limit = super::MAX_JUMP)]
    Jump {
        /// The bundle's sequence.
        sequence: u64,
        /// The accepted sequence.
        accepted: u64,
    },
    /// Older than the first one that the enrolment of its publisher names.
    #[error("sequence {sequence} is older than {start}, with which this stream begins at this site")]
    BeforeStart {
        /// The bundle's sequence.
        sequence: u64,
        /// The sequence that the enrolment names.
        start: u64,
    },
    /// Issued in the future.
    #[error("the bundle was issued at {issued}, and here it is {now}")]
    IssuedAhead {
        /// When it says that it was issued.
        issued: Timestamp,
        /// The time that was taken as now.
        now: Timestamp,
    },
    /// The threshold is missed without a key that was revoked.
    #[error("the signatures of {file} do not suffice without the key {keyid}, which is revoked")]
    RevokedKey {
        /// The file.
        file: String,
        /// The revoked key.
        keyid: KeyId,
    },
}

impl TrustError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownFile(_) => Code::Undeclared,
            Self::MissingFile(_) => Code::Incomplete,
            Self::TooManyRoots { .. } | Self::TooManyDelegations { .. } => Code::Limit,
            Self::DelegationCycle { .. } => Code::Cycle,
            Self::Json { source, .. } => source.code(),
            Self::Format { .. }
            | Self::Kind { .. }
            | Self::NoManifest
            | Self::NoDigest { .. }
            | Self::DelegatesOn { .. } => Code::Format,
            Self::RootUnsound { source, .. } | Self::Role { source, .. } => source.code(),
            Self::ForeignSignature { .. } | Self::OutOfScope { .. } | Self::ForeignName { .. } => Code::Scope,
            Self::RootGap { .. } => Code::RootGap,
            Self::RootSignature { .. } => Code::RootSig,
            Self::RootFork { .. } | Self::Equivocation { .. } => Code::Equivocation,
            Self::Expired { .. } => Code::Expired,
            Self::Mixed { .. } => Code::Subject,
            Self::Size { .. } => Code::Size,
            Self::Digest { .. } => Code::Digest,
            Self::ManifestAltered { .. } => Code::Sig,
            Self::Rollback { .. } | Self::DelegatedRollback { .. } => Code::Rollback,
            Self::Gap { .. } => Code::Gap,
            Self::Jump { .. } => Code::Jump,
            Self::BeforeStart { .. } => Code::Rollback,
            Self::IssuedAhead { .. } => Code::Clock,
            Self::RevokedKey { .. } => Code::Revoked,
        }
    }

    /// Always: what is not believed now is not believed on a second try.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

fn names(prefixes: &[NamePrefix]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `4`, or `4 to 6`.
fn range(sequences: &RangeInclusive<u64>) -> String {
    match (sequences.start(), sequences.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    }
}
