//! What the garbage collector says: the same over the control socket, as JSON, and to a person.

use std::error::Error;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

/// Blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more blob, of `bytes` bytes.
    pub fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl FromIterator<u64> for Amount {
    fn from_iter<I: IntoIterator<Item = u64>>(sizes: I) -> Self {
        let mut amount = Self::default();
        sizes.into_iter().for_each(|bytes| amount.add(bytes));
        amount
    }
}

/// What goes, what stays, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The live releases, newest first.
    pub live: Vec<Live>,
    /// The releases that the site's retention lets go, newest first.
    pub retire: Vec<u64>,
    /// The blobs that nothing leads to, sorted by digest.
    pub garbage: Vec<Garbage>,
    /// What stays.
    pub kept: Amount,
    /// What somebody needs, and is not there as it was. Only an import, or healing, brings it back.
    pub missing: Vec<Missing>,
    /// Why nothing may be deleted: it is not known for sure what is garbage.
    pub doubts: Vec<String>,
}

impl Plan {
    /// What nothing leads to.
    pub fn reclaimable(&self) -> Amount {
        self.garbage.iter().map(|garbage| garbage.size).collect()
    }
}

/// Something that somebody needs, and that is not there as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The blob.
    pub digest: Digest,
    /// Who needs it, in words.
    pub needed_by: String,
    /// What is wrong.
    pub problem: String,
}

/// A release that is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Its number.
    pub release: u64,
    /// Why, in words: it is current, newer than retention reaches, pinned, or a cluster was made from it.
    pub because: Vec<String>,
}

/// A blob that nothing leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// The oldest release that kept it; none for what an import, or a push, left behind that came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_release: Option<u64>,
    /// The newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_release: Option<u64>,
    /// How far it is.
    pub state: GarbageState,
}

/// How far a blob is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GarbageState {
    /// The next run condemns it.
    Found,
    /// A reply has promised it not long ago.
    Promised,
    /// It waits for its grace to end.
    Condemned,
    /// The next run deletes it.
    Due,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it went by. What was deleted stands in it too.
    pub plan: Plan,
    /// What is condemned now.
    pub condemned: Amount,
    /// What was deleted.
    pub deleted: Amount,
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // `transparent` errors say what their source says.
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
