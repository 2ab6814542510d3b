//! `sealock diff`

mod html;
mod side;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use sealock_bundle::diff::{self, Readable, Source, Trust};

use crate::context::Context;
use crate::error::Result;
use crate::files;
use side::{Loaded, Standard};

/// Show what is different between two bundles, locks or releases
///
/// For the person who approves an import: what protected before and protects no longer comes first, then what changed about
/// the whole, artifacts by name with their digests, what has to travel, changed manifests line by line, and changed packages
/// where both sides carry an SBOM. Bundles are verified where a root is at hand, and else only read, which is said.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// A bundle, a lock, or at a station the number of a release or `current`
    #[arg(value_name = "OLD")]
    old: String,
    /// Another one
    #[arg(value_name = "NEW")]
    new: String,
    /// The publisher's root to verify bundles with [default: at a station, the one enrolled for the stream]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// SHA-256 that the root must have, as it came out of band
    #[arg(long, value_name = "SHA256", requires = "root")]
    fingerprint: Option<String>,
    /// Judge expiry as of this time, like 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Only read bundles, though they could be verified
    #[arg(long, conflicts_with = "root")]
    unverified: bool,
    /// Also write one page of HTML that needs nothing else, to be printed and signed
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Answer with exit code 1 where anything differs
    #[arg(long)]
    exit_code: bool,
}

pub fn run(args: &DiffArgs, context: &Context) -> Result<ExitCode> {
    let standard = Standard::new(args, context)?;
    let old = Loaded::load(&args.old, &standard, context)?;
    let new = Loaded::load(&args.new, &standard, context)?;
    let diff = diff::between(
        Readable { side: old.side(&args.old)?, read: &|digest, limit| old.read(digest, limit) },
        Readable { side: new.side(&args.new)?, read: &|digest, limit| new.read(digest, limit) },
    )?;
    for side in [&diff.old, &diff.new] {
        if side.source == Source::Bundle && side.trust == Trust::Read {
            context.ui.note(format_args!("{}: nothing of this bundle is verified, it was only read", side.label));
        }
    }
    context.ui.result(&diff, text::of(&diff))?;
    if let Some(path) = args.html.as_ref().filter(|_| !context.dry_run) {
        files::replace(path, html::page(&diff).as_bytes())?;
        context.ui.done(format_args!("{} is written", path.display()));
    }
    Ok(if args.exit_code && diff.differs { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
