//! Private keys: reading them, making them, and where their passphrase comes from.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sealock_trust::signer::KeyFileError;
use sealock_trust::{FileKey, Passphrase, Scheme};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::ui::Ui;

/// How often a person may mistype.
const TRIES: usize = 3;

/// Where the passphrase of keys comes from: a file, else a person at a terminal. Asked for once per command.
#[derive(Debug)]
pub struct Passphrases<'a> {
    context: &'a Context,
    file: Option<PathBuf>,
    known: OnceCell<Passphrase>,
}

impl<'a> Passphrases<'a> {
    /// From `file` where it is given by flag, else from the file that the settings name, else from a person.
    pub fn new(context: &'a Context, file: Option<&Path>) -> Self {
        let file = file.map(Path::to_owned).or_else(|| context.settings.passphrase_file.value.clone());
        Self { context, file, known: OnceCell::new() }
    }

    /// Reads the key at `path`, asking for its passphrase where it has one.
    ///
    /// # Errors
    /// The key cannot be read, or nobody knows its passphrase.
    pub fn load(&self, path: &Path) -> Result<FileKey> {
        match FileKey::load(path, self.known.get()) {
            Err(KeyFileError::PassphraseNeeded(_)) => self.unlock(path),
            other => Ok(other?),
        }
    }

    fn unlock(&self, path: &Path) -> Result<FileKey> {
        if let Some(file) = &self.file {
            let passphrase = read(file, &self.context.ui)?;
            let key = FileKey::load(path, Some(&passphrase)).map_err(CommandError::from);
            let key = key.map_err(|error| error.hint(format!("The passphrase was read from {}.", file.display())))?;
            let _ = self.known.set(passphrase);
            return Ok(key);
        }
        let mut tries = TRIES;
        loop {
            let passphrase = self.ask(&format!("Passphrase of {}", path.display()))?;
            tries -= 1;
            match FileKey::load(path, Some(&passphrase)) {
                Err(KeyFileError::WrongPassphrase(_)) if tries > 0 => self.context.ui.warn("that is not it"),
                other => {
                    let key = other?;
                    let _ = self.known.set(passphrase);
                    return Ok(key);
                }
            }
        }
    }

    /// The passphrase under which new keys are encrypted.
    ///
    /// # Errors
    /// There is no file and nobody to ask, or the two answers differ.
    pub fn for_new_keys(&self) -> Result<&Passphrase> {
        if let Some(passphrase) = self.known.get() {
            return Ok(passphrase);
        }
        let passphrase = match &self.file {
            Some(file) => read(file, &self.context.ui)?,
            None => self.ask_twice()?,
        };
        Ok(self.known.get_or_init(|| passphrase))
    }

    fn ask_twice(&self) -> Result<Passphrase> {
        let first = self.context.ui.ask_passphrase("Passphrase for the new keys")?;
        if first != self.context.ui.ask_passphrase("The same again")? {
            return Err(CommandError::usage("the two passphrases differ; nothing was written"));
        }
        Passphrase::new(first).ok_or_else(empty)
    }

    fn ask(&self, prompt: &str) -> Result<Passphrase> {
        Passphrase::new(self.context.ui.ask_passphrase(prompt)?).ok_or_else(empty)
    }
}

/// The key at `path`: the one that is there, or else a new one.
///
/// An interrupted command finds the keys it made, so that running it again finishes the work.
///
/// # Errors
/// The key cannot be read or written.
pub fn load_or_create(path: &Path, scheme: Scheme, passphrases: &Passphrases<'_>, encrypt: bool) -> Result<FileKey> {
    if path.exists() {
        return passphrases.load(path);
    }
    let key = FileKey::generate(scheme)?;
    let passphrase = if encrypt { Some(passphrases.for_new_keys()?) } else { None };
    key.save(path, passphrase)?;
    Ok(key)
}

fn read(file: &Path, ui: &Ui) -> Result<Passphrase> {
    let text = files::read_text(file).map_err(|error| error.context("reading the passphrase file"))?;
    if fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        ui.warn(format_args!("others can read the passphrase in {}: chmod 600", file.display()));
    }
    let line = text.lines().next().unwrap_or_default();
    let problem = || format!("the first line of {} is empty: it must be a passphrase", file.display());
    Passphrase::new(line).ok_or_else(|| CommandError::usage(problem()))
}

fn empty() -> CommandError {
    CommandError::usage("the passphrase is empty").hint("--unencrypted-keys keeps keys without one.")
}
