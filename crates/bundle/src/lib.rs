//! Sealock bundle: boxes them. Spec, lock, manifest, archive, volumes, verification, import.
//!
//! This crate opens no socket and reads no clock: time is an argument.

pub mod add_ons;
pub mod archive;
pub mod artifact;
pub mod binary;
pub mod components;
pub mod convert;
pub mod delta;
pub mod diff;
pub mod document;
pub mod heal;
pub mod import;
mod index;
pub mod licences;
pub mod lock;
pub mod manifest;
pub mod media;
pub mod names;
pub mod os_packages;
pub mod parameters;
pub mod patch;
pub mod plain;
pub mod reference;
pub mod sbom;
pub mod schema;
pub mod sign;
pub mod spec;
pub mod summary;
pub mod update;
pub mod vendors;
pub mod verify;
pub mod volumes;
pub mod workload;

pub use archive::{Archive, ArchiveError};
pub use import::{ImportOutcome, Station, import};
pub use lock::Lock;
pub use manifest::Manifest;
pub use reference::{ArtifactName, Reference};
pub use sign::sign;
pub use spec::{Bundle, BundleSpec, Site, SiteSpec};
