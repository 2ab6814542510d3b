//! What an upgrade does beside kubeadm's own phases: a snapshot before, what nodes were kept and put back, nodes emptied and given back,
//! and looks at what has become of the cluster.

mod drained;
mod evicted;
mod kept;
mod manifests;
mod objects;
mod rolled_out;
mod run_as;
mod services;
mod snapshot;
mod taken_back;

pub use drained::{Drained, Uncordoned};
pub(super) use kept::path as kept_node;
pub use kept::{Kept, is_kept, kept_file};
pub(super) use manifests::{forget_copies, put_back};
pub(super) use objects::path as kept_objects;
pub use objects::{ObjectsBack, ObjectsKept};
pub(super) use rolled_out::unfinished;
pub use rolled_out::{RolledOut, Workload};
pub use run_as::RunAs;
pub use services::ServicesAnswer;
pub use snapshot::{BEFORE_ADOPTION, EtcdSnapshot};
pub(super) use snapshot::{
    FOLDER as SNAPSHOTS, before_adoption as snapshots_before_adoption,
    forget_before_adoption as forget_snapshots_before_adoption, record_path as snapshot_record,
};
pub use taken_back::TakenBack;
