//! What goes wrong with keys in tokens, as people are told.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sealock_trust::key::KeyError;

use super::protocol::{Code, PinState, Told};

/// Why a key in a token cannot be used, or did not sign.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// `sealock-hsm` is not where it should be.
    #[error("`sealock-hsm`, which talks to tokens, is not at {}", .0.display())]
    HelperMissing(PathBuf),
    /// It is there, and does not start.
    #[error("{} cannot be started", path.display())]
    Start { path: PathBuf, source: io::Error },
    /// It speaks something else.
    #[error("{} speaks {found}, and this is not understood here", path.display())]
    Version { path: PathBuf, found: String },
    /// It ended in the middle.
    #[error("`sealock-hsm` ended before it had answered{}", said(.0))]
    Died(String),
    /// It takes too long. It was ended.
    #[error("`sealock-hsm` did not answer within {0} s, and was ended")]
    Silent(u64),
    /// Its answer is no answer.
    #[error("`sealock-hsm` gave an answer that is not understood")]
    Garbled,
    /// It said why not.
    #[error("{0}")]
    Told(Subject),
    /// The token has a key, but not one that can be verified.
    #[error("the key in the token {token} is of no use here")]
    Kind { token: String, source: KeyError },
    /// The token's key would need a mechanism that the token has not.
    #[error("the token {token} cannot sign with this key: it lacks {mechanism}")]
    Mechanism { token: String, mechanism: &'static str },
    /// The token is locked, and was not asked.
    #[error("the token {0} is locked: too many wrong PINs were given")]
    Locked(String),
    /// The next wrong PIN locks the token, and this one would come out of a file.
    #[error("the next wrong PIN locks the token {0}, so none is taken out of a file")]
    FinalTry(String),
    /// What the token made is no signature by its key.
    #[error("what the token {0} made is no signature by the key that it shows")]
    Mismatch(String),
}

/// What a helper told, and of what.
#[derive(Debug)]
pub struct Subject {
    /// The token by its label, once it is known.
    pub token: String,
    /// The vendor's library.
    pub module: PathBuf,
    pub told: Told,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, module, message) = (clean(&self.token), self.module.display(), clean(&self.told.message));
        match self.told.code {
            Code::Protocol => write!(f, "`sealock-hsm` did not understand what it was asked: {message}"),
            Code::ModuleMissing => write!(f, "there is no PKCS#11 library at {module}"),
            Code::ModuleUnusable => write!(f, "{module} cannot be used as a PKCS#11 library: {message}"),
            Code::NoToken => write!(f, "no token is as the URI says{}", self.instead()),
            Code::AmbiguousToken => write!(f, "several tokens are as the URI says:{}", self.listed()),
            Code::WrongPin => write!(f, "the PIN is not that of the token {token}{}", self.tries()),
            Code::PinLocked => write!(f, "the token {token} is locked: too many wrong PINs were given"),
            Code::PinExpired => write!(f, "the PIN of the token {token} has to be changed first"),
            Code::PinNotSet => write!(f, "the token {token} has no PIN yet"),
            Code::NoKey => write!(f, "the token {token} has no private key as the URI says{}", self.instead()),
            Code::AmbiguousKey => {
                write!(f, "the token {token} has several private keys as the URI says:{}", self.listed())
            }
            Code::KeyCannotSign => write!(f, "the key in the token {token} is not meant for signing: {message}"),
            Code::AlwaysAuthenticate => {
                write!(f, "the key in the token {token} asks for the PIN at each signature, and that is not supported")
            }
            Code::NoPublicHalf => write!(f, "the token {token} does not show the key's public half: {message}"),
            Code::MechanismMissing => write!(f, "the token {token} does not sign in this way: {message}"),
            Code::DataTooLong => write!(f, "this is more than the token {token} signs at once: {message}"),
            Code::TokenGone => write!(f, "the token {token} is not there any more: {message}"),
            Code::Device => write!(f, "the token {token} failed: {message}"),
        }
    }
}

impl Subject {
    /// What there is instead of what was asked for.
    fn instead(&self) -> String {
        if self.told.found.is_empty() {
            "; there is none at all".to_owned()
        } else {
            format!("; there is{}", self.listed())
        }
    }

    fn listed(&self) -> String {
        self.told.found.iter().take(8).map(|found| format!("\n{}", clean(found))).collect()
    }

    fn tries(&self) -> &'static str {
        match self.told.pin {
            Some(PinState::Low) => "; it counts wrong ones, and does not tell how many are left",
            Some(PinState::Final) => "; the next wrong one locks it",
            Some(PinState::Locked) => ", and it is locked now",
            Some(PinState::Ok) | None => "",
        }
    }
}

/// What comes out of a token is shown to a person: no control characters, and not too much of it.
pub fn clean(text: &str) -> String {
    text.trim().chars().take(200).flat_map(char::escape_debug).filter(|c| *c != '\\').collect()
}

fn said(noise: &str) -> String {
    let noise = noise.trim();
    if noise.is_empty() { String::new() } else { format!("; it said:\n{noise}") }
}

