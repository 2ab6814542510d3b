//! A key in a token: found, opened, signed with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealock_trust::signer::pkcs11::{Mechanism, PublicAttributes};
use sealock_trust::signer::{KeyUri, Passphrase, SignError};
use sealock_trust::{PublicKey, Signer};
use zeroize::Zeroizing;

use super::error::{HsmError, Subject, clean};
use super::helper::Helper;
use super::protocol::{Hello, LoginBy, Opened, PinState, Ready, Reply, Request, name};

/// Starting a program.
const START: Duration = Duration::from_secs(30);
/// Loading a library and finding a token, perhaps over a network.
const OPEN: Duration = Duration::from_secs(60);
/// Logging in; at a keypad a person does it.
const LOGIN: Duration = Duration::from_secs(60);
const KEYPAD: Duration = Duration::from_secs(180);
/// Signing; some tokens wait for a finger.
const SIGN: Duration = Duration::from_secs(120);

/// What is signed to see that a private key belongs to the public half that the token shows. It is no document of ours.
const TRIAL: &[u8] = b"sealock: does this key sign what its public half verifies?";

/// A token that was found, and waits for its PIN.
#[derive(Debug)]
pub struct Token {
    line: Line,
    login: LoginBy,
    pin: PinState,
    identity: String,
}

/// Starts the helper `program`, and has it find the token that `uri` names by the vendor's library `module`.
///
/// # Errors
/// Whatever is in the way: see [`HsmError`].
pub fn open(program: &Path, module: &Path, uri: &KeyUri) -> Result<Token, HsmError> {
    let mut line = Line { helper: Helper::start(program)?, token: String::new(), module: module.to_owned() };
    let hello = line.helper.ask(None, START)?;
    let hello: Hello = serde_json::from_slice(&hello).map_err(|_| HsmError::Garbled)?;
    if !hello.is_understood() {
        let found = format!("{} ({})", clean(&hello.format), clean(&hello.version));
        return Err(HsmError::Version { path: program.to_owned(), found });
    }
    match line.ask(&Request::open(module, uri), OPEN)? {
        Reply::Opened(Opened { label, serial, login, pin }) => {
            line.token = clean(&label);
            Ok(Token { line, login, pin, identity: format!("{}\0{label}\0{serial}", module.display()) })
        }
        _ => Err(HsmError::Garbled),
    }
}

impl Token {
    /// Its label, as people may see it.
    pub fn label(&self) -> &str {
        &self.line.token
    }

    /// What tells it from all others: whose PIN is remembered.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What it asks for.
    pub fn login_by(&self) -> LoginBy {
        self.login
    }

    /// What it tells of the tries that are left.
    pub fn pin_state(&self) -> PinState {
        self.pin
    }

    /// Logs in, once, and finds the key.
    ///
    /// # Errors
    /// The PIN is wrong, or there is no such key, or it can't be used.
    pub fn login(mut self, pin: Option<&Passphrase>) -> Result<HsmKey, HsmError> {
        let patience = if self.login == LoginBy::Keypad { KEYPAD } else { LOGIN };
        let Reply::Ready(Ready { public, mechanisms }) = self.line.ask(&Request::login(pin), patience)? else {
            return Err(HsmError::Garbled);
        };
        let token = self.line.token.clone();
        let public = PublicAttributes::from(public).public_key();
        let public = public.map_err(|source| HsmError::Kind { token: token.clone(), source })?;
        let mechanism = Mechanism::of(&public).ok_or(HsmError::Garbled)?;
        if !mechanisms.iter().any(|known| known == name(mechanism)) {
            return Err(HsmError::Mechanism { token, mechanism: mechanism.as_str() });
        }
        Ok(HsmKey { public, mechanism, line: Mutex::new(self.line) })
    }
}

/// A key in a token that has been opened.
pub struct HsmKey {
    public: PublicKey,
    mechanism: Mechanism,
    line: Mutex<Line>,
}

impl HsmKey {
    /// Makes a signature to see that the private key is there and belongs to the public half.
    ///
    /// # Errors
    /// It does not sign, or does not fit.
    pub fn prove(&self) -> Result<(), HsmError> {
        self.make(TRIAL).map(drop)
    }

    fn make(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let input = self.mechanism.input(&self.public, message);
        let Reply::Signed(signed) = line.ask(&Request::sign(self.mechanism, input), SIGN)? else {
            return Err(HsmError::Garbled);
        };
        let signature = self.mechanism.signature(&self.public, message, &signed.signature.0);
        signature.map_err(|_| HsmError::Mismatch(line.token.clone()))
    }
}

impl Signer for HsmKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |cause: HsmError| SignError { keyid: self.public.id().to_string(), cause: cause.into() };
        self.make(message).map_err(failed)
    }
}

impl fmt::Debug for HsmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HsmKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The line to a helper, and what errors name.
#[derive(Debug)]
struct Line {
    helper: Helper,
    token: String,
    module: PathBuf,
}

impl Line {
    fn ask(&mut self, request: &Request<'_>, patience: Duration) -> Result<Reply, HsmError> {
        // Room enough that no copy of a PIN stays behind where the buffer grows.
        let mut line = Zeroizing::new(Vec::with_capacity(8 << 10));
        serde_json::to_writer(&mut *line, request).map_err(|_| HsmError::Garbled)?;
        line.push(b'\n');
        let answer = self.helper.ask(Some(line), patience)?;
        match serde_json::from_slice(&answer).map_err(|_| HsmError::Garbled)? {
            Reply::Error(told) => {
                Err(HsmError::Told(Subject { token: self.token.clone(), module: self.module.clone(), told }))
            }
            reply => Ok(reply),
        }
    }
}
