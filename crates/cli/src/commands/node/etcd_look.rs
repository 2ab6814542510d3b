//! `sealock node etcd-look`

use std::io::Read;

use sealock_cluster::etcd::external;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::Result;

/// Two certificates, a key and some addresses; in bytes.
const ORDER: u64 = 4 << 20;

/// Look at an etcd that somebody else runs, which the order on standard input names, and write what is seen as JSON
#[derive(Debug, clap::Args)]
pub struct EtcdLookArgs {}

pub fn run(_args: &EtcdLookArgs, context: &Context) -> Result<()> {
    let mut order = Zeroizing::new(Vec::new());
    std::io::stdin().lock().take(ORDER).read_to_end(&mut order)?;
    let endpoints = external::given(&order)?;
    context.ui.json(&context.runtime()?.block_on(external::look(&endpoints))?)
}
