//! Where passphrases of key files and PINs of tokens come from: a file, else a person at a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sealock_trust::signer::{KeyFileError, KeyUri};
use sealock_trust::{FileKey, Passphrase, PublicKey, Signer as _};

use super::{Key, KeyName, KeyPlace};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::hsm::{self, HsmError, HsmKey, LoginBy, PinState, Token};
use crate::ui::Ui;
use crate::{environment, files};

/// How often a person may mistype a passphrase. A PIN is never tried twice: tokens count.
const TRIES: usize = 3;

/// What has been given in the course of this command: nothing is asked for twice.
#[derive(Debug, Default)]
pub struct Secrets {
    passphrase: OnceLock<Passphrase>,
    /// PINs by the identity of their token; only such as were right.
    pins: Mutex<Vec<(String, Passphrase)>>,
}

impl Secrets {
    fn pins(&self) -> MutexGuard<'_, Vec<(String, Passphrase)>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where passphrases and PINs come from.
#[derive(Debug)]
pub struct Passphrases<'a> {
    context: &'a Context,
    file: Option<PathBuf>,
}

/// What a secret is, in messages.
const PASSPHRASE: &str = "passphrase";
const PIN: &str = "PIN";

impl<'a> Passphrases<'a> {
    /// From `file` where it is given by flag, else from the file that the settings name, else from a person.
    pub fn new(context: &'a Context, file: Option<&Path>) -> Self {
        let file = file.map(Path::to_owned).or_else(|| context.settings.passphrase_file.value.clone());
        Self { context, file }
    }

    /// Opens the key, asking for its passphrase, or its token's PIN, where it has one.
    ///
    /// # Errors
    /// There is no such key, it cannot be read, or nobody knows its passphrase.
    pub fn load(&self, name: &KeyName) -> Result<Key> {
        Ok(match name.place()? {
            KeyPlace::File(path) => Box::new(self.load_file(&path)?),
            KeyPlace::Token(uri) => Box::new(self.load_token(&uri)?),
        })
    }

    /// The public half of a private key; where that is in a token, after a signature has shown that both are there.
    ///
    /// # Errors
    /// As [`Passphrases::load`]; or the private key is not that of the public half.
    pub fn proven(&self, name: &KeyName) -> Result<PublicKey> {
        match name.place()? {
            KeyPlace::File(path) => Ok(self.load_file(&path)?.public_key().clone()),
            KeyPlace::Token(uri) => {
                let key = self.load_token(&uri)?;
                key.prove().map_err(|error| CommandError::from(error).context(uri.to_string()))?;
                Ok(key.public_key().clone())
            }
        }
    }

    fn load_file(&self, path: &Path) -> Result<FileKey> {
        match FileKey::load(path, self.context.secrets.passphrase.get()) {
            Err(KeyFileError::PassphraseNeeded(_)) => self.unlock(path),
            other => Ok(other?),
        }
    }

