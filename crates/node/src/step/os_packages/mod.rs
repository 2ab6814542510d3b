//! OS packages of the release on a host: laid down, installed, the machine started anew, and looked at.

pub(crate) mod added;
mod etcd_well;
mod installed;
mod laid_down;
mod restarted;
mod stands;

pub use added::OsPackagesAdded;
pub use etcd_well::EtcdWell;
pub use installed::OsPackagesInstalled;
pub use laid_down::{OsPackageFile, OsPackageSet, OsPackagesLaidDown};
pub use restarted::{MachineRestarted, RestartWhen};
pub use stands::StandsAsBefore;
