//! Makes the index of pushed content anew from the log, when a person asks for it.

use std::collections::BTreeSet;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::error::PushError;
use super::index::{Index, condition};
use super::lock::PushedLock;
use super::open;
use super::rows::Row;
use crate::durable::sync_folder;
use crate::store::Store;

/// How the index of pushed content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexCondition {
    /// It says what the log leads to.
    Sound,
    /// There is none.
    Absent,
    /// It cannot be read, or says something else than the log.
    Damaged,
    /// It was written by a Sealock, or a database, of another version.
    Foreign,
    /// It knows of another last record than the log has.
    Behind,
}

/// What looking at the index came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// How it was found.
    pub was: IndexCondition,
    /// Whether it was made anew.
    pub changed: bool,
    /// Records of the log.
    pub records: u64,
    /// Repositories that hold something.
    pub repositories: u64,
    /// What repositories hold, blob by blob.
    pub blobs: u64,
    /// Likewise, manifest by manifest.
    pub manifests: u64,
    /// What stands for a manifest.
    pub tags: u64,
    /// Manifests of which the store lacks the bytes, or has others: they are not served.
    pub missing: Vec<Digest>,
}

impl Store {
    /// Makes the index of pushed content anew from the log, unless it says what the log leads to. With `only_looks` it is left as it is.
    /// Nothing where nothing was ever pushed. Cut off anywhere, the next start of a server finishes it.
    ///
    /// # Errors
    /// [`StoreError::Locked`](crate::StoreError::Locked) where a server has the index;
    /// [`StoreError::DamagedLog`](crate::StoreError::DamagedLog) where the log is not whole, which is the truth; [`PushError::UnknownFormat`]; [`PushError::Index`].
    pub fn rebuild_pushed_index(&self, only_looks: bool) -> Result<Option<Rebuilt>, PushError> {
        let folder = self.layout.pushed();
        let log = folder.join("log");
        if !log.exists() {
            return Ok(None);
        }
        let _lock = PushedLock::hold(&self.layout)?;
        let path = folder.join("index.redb");
        let (rows, last) = open::read_all(&log)?;
        let was = condition(&path, &rows, last.as_ref());
        let changed = was != IndexCondition::Sound && !only_looks;
        if changed {
            Index::make_anew(&path)?.fill(&path, &rows, last.as_ref())?;
            sync_folder(&folder)?;
        }
        let records = last.map_or(0, |last| last.number);
        Ok(Some(Rebuilt { was, changed, records, ..self.count(&rows) }))
    }

    fn count(&self, rows: &[Row]) -> Rebuilt {
        let mut rebuilt = Rebuilt {
            was: IndexCondition::Sound,
            changed: false,
            records: 0,
            repositories: 0,
            blobs: 0,
            manifests: 0,
            tags: 0,
            missing: Vec::new(),
        };
        let (mut repositories, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            let (repository, _, _) = row.place();
            repositories.insert(repository);
            match row {
                Row::Blob { .. } => rebuilt.blobs += 1,
                Row::Tag { .. } => rebuilt.tags += 1,
                Row::Manifest { digest, entry, .. } => {
                    rebuilt.manifests += 1;
                    let media_type = entry.as_ref().map_or("", |entry| entry.media_type.as_str());
                    if let Err(error) = open::load(self, digest, media_type) {
                        tracing::warn!(%digest, %error, "a pushed manifest cannot be served");
                        missing.insert(digest.clone());
                    }
                }
            }
        }
        rebuilt.repositories = repositories.len() as u64;
        rebuilt.missing = missing.into_iter().collect();
        rebuilt
    }
}
