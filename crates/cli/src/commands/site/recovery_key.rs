//! `sealock site recovery-key`

use std::path::PathBuf;

use sealock_cluster::backup::RecoveryKey;
use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::keys::Passphrases;

/// Make a key that opens backups, and print what backups are encrypted for
///
/// The file is an age identity, encrypted with a passphrase; `age` and `rage` read it too. Keep it away from the station: whoever has it
/// and a backup has the cluster's keys. Give what is printed to `sealock cluster backup --recipient`. Make two, and keep them in two places.
#[derive(Debug, clap::Args)]
pub struct RecoveryKeyArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Write it without a passphrase
    #[arg(long, conflicts_with = "passphrase_file")]
    unencrypted: bool,
}

/// What was made.
#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a PathBuf,
    recipient: String,
}

pub fn run(args: &RecoveryKeyArgs, context: &Context) -> Result<()> {
    let key = RecoveryKey::generate();
    if context.dry_run {
        context.ui.note(format_args!("would write a new recovery key to {}", args.file.display()));
        return Ok(());
    }
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let passphrase = if args.unencrypted { None } else { Some(passphrases.for_new_keys()?.reveal()) };
    key.save(&args.file, passphrase)?;
    context.ui.done(format_args!("{}: carry it away from the station", args.file.display()));
    let recipient = key.recipient();
    context.ui.result(&Outcome { file: &args.file, recipient: recipient.clone() }, recipient)
}
