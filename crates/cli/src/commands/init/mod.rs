//! `sealock init`

use std::path::PathBuf;

use sealock_trust::Scheme;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Start a bundle: starter spec, keys and trust root
///
/// Writes a commented `sealock.yaml`, creates the root's and the publisher's keys, and the trust root that carries their
/// public halves. Says which file must travel to the site by hand, and the fingerprint to carry on paper. Run again it
/// finishes what was cut off, and overwrites nothing.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to start in
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// What the bundle is called [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The stream the bundles belong to
    #[arg(long, value_name = "STREAM", default_value = "base")]
    stream: String,
    /// The site the bundles are for
    #[arg(long, value_name = "ID", default_value = "my-site")]
    site: String,
    /// Existing publisher keys, private or public, instead of a new one
    #[arg(short, long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// How many publisher keys must sign a bundle
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    threshold: u32,
    /// Existing root keys, private, instead of a new one
    #[arg(long = "root-key", value_name = "FILE")]
    root_keys: Vec<PathBuf>,
    /// What kind of keys to create: ed25519 or ecdsa-sha2-nistp256
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::Ed25519)]
    scheme: Scheme,
    /// Days until the trust root must be renewed
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    expires_in: u32,
    /// File whose first line is the passphrase of the new keys
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted_keys")]
    passphrase_file: Option<PathBuf>,
    /// Keep the keys unencrypted: whoever reads the file can sign
    #[arg(long)]
    unencrypted_keys: bool,
}

pub fn run(_args: &InitArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