    fn unlock(&self, path: &Path) -> Result<FileKey> {
        let known = &self.context.secrets.passphrase;
        if let Some(file) = &self.file {
            let passphrase = read(file, PASSPHRASE, &self.context.ui)?;
            let key = FileKey::load(path, Some(&passphrase)).map_err(CommandError::from);
            let key = key.map_err(|error| error.hint(format!("The passphrase was read from {}.", file.display())))?;
            let _ = known.set(passphrase);
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
                    let _ = known.set(passphrase);
                    return Ok(key);
                }
            }
        }
    }

    fn load_token(&self, uri: &KeyUri) -> Result<HsmKey> {
        let opened = self.open_token(uri);
        opened.map_err(|error| error.context(format!("{uri} cannot be used")))
    }

    fn open_token(&self, uri: &KeyUri) -> Result<HsmKey> {
        let settings = &self.context.settings;
        let module = uri.module().map(Path::to_owned).or_else(|| settings.pkcs11_module.value.clone());
        let module = module.ok_or_else(|| {
            CommandError::usage("the URI does not say which library talks to the token").hint(
                "Add `?module-path=/usr/lib/…/vendor.so`, or set `pkcs11Module` in the settings or SEALOCK_PKCS11_MODULE.",
            )
        })?;
        let program = match &settings.hsm_helper.value {
            Some(program) => program.clone(),
            None => environment::beside_this_program("sealock-hsm")?,
        };
        let token = hsm::open(&program, &module, uri)?;
        let pin = self.pin(uri, &token)?;
        let identity = token.identity().to_owned();
        let key = token.login(pin.as_ref().map(|(pin, _)| pin));
        let Some((pin, from)) = pin else { return Ok(key?) };
        let key = key.map_err(|error| {
            let from = from.filter(|_| error.is_about_the_pin());
            let from = from.map(|file| format!("The PIN was read from {}.", file.display()));
            from.into_iter().fold(CommandError::from(error), CommandError::hint)
        })?;
        self.remember(identity, pin);
        Ok(key)
    }

    fn remember(&self, identity: String, pin: Passphrase) {
        let mut pins = self.context.secrets.pins();
        if !pins.iter().any(|(known, _)| *known == identity) {
            pins.push((identity, pin));
        }
    }

    /// The PIN, and the file that it comes from; none where the token asks for none.
    fn pin(&self, uri: &KeyUri, token: &Token) -> Result<Option<(Passphrase, Option<PathBuf>)>> {
        let ui = &self.context.ui;
        let label = token.label();
        if token.login_by() == LoginBy::None {
            return Ok(None);
        }
        if token.pin_state() == PinState::Locked {
            return Err(HsmError::Locked(label.to_owned()).into());
        }
        if token.login_by() == LoginBy::Keypad {
            ui.note(format_args!("enter the PIN of the token {label} at its keypad"));
            return Ok(None);
        }
        let known = self.context.secrets.pins().iter().find(|(known, _)| known == token.identity()).cloned();
        if let Some((_, pin)) = known {
            return Ok(Some((pin, None)));
        }
        let file = uri.pin_file().or(self.file.as_deref());
        may_be_tried(token.pin_state(), file.is_some(), label, ui)?;
        Ok(Some(match file {
            Some(file) => (read(file, PIN, ui)?, Some(file.to_owned())),
            None => (Passphrase::new(ui.ask_pin(label)?).ok_or_else(|| CommandError::usage("the PIN is empty"))?, None),
        }))
    }

    /// The passphrase under which new keys are encrypted.
    ///
    /// # Errors
    /// There is no file and nobody to ask, or the two answers differ.
    pub fn for_new_keys(&self) -> Result<&Passphrase> {
        let known = &self.context.secrets.passphrase;
        if let Some(passphrase) = known.get() {
            return Ok(passphrase);
        }
        let passphrase = match &self.file {
            Some(file) => read(file, PASSPHRASE, &self.context.ui)?,
            None => self.ask_twice()?,
        };
        Ok(known.get_or_init(|| passphrase))
    }

    /// The passphrase of something else than a key that signs: from the file, else from a person who is asked `prompt`.
    ///
    /// # Errors
    /// There is no file and nobody to ask.
    pub fn for_opening(&self, prompt: &str) -> Result<Passphrase> {
        match &self.file {
            Some(file) => read(file, PASSPHRASE, &self.context.ui),
            None => self.ask(prompt),
        }
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

/// A token that the next wrong PIN locks is tried by a person only, who sees what is at stake: a file that was wrong once is
/// wrong again.
fn may_be_tried(state: PinState, from_file: bool, label: &str, ui: &Ui) -> Result<()> {
    match state {
        PinState::Final if from_file => Err(HsmError::FinalTry(label.to_owned()).into()),
        PinState::Final => {
            ui.warn(format_args!("the next wrong PIN locks the token {label}"));
            Ok(())
        }
        PinState::Low => {
            ui.warn(format_args!("a wrong PIN was given to the token {label} since the last right one"));
            Ok(())
        }
        PinState::Ok | PinState::Locked => Ok(()),
    }
}

fn read(file: &Path, what: &str, ui: &Ui) -> Result<Passphrase> {
    let text = files::read_text(file).map_err(|error| error.context(format!("reading the {what} file")))?;
    if fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        ui.warn(format_args!("others can read the {what} in {}: chmod 600", file.display()));
    }
    let line = text.lines().next().unwrap_or_default();
    let problem = || format!("the first line of {} is empty: it must be a {what}", file.display());
    Passphrase::new(line).ok_or_else(|| CommandError::usage(problem()))
}

fn empty() -> CommandError {
    CommandError::usage("the passphrase is empty").hint("--unencrypted-keys keeps keys without one.")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn the_last_try_is_not_spent_on_a_file() {
        let ui = Ui::new(&Args::parse_from(["sealock", "version"]).global);
        assert!(may_be_tried(PinState::Final, true, "plant", &ui).is_err());
        assert!(may_be_tried(PinState::Final, false, "plant", &ui).is_ok());
        assert!(may_be_tried(PinState::Low, true, "plant", &ui).is_ok());
    }
}
