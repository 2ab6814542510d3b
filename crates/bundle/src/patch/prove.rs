//! Works a patch out, and compares what comes out with what must.

use std::io::{self, Read, Write};

use sealock_trust::{Digest, Hasher};

use super::apply;
use super::error::PatchError;

/// Works `patch` out on `base`, and keeps nothing of it.
///
/// # Errors
/// [`PatchError::Other`] where it does not make `size` bytes with the digest `expected`; [`PatchError`].
pub fn prove(base: impl Read, patch: impl Read, expected: &Digest, size: u64) -> Result<(), PatchError> {
    let other = |actual: String| PatchError::Other { expected: expected.clone(), actual };
    let mut proof = Proof { hasher: Hasher::new(expected.algorithm()), left: size };
    match apply(base, patch, &mut proof) {
        // The only thing that this writer refuses.
        Err(PatchError::Write(_)) => return Err(other(format!("more than {size} bytes"))),
        result => result?,
    }
    if proof.left > 0 {
        return Err(other(format!("{} bytes", size - proof.left)));
    }
    let actual = proof.hasher.finish();
    if actual == *expected { Ok(()) } else { Err(other(actual.to_string())) }
}

struct Proof {
    hasher: Hasher,
    left: u64,
}

impl Write for Proof {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
