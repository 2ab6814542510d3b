//! Sealock cluster: plans and drives many machines: spec, inventory, plan, execute, nodes, apps.
//!
//! Planning is pure ([`plan`]); only [`execute`], [`etcd`], [`nodes`], [`apps`] and [`backup::take`] talk to anything, and only they are async.

pub mod adoption;
pub mod ansible;
pub mod apps;
pub mod backup;
mod causes;
pub mod etcd;
pub mod execute;
pub mod inventory;
pub mod journal;
pub mod machine;
pub mod nodes;
pub mod operator;
pub mod plan;
mod programs;
pub mod release;
mod render;
pub mod revoked;
pub mod schema;
mod scratch;
#[cfg(test)]
mod site_of_tests;
pub mod spec;
pub mod tools;

pub use inventory::Inventory;
pub use plan::{Plan, PlanError, plan, plan_reset};
pub use programs::ProgramError;
pub use render::RenderError;
pub use spec::{Cluster, ClusterSpec};
