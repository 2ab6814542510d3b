//! The command as a person runs it: one module per command.
#![expect(unreachable_pub, reason = "a test has no API")]
#![expect(clippy::expect_used, reason = "a test's helper fails by panicking")]

mod ansible;
mod app;
#[cfg(feature = "outside")]
mod attacks;
mod backup;
mod binary;
#[cfg(feature = "outside")]
mod build;
#[cfg(feature = "outside")]
mod ceremony;
mod cluster;
mod completion;
mod convert;
#[cfg(feature = "outside")]
mod delta;
#[cfg(feature = "outside")]
mod diff;
mod docs;
mod etcd;
#[cfg(feature = "outside")]
mod every_step;
mod explain;
mod formats;
mod gap;
mod help;
#[cfg(feature = "outside")]
mod hsm;
#[cfg(feature = "outside")]
mod import;
mod in_place;
mod init;
#[cfg(feature = "outside")]
mod inspect;
#[cfg(feature = "outside")]
mod interop;
#[cfg(feature = "outside")]
mod lock;
mod node;
#[cfg(feature = "outside")]
mod os_packages;
#[cfg(feature = "outside")]
mod packager;
#[cfg(feature = "outside")]
mod patches;
mod rebuild;
mod registry;
mod release;
#[cfg(feature = "outside")]
mod revocations;
mod sandbox;
mod serve;
mod settings;
#[cfg(feature = "outside")]
mod signatures;
#[cfg(feature = "outside")]
mod signing;
mod site;
#[cfg(feature = "outside")]
mod site_backup;
#[cfg(feature = "outside")]
mod store;
#[cfg(feature = "outside")]
mod strace;
mod trust;
#[cfg(feature = "outside")]
mod update;
mod vendors;
#[cfg(feature = "outside")]
mod verify;
mod version;
#[cfg(feature = "outside")]
mod volumes;
