//! One machine that its own operator prepares, without a station: what kubeadm needs, put there, looked at, given back; and kubeadm itself,
//! phase by phase, where the machine begins a cluster or joins one, and where it is upgraded.
//!
//! [`Supply`] is what it is prepared from, [`plan`] decides (pure), [`carry_out`] does, under the same steps, journal and fence as a
//! cluster's plan.

mod error;
mod execute;
mod images;
mod init;
mod invite;
mod join_file;
mod member;
mod newcomer;
pub mod plan;
mod status;
mod supply;
pub mod upgrade;

pub use error::MachineError;
pub use execute::{Means, carry_out, check_free, hold, probe};
pub use images::{TakenProgram, kubernetes_images, take_program};
pub use init::{Founding, OwnNode, init, join};
pub use invite::{invite, invites};
pub use join_file::{JoinFile, JoinFileError, MAX_JOIN_FILE};
pub use member::{EtcdMember, check_etcd, data_aside, etcd_member, forget};
pub use newcomer::Newcomer;
pub use plan::{MachinePlan, Purpose};
pub use status::{Status, status};
pub use supply::Supply;
pub(crate) use supply::registry_of;
pub use upgrade::{BegunUpgrade, UpgradeError};
