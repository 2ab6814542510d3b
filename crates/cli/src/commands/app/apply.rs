//! `sealock app apply`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Install or update an application from the release
///
/// Renders charts and manifests first, and refuses images that are not in the release before the cluster is touched.
/// Then waits until everything is ready, and says which pod is not and why.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The app spec (kind: App)
    #[arg(short, long, value_name = "FILE", default_value = "app.yaml")]
    file: PathBuf,
    /// Seconds to wait until everything is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

pub fn run(_args: &ApplyArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
