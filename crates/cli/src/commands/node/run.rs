//! `sealock node run`

use std::io::Read;
use std::path::Path;

use sealock_node::request::Secrets;
use sealock_node::{Local, runner};

use super::emit;
use super::probe::{MAX_FILE, RequestFiles};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Carry out the steps of a request, with its secrets on standard input
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    files: RequestFiles,
}

pub fn run(args: &RunArgs, _context: &Context) -> Result<()> {
    let secrets = read_secrets()?;
    let request = args.files.read_request()?;
    let run = runner::Run {
        request: &request,
        site_root: &files::read(&args.files.site_root, MAX_FILE)?,
        release: &files::read(&args.files.release, MAX_FILE)?,
        store: None,
        secrets: &secrets,
    };
    Ok(runner::run(run, &Local::new(), Path::new(runner::FOLDER), &|event| emit(&event))?)
}

fn read_secrets() -> Result<Secrets> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(1 << 20).read_to_end(&mut bytes)?;
    // What the parser says would quote the secrets.
    Secrets::from_json(&bytes).map_err(|_| CommandError::failed("standard input holds no JSON object of secrets"))
}
