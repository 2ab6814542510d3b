//! Who fills which role of a root: what `trust init` and `trust rotate` ask for.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sealock_trust::tuf::{Root, RootSpec};
use sealock_trust::{KeySet, PublicKey};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, KeyName, KeyPlace, Passphrases};
use crate::{files, time};

/// Keys and thresholds of a root.
#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    /// A root keyholder's key: a public one, or a private one or `pkcs11:` URI to sign at once
    #[arg(long = "root-key", value_name = "KEY")]
    root_keys: Vec<KeyName>,
    /// How many root keyholders must sign [default: more than half]
    #[arg(long, value_name = "COUNT")]
    root_threshold: Option<u32>,
    /// A publisher's key: a file, public or private, or a `pkcs11:` URI
    #[arg(long = "publisher-key", value_name = "KEY")]
    publisher_keys: Vec<KeyName>,
    /// How many publishers must sign a bundle [default: more than half]
    #[arg(long, value_name = "COUNT")]
    publisher_threshold: Option<u32>,
    /// A revoker's key, likewise
    #[arg(long = "revoker-key", value_name = "KEY")]
    revoker_keys: Vec<KeyName>,
    /// How many revokers must sign a revocation [default: 1]
    #[arg(long, value_name = "COUNT")]
    revoker_threshold: Option<u32>,
    /// Days until the root must be renewed
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    expires_in: u32,
    /// File whose first line is the passphrase of private keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl RoleArgs {
    /// The first root.
    ///
    /// # Errors
    /// A role has no keys, or too few for its threshold.
    pub fn first(&self, context: &Context) -> Result<RootSpec> {
        let passphrases = self.passphrases(context);
        let keys = |names: &[KeyName]| -> Result<Vec<PublicKey>> {
            names.iter().map(|name| keys::public_key(name, &passphrases)).collect()
        };
        let (root, publisher) = (keys(&self.root_keys)?, keys(&self.publisher_keys)?);
        if root.is_empty() || publisher.is_empty() {
            return Err(CommandError::usage(
                "a root needs --root-key KEY and --publisher-key KEY, each once or more",
            )
            .hint(
                "Each keyholder makes a key with `sealock trust init --new-key FILE`, and hands over its public half.",
            ));
        }
        Ok(RootSpec {
            expires: expiry(self.expires_in),
            root: role("--root-threshold", root, self.root_threshold)?,
            publisher: role("--publisher-threshold", publisher, self.publisher_threshold)?,
            revoker: match self.revoker_keys.as_slice() {
                [] => None,
                names => Some(role("--revoker-threshold", keys(names)?, Some(self.revoker_threshold.unwrap_or(1)))?),
            },
        })
    }

    /// The root after `before`: a role that is not named stays as it is.
    ///
    /// # Errors
    /// A key that is not known, or too few for a threshold.
    pub fn next(&self, before: &Root, no_revoker: bool, context: &Context) -> Result<RootSpec> {
        let passphrases = self.passphrases(context);
        let next = |flag, names: &[KeyName], threshold, old: KeySet| -> Result<KeySet> {
            let keys = names.iter().map(|name| named_key(name, before, &passphrases));
            let keys: Vec<_> = keys.collect::<Result<_>>()?;
            let keys = if keys.is_empty() { old.keys().values().cloned().collect() } else { keys };
            role(flag, keys, Some(threshold_or(threshold, &old)))
        };
        let root = next("--root-threshold", &self.root_keys, self.root_threshold, before.root_keys()?)?;
        let publisher = before.publisher_keys()?;
        let publisher = next("--publisher-threshold", &self.publisher_keys, self.publisher_threshold, publisher)?;
        let revoker = match (before.revoker_keys()?, self.revoker_keys.as_slice()) {
            _ if no_revoker => None,
            (Some(old), names) => Some(next("--revoker-threshold", names, self.revoker_threshold, old)?),
            (None, []) => None,
            (None, names) => {
                let keys = names.iter().map(|name| named_key(name, before, &passphrases)).collect::<Result<_>>()?;
                Some(role("--revoker-threshold", keys, Some(self.revoker_threshold.unwrap_or(1)))?)
            }
        };
        Ok(RootSpec { expires: expiry(self.expires_in), root, publisher, revoker })
    }

    /// Those of the given root keys that can sign here.
    ///
    /// # Errors
    /// A URI that cannot be read.
    pub fn private_root_keys(&self) -> Result<Vec<&KeyName>> {
        let is_private = |name: &KeyName| -> Result<bool> {
            Ok(match name.place()? {
                KeyPlace::Token(_) => true,
                KeyPlace::File(path) => {
                    files::read_text(&path).is_ok_and(|text| text.contains("PRIVATE KEY") && !keys::is_public(&text))
                }
            })
        };
        let keys = self.root_keys.iter().map(|name| Ok(is_private(name)?.then_some(name)));
        Ok(keys.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Where passphrases come from.
    pub fn passphrases<'a>(&self, context: &'a Context) -> Passphrases<'a> {
        Passphrases::new(context, self.passphrase_file.as_deref())
    }
}

/// The keys of one role.
///
/// # Errors
/// The threshold cannot be met; `flag` names it.
pub fn role(flag: &str, keys: Vec<PublicKey>, threshold: Option<u32>) -> Result<KeySet> {
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let threshold = threshold.unwrap_or(count / 2 + 1);
    KeySet::new(keys, threshold).map_err(|error| CommandError::usage(format!("{flag}: {error}")))
}

fn threshold_or(given: Option<u32>, old: &KeySet) -> u32 {
    given.unwrap_or_else(|| old.threshold())
}

/// A key in a file or token, or one that the root before has, by the first 8 or more characters of its id.
fn named_key(name: &KeyName, before: &Root, passphrases: &Passphrases<'_>) -> Result<PublicKey> {
    let text = name.as_text();
    let is_id = (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if name.as_path().exists() || !is_id {
        return keys::public_key(name, passphrases);
    }
    let mut fitting = before.keys.values().filter(|key| key.id().as_str().starts_with(&text.to_ascii_lowercase()));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key.clone()),
        _ => Err(CommandError::usage(format!("root {} has no single key {text}", before.version))),
    }
}

/// The time `days` from now.
pub fn expiry(days: u32) -> Timestamp {
    let span = SignedDuration::from_hours(i64::from(days) * 24);
    time::now().saturating_add(span).unwrap_or(Timestamp::MAX)
}
