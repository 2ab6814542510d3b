//! Applications: charts and manifests of the release, rendered again inside, refused before the cluster is touched if an
//! image is not in the release, then applied and waited for; compared with the cluster, brought back, and taken away. Helm and
//! kubectl are those that the bundle brought.

mod apply;
mod blocked;
mod bring;
mod diff;
mod error;
mod helm;
mod hooks;
mod identity;
mod objects;
mod programs;
mod records;
mod remove;
mod render;
mod revision;
mod rollback;
mod secrets;
mod server;
mod spec;
mod wait;

pub use apply::{Applied, Attempt, Prepared, Progress, Target, prepare};
pub use blocked::{Blocked, Trouble};
pub use diff::{Change, Diff, What, diff, drift};
pub use error::AppError;
pub use identity::ObjectId;
pub use objects::Place;
pub use records::{Records, others, read as read_records};
pub use remove::Removal;
pub use revision::{AppliedChart, Cause, KeptByHelm, Named, Revision, Revisions, RevisionsError, State};
pub use rollback::{LiveRelease, Rollback};
pub use spec::{App, AppDocument, AppKind, AppSpec, Chart};
pub use wait::Workload;
