//! `sealock lock`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Resolve the bundle spec to digests
///
/// Asks the upstreams what each tag, chart and version is right now, checks upstream signatures, renders charts to find
/// their images, and writes the lock. Commit it and review its changes: `sealock build` takes what it names, no more.
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// The bundle spec
    #[arg(short, long, value_name = "FILE", default_value = "sealock.yaml")]
    file: PathBuf,
    /// The lock to write [default: sealock.lock beside the spec]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Write nothing; fail where the lock no longer says what the upstreams say (times and sequence aside)
    #[arg(long)]
    check: bool,
    /// Where downloads are kept between runs [default: .sealock beside the spec]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

pub fn run(_args: &LockArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
