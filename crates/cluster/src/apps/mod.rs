//! Applications: charts and manifests of the release, rendered again inside, refused before the cluster is touched if an
//! image is not in the release, then applied and waited for. Helm and kubectl are those that the bundle brought.

mod apply;
mod difference;
mod error;
mod objects;
mod programs;
mod render;
mod spec;
mod wait;

pub use apply::{Applied, Checked, Progress, Target, apply, check};
pub use error::{AppError, Blocked};
pub use objects::Place;
pub use render::Rendered;
pub use spec::{App, AppDocument, AppKind, AppSpec, Chart};
pub use wait::Workload;
