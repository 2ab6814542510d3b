//! `sealock node unpack`

use std::path::Path;

use sealock_cluster::backup;
use sealock_node::step::BACKUPS;

use crate::context::Context;
use crate::error::Result;

/// Lay the backup on standard input where the steps of a restore find it
#[derive(Debug, clap::Args)]
pub struct UnpackArgs {}

pub fn run(_args: &UnpackArgs, _context: &Context) -> Result<()> {
    Ok(backup::unpack(std::io::stdin().lock(), Path::new(BACKUPS))?)
}
