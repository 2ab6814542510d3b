//! What kind of failure a library's error is, read off its causes.

use std::error::Error;
use std::io;

use super::Kind;
use crate::hsm::HsmError;

/// The kind of failure `error` is, where it is not a refusal.
///
/// The machine's own errors stand at the end of the chain, so the first one found there decides.
pub fn of(error: &(dyn Error + 'static)) -> Kind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        if let Some(hsm) = error.downcast_ref::<HsmError>()
            && (hsm.is_environment() || hsm.is_usage())
        {
            return if hsm.is_usage() { Kind::Usage } else { Kind::Environment };
        }
        next = error.source();
    }
    Kind::Failed
}

/// What a token, or the program that talks to it, is to blame for, however deep it lies.
pub fn of_token<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a HsmError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(hsm) = error.downcast_ref::<HsmError>() {
            return Some(hsm);
        }
        next = error.source();
    }
    None
}

fn of_io(error: &io::Error) -> Kind {
    use io::ErrorKind as E;
    match error.kind() {
        E::BrokenPipe
        | E::ConnectionRefused
        | E::ConnectionReset
        | E::ConnectionAborted
        | E::HostUnreachable
        | E::NetworkUnreachable
        | E::NetworkDown
        | E::TimedOut
        | E::AddrInUse
        | E::AddrNotAvailable
        | E::StorageFull
        | E::QuotaExceeded
        | E::ReadOnlyFilesystem
        | E::ResourceBusy
        | E::WouldBlock
        | E::OutOfMemory
        | E::PermissionDenied
        | E::Interrupted => Kind::Environment,
        _ => Kind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("writing the blob")]
    struct Writing(#[source] io::Error);

    #[test]
    fn a_broken_connection_is_never_mistaken_for_a_reader_that_went_away() {
        assert_eq!(of(&io::Error::from(io::ErrorKind::BrokenPipe)), Kind::Environment);
    }

    #[test]
    fn a_full_disk_is_the_environment_however_deep_it_lies() {
        let full = Writing(io::ErrorKind::StorageFull.into());
        assert_eq!(of(&full), Kind::Environment);
        let missing = Writing(io::ErrorKind::NotFound.into());
        assert_eq!(of(&missing), Kind::Failed);
    }
}
