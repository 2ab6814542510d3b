//! Trust metadata: The Update Framework (TUF specification 1.0.34), one repository per (root, stream).
//!
//! The publisher's keys and threshold fill targets, snapshot and timestamp; their versions are the stream's sequence;
//! the one target is `manifest.json`. Any TUF client can verify what is made here.

mod change;
mod delegation;
mod delegations_file;
mod error;
pub(crate) mod make;
mod metadata;
mod roots;
mod rules;
mod set;
mod state;
pub(crate) mod vendor_files;
mod verify;
mod word;

pub use change::{RoleChange, role_changes};
pub(crate) use delegation::role_file;
pub use delegation::{
    DelegatedRole, Delegations, MAX_DELEGATED_ROLES, MAX_DELEGATION_DEPTH, MAX_PATTERNS, Vendor, Vouch, matches,
};
pub use delegations_file::{DELEGATIONS_FORMAT, DelegateError};
pub use error::TrustError;
pub use make::{MakeError, RootSpec, Terms, add_root_signatures, create_root, prepare, rotate_root, sign_manifest};
pub(crate) use metadata::lower_hex;
pub use metadata::{
    FileMeta, Metadata, Roles, Root, RootExtension, Signature, Signed, Snapshot, TargetFile, Targets, TimestampMeta,
};
pub use roots::{RootWalk, open_root, walk_roots};
pub use rules::{MAX_SKEW, Rules};
pub use set::MetadataSet;
pub use state::StreamState;
pub use vendor_files::VendorPlan;
pub use verify::{Verified, Verifier, verify};
pub use word::VendorWord;

/// The target that stands for the whole bundle.
pub const MANIFEST: &str = "manifest.json";
/// The target that a publisher's newest revocation list is, where a bundle carries one.
pub const REVOCATIONS: &str = "revocations.json";
/// The version of the specification that is written; any 1.x is read.
pub const SPEC_VERSION: &str = "1.0.34";
/// How far ahead of the last accepted one a sequence may be.
pub const MAX_JUMP: u64 = 1000;
/// How many roots one bundle may bring (the specification asks for a bound in 5.3.3).
pub const MAX_ROOTS: usize = 256;
