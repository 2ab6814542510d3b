//! `sealock node probe`

use std::path::PathBuf;

use sealock_node::{Local, RunRequest, runner};
use sealock_trust::format;

use super::emit;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Look at the steps of a request, and change nothing
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    #[command(flatten)]
    files: RequestFiles,
}

/// What the station put on this node.
#[derive(Debug, clap::Args)]
pub struct RequestFiles {
    /// The node's part of the plan
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// The site root
    #[arg(long, value_name = "FILE")]
    pub site_root: PathBuf,
    /// The signed release
    #[arg(long, value_name = "FILE")]
    pub release: PathBuf,
}

/// No request, site root or release is near this long.
pub const MAX_FILE: u64 = 64 << 20;

impl RequestFiles {
    /// # Errors
    /// The request cannot be read, or is none.
    pub fn read_request(&self) -> Result<RunRequest> {
        let bytes = files::read(&self.request, MAX_FILE)?;
        format::NODE_RUN.look(&bytes)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| CommandError::failed(format!("{} is no request: {error}", self.request.display())))
    }
}

pub fn run(args: &ProbeArgs, _context: &Context) -> Result<()> {
    let request = args.files.read_request()?;
    Ok(runner::probe(&request, &Local::new(), &|event| emit(&event))?)
}
