//! The file of a backup, of a cluster or a station: what it is called, who may open it, and with what it is looked at.

use std::path::{Path, PathBuf};

use sealock_cluster::backup::Identities;

use super::backup_folder::{KeepArgs, is_folder};
use crate::context::Context;
use crate::error::Result;
use crate::keys::Passphrases;

/// A backup that is written, or looked at.
#[derive(Debug, clap::Args)]
pub struct BackupFileArgs {
    /// The new file, or the folder that gets it as NAME-TIME.backup, by UTC [default: this folder]
    #[arg(long, value_name = "FILE|DIR/")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Who may open it: what `sealock site recovery-key` or `age-keygen` printed; may be repeated
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    pub recipients: Vec<String>,
    /// Look at this backup, and write none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "recipients"])]
    pub check: Option<PathBuf>,
    /// Open it with this key as well
    #[arg(long, value_name = "FILE", requires = "check")]
    recovery_key: Option<PathBuf>,
    /// File whose first line is the passphrase of the site's key, or of the recovery key
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl BackupFileArgs {
    /// Where the backup of `name` goes that is taken now.
    pub fn to(&self, name: &str, taken: jiff::Timestamp) -> PathBuf {
        let usual = format!("{name}-{}.backup", taken.strftime("%Y-%m-%dT%H%M%SZ"));
        match &self.to {
            None => PathBuf::from(usual),
            Some(to) if is_folder(to) => to.join(usual),
            Some(to) => to.clone(),
        }
    }

    /// Whether older backups are to go once the new one is there.
    ///
    /// # Errors
    /// They are, and no folder was named.
    pub fn is_keeping(&self) -> Result<bool> {
        self.keep.check(self.to.as_deref())
    }

    /// Where the passphrase of the site's key comes from.
    pub fn passphrases<'a>(&self, context: &'a Context) -> Passphrases<'a> {
        Passphrases::new(context, self.passphrase_file.as_deref())
    }

    /// The keys with which the backup is opened, where it is to be.
    ///
    /// # Errors
    /// They cannot be read or opened.
    pub fn identities(&self, context: &Context) -> Result<Option<Identities>> {
        let key = self.recovery_key.as_ref();
        key.map(|key| identities(key, self.passphrase_file.as_deref(), context)).transpose()
    }
}

/// The keys in `file`, whose passphrase is asked for where it has one.
///
/// # Errors
/// It cannot be read or opened.
pub fn identities(file: &Path, passphrase_file: Option<&Path>, context: &Context) -> Result<Identities> {
    if !Identities::is_encrypted(file)? {
        return Ok(Identities::load(file, None)?);
    }
    let passphrases = Passphrases::new(context, passphrase_file);
    let passphrase = passphrases.for_opening(&format!("Passphrase of {}", file.display()))?;
    Ok(Identities::load(file, Some(passphrase.reveal()))?)
}
