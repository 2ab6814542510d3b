//! What an upgrade does beside kubeadm's own phases: a snapshot before, nodes emptied and given back, and looks at what has become of
//! the cluster.

mod drained;
mod manifests;
mod rolled_out;
mod run_as;
mod services;
mod snapshot;

pub use drained::{Drained, Uncordoned};
pub(super) use manifests::{forget_copies, put_back};
pub(super) use rolled_out::unfinished;
pub use rolled_out::{RolledOut, Workload};
pub use run_as::RunAs;
pub use services::ServicesAnswer;
pub use snapshot::{BEFORE_ADOPTION, EtcdSnapshot};
pub(super) use snapshot::{
    FOLDER as SNAPSHOTS, before_adoption as snapshots_before_adoption,
    forget_before_adoption as forget_snapshots_before_adoption, record_path as snapshot_record,
};
