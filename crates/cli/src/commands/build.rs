//! `sealock build`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Fetch what the lock names, and write one signed bundle
///
/// Each blob is fetched once, straight to its final place, and checked against the lock. An interrupted build goes on
/// where it stopped. The payload is reproducible: the same lock makes the same bytes, signatures aside.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The lock
    #[arg(long, value_name = "FILE", default_value = "sealock.lock")]
    lock: PathBuf,
    /// The bundle to write [default: NAME-SEQUENCE.tar beside the lock]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Private keys of the publisher, as many as the threshold asks for [default: keys/publisher.pem beside the lock]
    #[arg(short, long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Where the trust root stands [default: trust/root.json beside the lock]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// File whose first line is the passphrase of the keys
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub fn run(_args: &BuildArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
