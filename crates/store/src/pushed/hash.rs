//! A hash that can be put aside and taken up again, so that an upload survives a restart without being read again.

use sealock_trust::{Algorithm, Digest};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash of the bytes so far.
#[derive(Clone, Debug)]
pub(crate) enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hash {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::from_sha256(hash.finalize().into()),
            Self::Sha512(hash) => Digest::from_sha512(hash.finalize().into()),
        }
    }

    /// What [`Hash::load`] takes up again, in hexadecimal digits.
    pub(crate) fn save(&self) -> String {
        match self {
            Self::Sha256(hash) => hex::encode(hash.serialize()),
            Self::Sha512(hash) => hex::encode(hash.serialize()),
        }
    }

    /// Nothing where `saved` is no state of that algorithm.
    pub(crate) fn load(algorithm: Algorithm, saved: &str) -> Option<Self> {
        let saved = hex::decode(saved).ok()?;
        Some(match algorithm {
            Algorithm::Sha256 => Self::Sha256(taken_up(&saved)?),
            Algorithm::Sha512 => Self::Sha512(taken_up(&saved)?),
        })
    }
}

fn taken_up<H: SerializableState>(saved: &[u8]) -> Option<H> {
    let state = SerializedState::<H>::try_from(saved).ok()?;
    H::deserialize(&state).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn put_aside_anywhere_it_comes_to_the_same(content: Vec<u8>, cut: prop::sample::Index) {
            let cut = cut.index(content.len() + 1);
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let mut hash = Hash::new(algorithm);
                hash.update(&content[..cut]);
                let mut again = Hash::load(algorithm, &hash.save()).unwrap();
                again.update(&content[cut..]);
                prop_assert_eq!(again.finish(), Digest::of(algorithm, &content));
            }
        }

        #[test]
        fn no_saved_text_brings_it_down(text in "[0-9a-f]{0,500}") {
            let _ = Hash::load(Algorithm::Sha256, &text);
            let _ = Hash::load(Algorithm::Sha512, &text);
        }
    }

    #[test]
    fn a_state_of_the_other_algorithm_is_none() {
        assert!(Hash::load(Algorithm::Sha512, &Hash::new(Algorithm::Sha256).save()).is_none());
    }
}
