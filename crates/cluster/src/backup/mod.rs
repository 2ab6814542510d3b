//! Backups of a cluster: what it takes to make its control plane again, on these machines or on others (docs/formats/backup.md).
//!
//! A control plane host takes a snapshot of etcd, rehearses its restore, and sends it with the cluster's authorities, encrypted for those
//! who may open it ([`take`]); the station writes that down in one file with a table of contents that the site signs ([`Backup`]). On the way
//! back the station believes the signature, opens the encryption, and has a host take what the table names ([`unpack`]).

mod container;
mod disk;
pub mod drill;
mod error;
pub mod evidence;
mod file;
mod folder;
mod interrupt;
mod keys;
mod manifest;
mod payload;
mod retention;
pub mod station;
mod table;
mod take;
#[cfg(test)]
mod tests;
mod unpack;
mod whole;

pub use container::Draft;
pub use error::BackupError;
pub use file::Backup;
pub use folder::{Folder, Found, Subject};
pub use interrupt::{Interrupt, Interrupter};
pub use keys::{Identities, Recipients, RecoveryKey};
pub use manifest::{Content, EtcdState, Manifest, Payload, Taken};
pub use retention::Retention;
pub use take::{Order, take};
pub use unpack::{Delivery, Patient, unpack};

/// Where etcd's snapshot lies in a backup.
pub const SNAPSHOT: &str = "etcd/snapshot.db";
/// Where the cluster's spec lies in a backup, as the station had it.
pub const SPEC: &str = "spec/cluster.yaml";
/// What stood below `/etc/kubernetes` lies below this.
pub const KUBERNETES: &str = "kubernetes/";
