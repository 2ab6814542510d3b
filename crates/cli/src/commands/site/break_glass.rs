//! `sealock site break-glass`

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sealock_trust::break_glass::{BreakGlass, Token};
use sealock_trust::{Digest, Justification};
use serde::Serialize;

use super::people;
use crate::context::Context;
use crate::error::Result;
use crate::keys::{self, KeyName, Passphrases};
use crate::station::Station;
use crate::{files, time};

/// Let one bundle in that is too old, out of turn or for others
///
/// Two approvers of the site, or two keyholders of its root where it has no approvers, sign a token for one manifest. One
/// begins with `--manifest` and `--reason`, and the other adds a signature to the same file. `import --break-glass` uses it,
/// once. It waives EXPIRED, STALE, GAP and AUDIENCE, and never a signature or a digest.
#[derive(Debug, clap::Args)]
pub struct BreakGlassArgs {
    /// The token: written, or signed once more if it is there
    token: PathBuf,
    /// The digest of the bundle's manifest, as `sealock inspect` shows it
    #[arg(long, value_name = "DIGEST", required_unless_present = "add", conflicts_with = "add")]
    manifest: Option<Digest>,
    /// Why
    #[arg(long, value_name = "TEXT", required_unless_present = "add", conflicts_with = "add")]
    reason: Option<Justification>,
    /// Hours until the token is worth nothing
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=720))]
    expires_in: u16,
    /// Add a signature to the token that is there
    #[arg(long)]
    add: bool,
    /// A private key of an approver: a file or `pkcs11:` URI; several may sign at once
    #[arg(short, long = "key", value_name = "KEY", required = true)]
    keys: Vec<KeyName>,
    /// File whose first line is the passphrase of the keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    manifest: Digest,
    expires: Timestamp,
    reason: Justification,
    /// Whether enough people have signed.
    complete: bool,
}

/// No token is longer than this; in bytes.
const MAX_TOKEN: u64 = 1 << 20;

pub fn run(args: &BreakGlassArgs, context: &Context) -> Result<()> {
    let site = Station::open(context)?.site;
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let keys = people::load(&args.keys, &site, &passphrases)?;
    let signers = keys::signers(&keys);
    let bytes = match (&args.manifest, &args.reason) {
        (Some(manifest), Some(reason)) => {
            let hours = SignedDuration::from_hours(i64::from(args.expires_in));
            let expires = time::now().saturating_add(hours).unwrap_or(Timestamp::MAX);
            BreakGlass::new(site.id().clone(), manifest.clone(), expires, reason.clone()).sign(&signers)?
        }
        _ => Token::add_signatures(&files::read(&args.token, MAX_TOKEN)?, &signers)?,
    };
    let content = BreakGlass::read(&bytes)?;
    let complete = Token::verify(&bytes, &site, &content.manifest, time::now()).is_ok();
    if !context.dry_run {
        files::replace(&args.token, &bytes)?;
    }
    let next = if complete { "two people have signed" } else { "another person has to sign: `--add`" };
    let text = format!("{} may come in until {}: {}; {next}", content.manifest, content.expires, content.reason);
    let outcome = Outcome { manifest: content.manifest, expires: content.expires, reason: content.reason, complete };
    context.ui.result(&outcome, text)
}
