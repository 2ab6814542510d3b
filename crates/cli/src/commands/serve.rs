//! `sealock serve`

use std::net::SocketAddr;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Serve the current release as a registry
///
/// An OCI registry over TLS, read-only, in the foreground. A new release is served as soon as it is published. SIGTERM
/// lets running transfers finish; SIGHUP reads certificate and release again.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen [default: every address, on the port of the site's registry]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Write a systemd unit to standard output instead
    #[arg(long)]
    unit: bool,
}

pub fn run(_args: &ServeArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
