//! Nodes of a running cluster: taking work away from them, and giving it back.
//!
//! Evicting is asked of the API server, pod by pod (Kubernetes API `policy/v1`, Eviction), so that PodDisruptionBudgets hold;
//! what that will do to which pod is worked out before ([`Draining`]), without asking anybody.

mod api;
mod drain;
mod draining;
mod error;
mod readers;

pub use drain::{Drained, Progress, drain, is_cordoned, look};
pub use draining::{Draining, Held, Leaving, PodName, Reason, Rules, Staying, Stays};
pub use error::NodeError;
pub use readers::{OldReader, old_readers};

use api::Api;

use crate::apps::Target;

/// No new pods for `node`.
///
/// # Errors
/// [`NodeError::NotANode`]; what kubectl says.
pub async fn cordon(node: &str, target: &Target<'_>) -> Result<(), NodeError> {
    Api::open(target)?.mark(node, "cordon").await
}

/// New pods for `node` again.
///
/// # Errors
/// As [`cordon`].
pub async fn uncordon(node: &str, target: &Target<'_>) -> Result<(), NodeError> {
    Api::open(target)?.mark(node, "uncordon").await
}
