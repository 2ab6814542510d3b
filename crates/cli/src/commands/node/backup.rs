//! `sealock node backup`

use std::io::Read;
use std::path::Path;

use sealock_cluster::backup::{self, Order};
use sealock_node::Local;
use sealock_node::step::RESTORES;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// An order is a few lines and a cluster spec; in bytes.
const ORDER: u64 = 4 << 20;

/// Take a backup of this control plane host's cluster, as the order on standard input says, onto standard output
#[derive(Debug, clap::Args)]
pub struct BackupArgs {}

pub fn run(_args: &BackupArgs, context: &Context) -> Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(ORDER).read_to_end(&mut bytes)?;
    let order: Order = serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::failed(format!("standard input holds no order for a backup: {error}")))?;
    let out = std::io::stdout();
    let host = Local::new();
    let taken = backup::take(&order, &host, Path::new(RESTORES), out);
    Ok(context.runtime()?.block_on(taken)?)
}
