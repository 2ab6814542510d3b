//! `sealock site break-glass`

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_trust::break_glass::{BreakGlass, Token};
use sealock_trust::{Digest, Justification};
use serde::Serialize;

use super::people::{self, TokenArgs};
use crate::context::Context;
use crate::error::Result;
use crate::keys;
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
    #[command(flatten)]
    signing: TokenArgs,
}

#[derive(Serialize)]
struct Outcome {
    manifest: Digest,
    expires: Timestamp,
    reason: Justification,
    /// Whether enough people have signed.
    complete: bool,
}

pub fn run(args: &BreakGlassArgs, context: &Context) -> Result<()> {
    let site = Station::open(context)?.site;
    let passphrases = args.signing.passphrases(context);
    let keys = args.signing.keys(&site, &passphrases)?;
    let signers = keys::signers(&keys);
    let bytes = match (&args.manifest, &args.reason) {
        (Some(manifest), Some(reason)) => {
            BreakGlass::new(site.id().clone(), manifest.clone(), args.signing.expires(), reason.clone())
                .sign(&signers)?
        }
        _ => Token::add_signatures(&people::read_token(&args.token)?, &signers)?,
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
