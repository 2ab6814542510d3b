//! `sealock node unpack`

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use sealock_cluster::backup::{self, Patient};
use sealock_node::step::RESTORES;

use crate::context::Context;
use crate::error::Result;

/// Lay the backup on standard input where the steps of a restore find it
#[derive(Debug, clap::Args)]
pub struct UnpackArgs {}

pub fn run(_args: &UnpackArgs, _context: &Context) -> Result<()> {
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    Ok(backup::unpack(Patient(input), Path::new(RESTORES))?)
}
