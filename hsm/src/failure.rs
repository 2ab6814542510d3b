//! What can go wrong, by names that `sealock` explains to people.

use cryptoki::error::{Error, RvError};
use serde::Serialize;

use crate::protocol::PinState;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// What was said is not the protocol.
    Protocol,
    /// There is no such file.
    ModuleMissing,
    /// The file is no PKCS#11 library, or does not start.
    ModuleUnusable,
    /// No token is as it was asked for.
    NoToken,
    /// More than one is.
    AmbiguousToken,
    /// The PIN is not that of the token.
    WrongPin,
    /// Too many wrong ones were given.
    PinLocked,
    /// It has to be changed first.
    PinExpired,
    /// The token never got one.
    PinNotSet,
    /// No private key is as it was asked for.
    NoKey,
    /// More than one is.
    AmbiguousKey,
    /// The key is not meant for signing.
    KeyCannotSign,
    /// The key asks for its PIN at each signature.
    AlwaysAuthenticate,
    /// The token does not give the public half away.
    NoPublicHalf,
    /// The token does not sign in this way.
    MechanismMissing,
    /// The token does not sign that much at once.
    DataTooLong,
    /// It is not there any more.
    TokenGone,
    /// Something else that the token said.
    Device,
}

/// Why it went no further.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub code: Code,
    /// What was called, and what it answered.
    pub message: String,
    /// Where it is about the PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinState>,
    /// What there is instead of what was asked for, or what fits it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), pin: None, found: Vec::new() }
    }

    pub fn found(mut self, found: Vec<String>) -> Self {
        self.found = found;
        self
    }

    pub fn pin(mut self, state: PinState) -> Self {
        self.pin = Some(state);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::Pkcs11(answer, function) => format!("C_{function:?} answered {answer:?}"),
            other => other.to_string(),
        };
        Self::new(code_of(&error), message)
    }
}

fn code_of(error: &Error) -> Code {
    use RvError as R;
    let Error::Pkcs11(answer, _) = error else {
        return match error {
            Error::LibraryLoading(_) | Error::MissingSymbol(_) => Code::ModuleUnusable,
            _ => Code::Device,
        };
    };
    match answer {
        R::PinIncorrect | R::PinInvalid | R::PinLenRange => Code::WrongPin,
        R::PinLocked => Code::PinLocked,
        R::PinExpired => Code::PinExpired,
        R::UserPinNotInitialized => Code::PinNotSet,
        R::DeviceRemoved
        | R::TokenNotPresent
        | R::SessionClosed
        | R::SessionHandleInvalid
        | R::KeyHandleInvalid
        | R::ObjectHandleInvalid => Code::TokenGone,
        R::MechanismInvalid | R::MechanismParamInvalid => Code::MechanismMissing,
        R::DataLenRange => Code::DataTooLong,
        R::KeyFunctionNotPermitted => Code::KeyCannotSign,
        _ => Code::Device,
    }
}
