//! What was accepted of each stream: one file per (root, stream).

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Accepted, DirectoryError, StreamKey, TrustDirectory};
use crate::Digest;
use crate::json::{self, Limits, jcs};
use crate::names::StreamName;
use crate::tuf::{Root, StreamState, Verified};

const FORMAT: &str = "trust-state/1.0";

/// The file: the state together with the receipt that was given for it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: String,
    state: StreamState,
    receipt: String,
}

impl TrustDirectory {
    /// What was accepted last of `stream`, under the root that is enrolled for it.
    ///
    /// # Errors
    /// [`DirectoryError::NotEnrolled`], [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn stream_state(&self, stream: &StreamName) -> Result<Option<StreamState>, DirectoryError> {
        Ok(self.accepted(stream)?.map(|accepted| accepted.state))
    }

    /// As [`Self::stream_state`], with the receipt.
    ///
    /// # Errors
    /// [`DirectoryError::NotEnrolled`], [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn accepted(&self, stream: &StreamName) -> Result<Option<Accepted>, DirectoryError> {
        let root = self.root_for(stream)?.enrolment.fingerprint;
        self.read_accepted(&StreamKey { root: &root, stream })
    }

    /// Remembers that `verified` was accepted, together with the signed `receipt`: one durable write.
    ///
    /// Once this returns, no older bundle of the stream is accepted any more, whatever happens to the power.
    ///
    /// # Errors
    /// [`DirectoryError::WentOn`] if the stream has moved on since; [`DirectoryError::Io`], and nothing has changed.
    pub fn accept(
        &self,
        stream: &StreamName,
        verified: &Verified,
        receipt: &[u8],
    ) -> Result<StreamState, DirectoryError> {
        let _lock = self.lock()?;
        let enrolled = self.root_for(stream)?.enrolment.fingerprint;
        // The roots come first: a state must never be newer than the root that explains it.
        self.keep_newer_roots(&enrolled, verified.newer_roots())?;
        let root = self.root_for(stream)?.root;
        let key = StreamKey { root: &enrolled, stream };
        let before = self.read_accepted(&key)?.map(|accepted| accepted.state);
        let state = verified.to_state(stream, before.as_ref());
        if let Some(before) = before.filter(|before| !may_follow(before, &state, verified.issued(), &root)) {
            let (sequence, accepted) = (state.sequence, before.sequence);
            return Err(DirectoryError::WentOn { stream: stream.clone(), sequence, accepted });
        }
        self.write_accepted(&key, &state, receipt)?;
        Ok(state)
    }

    fn read_accepted(&self, key: &StreamKey<'_>) -> Result<Option<Accepted>, DirectoryError> {
        let path = self.state_path(key);
        let Some(bytes) = self.read(&path)? else {
            return Ok(None);
        };
        let damaged = |source| DirectoryError::Damaged { path: path.clone(), source };
        let record: Record = jcs::from_slice(&bytes, &Limits::DOCUMENT).map_err(damaged)?;
        let is_its_own = record.format == FORMAT && record.state.stream == *key.stream;
        let receipt = STANDARD.decode(&record.receipt).ok().filter(|_| is_its_own);
        let receipt = receipt.ok_or_else(|| damaged(json::Error::NotCanonical))?;
        Ok(Some(Accepted { state: record.state, receipt }))
    }

    fn write_accepted(&self, key: &StreamKey<'_>, state: &StreamState, receipt: &[u8]) -> Result<(), DirectoryError> {
        let path = self.state_path(key);
        let record = Record { format: FORMAT.to_owned(), state: state.clone(), receipt: STANDARD.encode(receipt) };
        let bytes = jcs::to_vec(&record).map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
        let folder = self.state_folder(key.root);
        fs::create_dir_all(&folder).map_err(DirectoryError::io("make", &folder))?;
        crate::durable::sync_parent(&folder).map_err(DirectoryError::io("make", &folder))?;
        self.replace(&path, &bytes)
    }

    fn state_folder(&self, root: &Digest) -> PathBuf {
        self.streams_folder().join(root.hex())
    }

    fn state_path(&self, key: &StreamKey<'_>) -> PathBuf {
        self.state_folder(key.root).join(format!("{}.json", key.stream.to_file_name()))
    }
}

/// Forward, or the same again; any sequence if the keys that signed the accepted one have been rotated away (TUF 5.3.11).
fn may_follow(before: &StreamState, state: &StreamState, issued: Option<Timestamp>, root: &Root) -> bool {
    let Ok(publisher) = root.publisher_keys() else {
        return false;
    };
    let is_same = before.sequence == state.sequence && before.manifest == state.manifest;
    let are_rotated = !publisher.is_met_by(&before.signers) && before.may_begin_anew_at(issued);
    is_same || publisher.is_met_by(&state.signers) && (state.sequence > before.sequence || are_rotated)
}
