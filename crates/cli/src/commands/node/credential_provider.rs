//! `sealock node credential-provider`

use std::io::Read;

use sealock_node::credential::{self, LONGEST};

use crate::context::Context;
use crate::error::Result;

/// Answer the kubelet's request for credentials on standard input (docs/guides/registry-access.md)
#[derive(Debug, clap::Args)]
pub struct CredentialProviderArgs {}

pub fn run(_args: &CredentialProviderArgs, context: &Context) -> Result<()> {
    let mut request = Vec::new();
    std::io::stdin().lock().take(LONGEST as u64 + 1).read_to_end(&mut request)?;
    context.ui.json(&credential::answer(&request)?)
}
