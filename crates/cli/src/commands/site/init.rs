//! `sealock site init`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Make this machine the station of a site
///
/// Creates the site's keys and root, the store, and the registry's certificate authority, as the site spec says.
/// Interrupted, it goes on where it stopped.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The site spec (kind: Site)
    #[arg(short, long, value_name = "FILE", default_value = "site.yaml")]
    file: PathBuf,
    /// File whose first line is the passphrase of the new keys
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted_keys")]
    passphrase_file: Option<PathBuf>,
    /// Keep the keys unencrypted: whoever reads the file can sign
    #[arg(long)]
    unencrypted_keys: bool,
}

pub fn run(_args: &InitArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
