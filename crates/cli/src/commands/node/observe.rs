//! `sealock node observe`

use std::path::Path;

use sealock_node::{Local, facts, runner};

use crate::context::Context;
use crate::error::Result;

/// Write what this host is like, as JSON
#[derive(Debug, clap::Args)]
pub struct ObserveArgs {}

pub fn run(_args: &ObserveArgs, context: &Context) -> Result<()> {
    let facts = facts::observe(&Local::new(), Path::new(runner::FOLDER))?;
    context.ui.json(&facts)
}
