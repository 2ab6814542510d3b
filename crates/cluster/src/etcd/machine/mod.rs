//! One machine that runs a member: what stands there, what has to be done, and doing it.
//!
//! [`observe`] looks, [`plan`] decides (pure), [`carry_out`] does. What changes the machine are steps of `sealock-node`, under its
//! journal and fence; what changes the membership is spoken to the cluster in between, and journaled beside them.

mod config;
mod error;
mod execute;
mod files;
mod observe;
pub mod plan;
mod settings;

pub use config::Known;
pub use error::MachineError;
pub use execute::{Done, Happening, Reach, carry_out};
pub use observe::{Observed, Supervision, credentials, observe};
pub use plan::{Act, MachinePlan, Purpose, Restore, Stage};
pub use settings::{Program, Settings, Supervisor};
