//! `sealock import`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Take a bundle into the store, and publish a release
///
/// The header is verified before anything is written, every digest while it streams. The release appears as a whole or
/// not at all. Interrupted, it goes on where it stopped; done already, it changes nothing. A refused bundle leaves the
/// store as it was.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The bundle
    bundle: PathBuf,
    /// File whose first line is the passphrase of the site's keys
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub fn run(_args: &ImportArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
