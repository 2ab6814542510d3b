//! What is durable of an upload beside its bytes.

use std::path::Path;

use jiff::Timestamp;
use sealock_trust::Algorithm;
use sealock_trust::json::{Limits, jcs};
use serde::{Deserialize, Serialize};

use crate::durable::replace_file;
use crate::error::{IoContext, StoreError};
use crate::pushed::hash::Hash;

/// The file `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// `sha256` or `sha512`.
    algorithm: String,
    /// The state of the hash over the acknowledged bytes, in hexadecimal digits.
    midstate: String,
    /// The bytes that were acknowledged.
    pub(crate) offset: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) principal: Option<String>,
    pub(crate) repository: String,
    /// When the last byte came.
    pub(crate) touched: Timestamp,
}

impl State {
    pub(crate) fn new(repository: &str, principal: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Self {
        Self {
            algorithm: algorithm.as_str().to_owned(),
            midstate: Hash::new(algorithm).save(),
            offset: 0,
            principal: principal.map(str::to_owned),
            repository: repository.to_owned(),
            touched: now,
        }
    }

    /// The same upload after more bytes.
    pub(crate) fn after(&self, hash: &Hash, offset: u64, now: Timestamp) -> Self {
        Self { midstate: hash.save(), offset, touched: now, ..self.clone() }
    }

    /// The hash over the acknowledged bytes; nothing where the state is damaged.
    pub(crate) fn hash(&self) -> Option<Hash> {
        let known = [Algorithm::Sha256, Algorithm::Sha512];
        let algorithm = known.into_iter().find(|known| known.as_str() == self.algorithm)?;
        Hash::load(algorithm, &self.midstate)
    }

    /// Nothing where there is none, or a damaged one.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let state: Self = jcs::from_slice(&std::fs::read(path).ok()?, &Limits::DOCUMENT).ok()?;
        state.hash().is_some().then_some(state)
    }

    /// Durable when it returns.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let bytes = jcs::to_vec(self).map_err(std::io::Error::other).during("write", path)?;
        replace_file(path, &bytes, 0o600)
    }
}
