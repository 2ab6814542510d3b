//! `sealock verify`

use std::path::PathBuf;

use jiff::Timestamp;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Check every byte of a bundle
///
/// Against the publisher's root given here, or at a station against the enrolled one. Writes nothing and remembers
/// nothing.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The bundle
    bundle: PathBuf,
    /// The publisher's root [default: the one enrolled for the bundle's stream]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// SHA-256 that the root must have, as it came out of band
    #[arg(long, value_name = "SHA256", requires = "root")]
    fingerprint: Option<String>,
    /// The site it must be for [default: this station's site, if any]
    #[arg(long, value_name = "ID")]
    site: Option<String>,
    /// Judge expiry as of this time, like 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

pub fn run(_args: &VerifyArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