impl HsmError {
    /// Whether a token, or the machine, may be there and well another time.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::HelperMissing(_) | Self::Start { .. } | Self::Died(_) | Self::Silent(_) => true,
            Self::Told(subject) => matches!(subject.told.code, Code::NoToken | Code::TokenGone | Code::Device),
            _ => false,
        }
    }

    /// Whether the URI has to say more.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Told(Subject { told: Told { code: Code::AmbiguousToken | Code::AmbiguousKey, .. }, .. }))
    }

    /// Whether the PIN was not taken.
    pub fn is_about_the_pin(&self) -> bool {
        matches!(self, Self::Told(Subject { told: Told { code: Code::WrongPin | Code::PinLocked, .. }, .. }))
    }

    /// Whether it is untrusted: a signature that does not fit.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Mismatch(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::HelperMissing(_) => {
                "It comes with Sealock, as a program of its own: put it beside `sealock`, or say where it is with the \
                 setting `hsmHelper` or SEALOCK_HSM_HELPER."
            }
            Self::Version { .. } => "Take the `sealock-hsm` that came with this `sealock`.",
            Self::Silent(_) => "Look after the token: is it still there, and does it wait for somebody to touch it?",
            Self::Locked(_) => "Its security officer can set a new PIN.",
            Self::FinalTry(_) => "Run it on a terminal, where the PIN is asked for. A right one makes the count anew.",
            Self::Kind { .. } | Self::Mechanism { .. } => {
                "ECDSA on P-256 or P-384, Ed25519, and RSA of 2048 to 8192 bits with PSS are what can sign."
            }
            Self::Mismatch(_) => {
                "Do not use this key before its maker, or whoever set the token up, has explained this."
            }
            Self::Told(subject) => return told_hint(subject),
            Self::Start { .. } | Self::Died(_) | Self::Garbled => return None,
        };
        Some(hint.to_owned())
    }
}

fn told_hint(subject: &Subject) -> Option<String> {
    let module = subject.module.display();
    Some(match subject.told.code {
        Code::ModuleMissing => {
            "Name the vendor's library: `module-path` in the URI, or the setting `pkcs11Module`.".into()
        }
        Code::NoToken => format!("Plug it in. `pkcs11-tool --module {module} --list-slots` shows what is there."),
        Code::AmbiguousToken => "Say which: `serial` tells tokens with the same label apart.".into(),
        Code::AmbiguousKey => "Say which: `id` tells keys with the same label apart.".into(),
        Code::WrongPin => "It was tried once, and is not tried again by itself.".into(),
        Code::PinLocked => "Its security officer can set a new PIN.".into(),
        Code::NoPublicHalf => "Write the public key into the token, with the id of the private one.".into(),
        Code::AlwaysAuthenticate => {
            "Make the key without CKA_ALWAYS_AUTHENTICATE; on a PIV card in another slot than 9c.".into()
        }
        Code::DataTooLong => "Ed25519 signs whole messages; ECDSA and RSA sign digests, which are short.".into(),
        Code::TokenGone => "Plug it in again, and run the same command again.".into(),
        Code::Protocol => "Take the `sealock-hsm` that came with this `sealock`.".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: Code, pin: Option<PinState>, found: &[&str]) -> HsmError {
        let found = found.iter().map(ToString::to_string).collect();
        let told = Told { code, message: "C_Login answered PinIncorrect".to_owned(), pin, found };
        HsmError::Told(Subject { token: "plant".to_owned(), module: "/lib/vendor.so".into(), told })
    }

    #[test]
    fn people_are_told_how_near_the_token_is_to_being_locked() {
        let states = [None, Some(PinState::Ok), Some(PinState::Low), Some(PinState::Final), Some(PinState::Locked)];
        let said = states.map(|state| told(Code::WrongPin, state, &[]).to_string()).join("\n");
        insta::assert_snapshot!(said, @r"
        the PIN is not that of the token plant
        the PIN is not that of the token plant
        the PIN is not that of the token plant; it counts wrong ones, and does not tell how many are left
        the PIN is not that of the token plant; the next wrong one locks it
        the PIN is not that of the token plant, and it is locked now
        ");
    }

    #[test]
    fn a_label_plays_no_tricks_on_a_terminal() {
        let error =
            told(Code::NoToken, None, &["token=\u{1b}[2J\u{202e}evil\nerror: all is well", &"a".repeat(10_000)]);
        let said = error.to_string();
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}') && said.len() < 600, "{said}");
        assert_eq!(said.lines().count(), 3);
    }

    #[test]
    fn exit_codes_tell_what_may_pass_from_what_does_not() {
        assert!(told(Code::NoToken, None, &[]).is_environment());
        assert!(told(Code::TokenGone, None, &[]).is_environment());
        assert!(!told(Code::WrongPin, None, &[]).is_environment());
        assert!(told(Code::AmbiguousKey, None, &[]).is_usage());
        assert!(HsmError::Mismatch("plant".to_owned()).is_refusal());
    }
}
