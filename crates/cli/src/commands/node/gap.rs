//! `sealock node gap`

use std::io::Read;

use sealock_node::Local;
use sealock_node::gap::{self, GapRequest};
use sealock_trust::format;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Try to get out, as the request on standard input says, and write a report as JSON
#[derive(Debug, clap::Args)]
pub struct GapArgs {}

pub fn run(_args: &GapArgs, context: &Context) -> Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(1 << 20).read_to_end(&mut bytes)?;
    format::GAP_REQUEST.look(&bytes)?;
    let request: GapRequest = serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::failed(format!("standard input holds no gap request: {error}")))?;
    context.ui.json(&gap::probe(&request, &Local::new())?)
}
