//! The sealed lab (DESIGN §10).

use anyhow::Result;

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct LabArgs {}

/// Runs `cargo xtask lab`.
pub fn command(_args: LabArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
