//! `sealock trust revoke`

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use sealock_trust::tuf::{Root, open_root};
use sealock_trust::{Digest, Justification, KeyId};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, Key, KeyName, Passphrases};
use crate::ui::facts;
use crate::{files, time};

/// Say that digests or keys must not be used any more
///
/// Writes the publisher's next revocation list, signed by keys of the revoker role of the trust root. Where it takes more
/// than one, the next keyholder runs the same command with keys only. Carry the list inside, where `import` takes it; keep it,
/// since the next one builds on it.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The revocation list: made if it is not there, else the one that the next is built on
    #[arg(long, value_name = "FILE", default_value = "trust/revocations.json")]
    list: PathBuf,
    /// The publisher's newest root
    #[arg(long, value_name = "FILE", default_value = "trust/root.json")]
    root: PathBuf,
    /// A manifest, image, chart or blob that must not be used any more
    #[arg(long = "digest", value_name = "DIGEST", requires = "reason")]
    digests: Vec<Digest>,
    /// A publisher's key that counts no longer
    #[arg(long = "key-id", value_name = "KEYID", requires = "reason")]
    key_ids: Vec<KeyId>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<Justification>,
    /// Take back that this digest or key was revoked: it takes the root's own keys
    #[arg(long, value_name = "DIGEST|KEYID")]
    take_back: Vec<String>,
    /// Renew the list without a change
    #[arg(long)]
    renew: bool,
    /// Days until a newer list is due
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    expires_in: u32,
    /// A private key of the revoker role, or of the root role: a file or `pkcs11:` URI; several may sign at once
    #[arg(short, long = "key", value_name = "KEY", required = true)]
    keys: Vec<KeyName>,
    /// File whose first line is the passphrase of the keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    list: PathBuf,
    version: u64,
    expires: Timestamp,
    /// How many digests and keys are revoked.
    entries: usize,
    /// Whether enough keyholders have signed.
    complete: bool,
}

/// No root or revocation list is longer than this; in bytes.
const MAX_DOCUMENT: u64 = 4 << 20;

pub fn run(args: &RevokeArgs, context: &Context) -> Result<()> {
    let root_bytes = files::read(&args.root, MAX_DOCUMENT)?;
    let root = open_root(&root_bytes)?;
    let mut list = list(args, &root_bytes)?;
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let keys = args.keys.iter().map(|name| load(name, &root, &passphrases)).collect::<Result<Vec<_>>>()?;
    list.add_signatures(&keys::signers(&keys))?;
    if !context.dry_run {
        files::replace(&args.list, &list.to_bytes()?)?;
    }
    let outcome = Outcome {
        list: args.list.clone(),
        version: list.version(),
        expires: list.expires(),
        entries: list.entries().len(),
        complete: list.clone().verify(&root).is_ok(),
    };
    context.ui.result(&outcome, describe(&outcome))
}

/// The next list; or, where nothing is to be said but that somebody signs, the one that is there.
fn list(args: &RevokeArgs, root: &[u8]) -> Result<RevocationList> {
    let present =
        if args.list.exists() { Some(RevocationList::read(&files::read(&args.list, MAX_DOCUMENT)?)?) } else { None };
    let subjects: Vec<Subject> = args
        .digests
        .iter()
        .cloned()
        .map(Subject::Digest)
        .chain(args.key_ids.iter().cloned().map(Subject::Key))
        .collect();
    let dropped = args.take_back.iter().map(|text| subject(text)).collect::<Result<BTreeSet<_>>>()?;
    if subjects.is_empty() && dropped.is_empty() && !args.renew {
        let nothing = "there is nothing to revoke, and no list to sign";
        return present.ok_or_else(|| CommandError::usage(nothing).hint("Name what is revoked: --digest or --key-id."));
    }
    let now = time::now();
    let days = SignedDuration::from_hours(i64::from(args.expires_in) * 24);
    let terms = ListTerms { issued: now, expires: now.saturating_add(days).unwrap_or(Timestamp::MAX) };
    let reason = args.reason.clone();
    let entries =
        subjects.into_iter().filter_map(|subject| Some(Entry { subject, reason: reason.clone()?, revoked: now }));
    Ok(RevocationList::make(root, present.as_ref(), &terms, entries, &dropped)?)
}

fn subject(text: &str) -> Result<Subject> {
    if let Ok(digest) = text.parse() {
        return Ok(Subject::Digest(digest));
    }
    let keyid = serde_json::from_value(text.into());
    keyid.map(Subject::Key).map_err(|_| CommandError::usage(format!("`{text}` is neither a digest nor a key id")))
}

fn load(name: &KeyName, root: &Root, passphrases: &Passphrases<'_>) -> Result<Key> {
    let key = passphrases.load(name)?;
    let id = key.public_key().id();
    let roles = [root.revoker_keys()?, Some(root.root_keys()?), Some(root.publisher_keys()?)];
    if roles.iter().flatten().any(|role| role.keys().contains_key(id)) {
        return Ok(key);
    }
    let problem = format!("{name} is no key of the root {}", root.version);
    Err(CommandError::usage(problem).hint("Revoking takes a key of the root's revoker role."))
}

fn describe(outcome: &Outcome) -> String {
    let next = if outcome.complete { "carry it to the sites" } else { "another keyholder has to sign" };
    facts([
        ("list", outcome.list.display().to_string()),
        ("version", outcome.version.to_string()),
        ("revoked", outcome.entries.to_string()),
        ("renew by", outcome.expires.to_string()),
        ("next", next.to_owned()),
    ])
}
