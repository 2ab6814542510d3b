//! `sealock node os-packages`

use std::io::Read;

use sealock_node::Local;
use sealock_node::os_packages::{self, OsLookRequest};

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Bytes of a request at most: the indices of a few distributions.
const MAX_REQUEST: u64 = 256 << 20;

/// Say what the OS packages of the request on standard input would change here, as JSON
#[derive(Debug, clap::Args)]
pub struct OsPackagesArgs {}

pub fn run(_args: &OsPackagesArgs, context: &Context) -> Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_REQUEST).read_to_end(&mut bytes)?;
    let request: OsLookRequest = serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::failed(format!("standard input holds no request: {error}")))?;
    context.ui.json(&os_packages::look(&Local::new(), &request)?)
}
