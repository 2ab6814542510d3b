//! `sealock trust confirm`

use std::path::PathBuf;

use sealock_trust::Digest;
use serde::Serialize;

use crate::commands::import::tell_server;
use crate::context::Context;
use crate::error::Result;
use crate::keys::Passphrases;
use crate::station::Station;

/// Block what was revoked although a live cluster uses it
///
/// A revocation blocks at once, but for what a live cluster uses: so one stolen revoker key is no kill switch. `trust show`
/// lists what waits for this word. What runs goes on running; it can be pulled no more.
#[derive(Debug, clap::Args)]
pub struct ConfirmArgs {
    /// What was revoked
    #[arg(required = true, value_name = "DIGEST")]
    digests: Vec<Digest>,
    /// File whose first line is the passphrase of the site's keys, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    /// What is blocked now and was not before.
    confirmed: Vec<Digest>,
}

pub fn run(args: &ConfirmArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    if context.dry_run {
        let text = format!("would confirm {} revocations", args.digests.len());
        return context.ui.result(&Outcome { confirmed: args.digests.clone() }, text);
    }
    context.ui.confirm("Block these digests, so that no node can pull them any more?")?;
    let site = station.keys(context, &Passphrases::new(context, args.passphrase_file.as_deref()))?;
    let confirmed = station.directory.confirm_revocations(&args.digests, Some(&site))?;
    if !confirmed.is_empty() {
        tell_server(context);
    }
    let text = match confirmed.len() {
        0 => "nothing to do: they were confirmed already".to_owned(),
        count => format!("{count} blocked from now on"),
    };
    context.ui.result(&Outcome { confirmed }, text)
}
