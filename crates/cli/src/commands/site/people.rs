//! The people of a site who sign together what one person alone must not decide.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sealock_trust::site::SiteRoot;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{Key, KeyName, Passphrases};
use crate::{files, time};

/// How people sign a token, one after the other.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Hours until the signatures are worth nothing
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=720))]
    expires_in: u16,
    /// Add a signature to the token that is there
    #[arg(long)]
    add: bool,
    /// A private key of an approver, a file or a `pkcs11:` URI; several may sign at once
    #[arg(short, long = "key", value_name = "KEY", required = true)]
    keys: Vec<KeyName>,
    /// File whose first line is the passphrase of the keys, or the PIN of their tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Where passphrases come from.
    pub fn passphrases<'a>(&self, context: &'a Context) -> Passphrases<'a> {
        Passphrases::new(context, self.passphrase_file.as_deref())
    }

    /// The keys of `site` that sign.
    ///
    /// # Errors
    /// A key cannot be read, or is another one.
    pub fn keys(&self, site: &SiteRoot, passphrases: &Passphrases<'_>) -> Result<Vec<Key>> {
        load(&self.keys, site, passphrases)
    }

    /// Until when a token that is begun now counts.
    pub fn expires(&self) -> Timestamp {
        let hours = SignedDuration::from_hours(i64::from(self.expires_in));
        time::now().saturating_add(hours).unwrap_or(Timestamp::MAX)
    }
}

/// No token is longer; in bytes.
const MAX_TOKEN: u64 = 1 << 20;

/// The token that somebody has begun.
///
/// # Errors
/// It cannot be read, or is longer than any.
pub fn read_token(path: &Path) -> Result<Vec<u8>> {
    files::read(path, MAX_TOKEN)
}

/// The private keys called `names`, each of an approver of `site`, or of a keyholder of its root where it has none.
///
/// # Errors
/// A key cannot be read, or is another one.
fn load(names: &[KeyName], site: &SiteRoot, passphrases: &Passphrases<'_>) -> Result<Vec<Key>> {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    let load = |name: &KeyName| {
        let key = passphrases.load(name)?;
        if role.keys().contains_key(key.public_key().id()) {
            return Ok(key);
        }
        let problem = format!("{name} is no key of the site's approvers, nor of its root");
        Err(CommandError::usage(problem).hint("`sealock site show` lists the keys of the site."))
    };
    names.iter().map(load).collect()
}

/// Says so where `site` has not enough people for what takes two of them.
pub fn warn_if_too_few(site: &SiteRoot, context: &Context) {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    if role.keys().len() < 2 {
        context.ui.warn(
            "the site has fewer than two approvers: nobody can break a glass or settle an older trust state. \
             `approvers` in the site spec names them",
        );
    }
}
