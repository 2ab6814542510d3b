//! `sealock trust enroll`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Believe a publisher's root for a stream
///
/// The one step whose safety rests on people: the fingerprint must come by another way than the file, on paper or by
/// voice. Later roots of the publisher are believed under this one only.
#[derive(Debug, clap::Args)]
pub struct EnrollArgs {
    /// The publisher's root, the file `sealock init` names
    root: PathBuf,
    /// Its SHA-256, as it came out of band
    #[arg(long, value_name = "SHA256")]
    fingerprint: String,
    /// The streams it is believed for: this one and all below it, like `apps` for `apps/payments`
    #[arg(long, value_name = "PREFIX", default_value = "base")]
    stream: String,
}

pub fn run(_args: &EnrollArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
