//! Errors of the library crates, as the command reports them.

use std::error::Error;

use sealock_trust::reason::Code;

use super::CommandError;

/// An error of one of our libraries: it knows whether it is a refusal, and why.
pub trait LibraryError: Error + Send + Sync + 'static {
    fn refusal(&self) -> Option<Option<Code>>;
}

impl<E: LibraryError> From<E> for CommandError {
    fn from(error: E) -> Self {
        let refusal = error.refusal();
        Self::from_library(error, refusal.is_some(), refusal.flatten())
    }
}

macro_rules! library_errors {
    ($($error:ty,)*) => {
        $(impl LibraryError for $error {
            fn refusal(&self) -> Option<Option<Code>> {
                // Some errors are refusals whatever happened, others only sometimes: `code` is a code or perhaps one.
                self.is_refusal().then(|| self.code().into())
            }
        })*
    };
}

library_errors! {
    sealock_trust::dsse::DsseError,
    sealock_trust::key::KeyError,
    sealock_trust::role::RoleError,
}

macro_rules! never_refusals {
    ($($error:ty,)*) => {
        $(impl LibraryError for $error {
            fn refusal(&self) -> Option<Option<Code>> {
                None
            }
        })*
    };
}

never_refusals! {
    sealock_trust::signer::KeyFileError,
    sealock_trust::signer::SignError,
}
