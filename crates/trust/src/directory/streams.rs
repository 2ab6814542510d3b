//! What was accepted of each stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::State;
use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::json;
use crate::names::StreamName;
use crate::site::SiteKeys;
use crate::tuf::{Root, StreamState, Verified};

/// What was accepted last of a stream, the receipt that was given for it, and the generation that remembers both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was accepted.
    pub state: StreamState,
    /// The signed receipt, byte for byte.
    pub receipt: Vec<u8>,
    /// The generation of the trust state.
    pub generation: u64,
}

/// One stream of one publisher, whom the enrolled root's fingerprint names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamRecord {
    root: Digest,
    state: StreamState,
    /// Base64.
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
        let state = self.state()?;
        let root = state.enrolment_of(stream)?.fingerprint.clone();
        let Some(record) = state.record(&root, stream) else { return Ok(None) };
        let damaged = |_| DirectoryError::Damaged { path: self.path().to_owned(), source: json::Error::NotCanonical };
        let receipt = STANDARD.decode(&record.receipt).map_err(damaged)?;
        Ok(Some(Accepted { state: record.state.clone(), receipt, generation: state.generation }))
    }

    /// Everything that was accepted last, of every stream.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn accepted_streams(&self) -> Result<Vec<StreamState>, DirectoryError> {
        Ok(self.state()?.streams.into_iter().map(|record| record.state).collect())
    }

    /// Remembers that `verified` was accepted, together with the signed receipt, which is told the generation that
    /// remembers it: one durable write, sealed by `seal`. In the same write the `token` that broke a glass is used up.
    ///
    /// Once this returns, no older bundle of the stream is accepted any more, whatever happens to the power.
    ///
    /// # Errors
    /// [`DirectoryError::WentOn`] if the stream has moved on since; [`DirectoryError::TokenUsed`]; [`DirectoryError::Io`],
    /// and nothing has changed.
    pub fn accept<E: From<DirectoryError>>(
        &self,
        stream: &StreamName,
        (verified, token): (&Verified, Option<&Digest>),
        seal: Option<&SiteKeys>,
        receipt: impl FnOnce(u64) -> Result<Vec<u8>, E>,
    ) -> Result<Accepted, E> {
        self.change(seal, |state| {
            let enrolled = state.enrolment_of(stream)?.fingerprint.clone();
            // A state must never be newer than the root that explains it.
            self.keep_newer(state, &enrolled, verified.newer_roots())?;
            let root = self.trusted_root(state, stream)?.root;
            let before = state.record(&enrolled, stream).map(|record| record.state.clone());
            let after = verified.to_state(stream, before.as_ref());
            // An import that was cut off behind this write comes again with the token that it has used.
            let is_again = before.as_ref().is_some_and(|before| before.manifest == after.manifest);
            if let Some(token) = token.filter(|token| !state.used.insert((*token).clone()) && !is_again) {
                return Err(DirectoryError::TokenUsed(token.clone()).into());
            }
            if let Some(before) = before.filter(|before| !may_follow(before, &after, verified.issued(), &root)) {
                let (sequence, accepted) = (after.sequence, before.sequence);
                return Err(DirectoryError::WentOn { stream: stream.clone(), sequence, accepted }.into());
            }
            let generation = state.generation + 1;
            let receipt = receipt(generation)?;
            state.floor = state.floor.max(Some(after.issued));
            state.remember(StreamRecord { root: enrolled, state: after.clone(), receipt: STANDARD.encode(&receipt) });
            Ok(Accepted { state: after, receipt, generation })
        })
    }
}

impl State {
    fn record(&self, root: &Digest, stream: &StreamName) -> Option<&StreamRecord> {
        self.streams.iter().find(|record| record.root == *root && record.state.stream == *stream)
    }

    fn remember(&mut self, record: StreamRecord) {
        self.streams.retain(|other| other.root != record.root || other.state.stream != record.state.stream);
        self.streams.push(record);
        let key = |record: &StreamRecord| (record.root.clone(), record.state.stream.clone());
        self.streams.sort_by_key(key);
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
