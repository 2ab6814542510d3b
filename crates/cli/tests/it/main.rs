//! The command as a person runs it: one module per command.

mod binary;
#[cfg(feature = "outside")]
mod build;
mod completion;
mod docs;
mod explain;
mod help;
#[cfg(feature = "outside")]
mod import;
mod init;
#[cfg(feature = "outside")]
mod inspect;
#[cfg(feature = "outside")]
mod lock;
#[cfg(feature = "outside")]
mod packager;
mod release;
mod sandbox;
mod serve;
mod settings;
mod site;
mod trust;
#[cfg(feature = "outside")]
mod verify;
mod version;
