//! A machine by itself goes to another version of Kubernetes, or to other components below the one that runs: the plan of a cluster's
//! upgrade, with one host, asked and carried out on that host.
//!
//! What the cluster says is asked once, before anything is changed ([`ask`]), and kept ([`BegunUpgrade`]): cut off anywhere, the same command
//! goes on, also while no API server answers.

mod asked;
mod back;
mod begun;
mod error;
mod etcd;
mod plan;

pub use asked::{Asking, ask, ask_again};
pub use back::{back, check_goes_back, is_of_the_node};
pub use begun::{BegunUpgrade, Plane};
pub use error::UpgradeError;
pub use etcd::check_pausable;
pub use plan::{Emptying, Goal, Intent, Upgradable, is_through, nothing, upgradable, upgrade};

pub(super) use begun::forget;
