//! From the folder to a snapshot: what a start does.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use redb::Durability;
use sealock_trust::Digest;

use super::error::PushError;
use super::index::Index;
use super::log::{Position, Replay, replay};
use super::record::Record;
use super::rows::{Row, rows};
use super::snapshot::{Lost, Snapshot};
use crate::error::{IoContext, StoreError};
use crate::gc::chain;
use crate::oci::{LONGEST_MANIFEST, Manifest};
use crate::store::Store;

/// Rows that are given to the index at once.
const ROWS_AT_ONCE: usize = 10_000;

/// What a start finds.
pub(crate) struct Found {
    /// None where none can be made, as on a full disk: the log has it all.
    pub(crate) index: Option<Index>,
    pub(crate) rows: Vec<Row>,
    /// The last record.
    pub(crate) last: Option<Position>,
}

/// Reads the log of pushed content in `folder`, as much of it as the index lacks.
pub(crate) fn find(folder: &Path) -> Result<Found, PushError> {
    match with_index(folder) {
        Err(PushError::Index { path, source }) => {
            tracing::warn!(path = %path.display(), error = %source, "there is no index of pushed content: all of the log is read");
            let (rows, last) = read_all(&folder.join("log"))?;
            Ok(Found { index: None, rows, last })
        }
        found => found,
    }
}

fn with_index(folder: &Path) -> Result<Found, PushError> {
    let path = folder.join("index.redb");
    let mut index = Index::open(&path)?;
    // What cannot be read is no better than nothing.
    let from = index.position().unwrap_or_default();
    if let Replay::Done(last) = catch_up(&index, &folder.join("log"), from.as_ref(), &path)? {
        match rows_of(&index, &path)? {
            Some(rows) => return Ok(Found { index: Some(index), rows, last }),
            None => tracing::warn!("the index of pushed content is made anew: its rows make no sense"),
        }
    } else {
        tracing::warn!("the index of pushed content is made anew: it knows of records that the log lacks");
    }
    drop(index);
    index = Index::make_anew(&path)?;
    let last = match catch_up(&index, &folder.join("log"), None, &path)? {
        Replay::Done(last) => last,
        Replay::Elsewhere => None,
    };
    let rows = rows_of(&index, &path)?.unwrap_or_default();
    Ok(Found { index: Some(index), rows, last })
}

/// What the whole log comes to, without an index.
pub(crate) fn read_all(log: &Path) -> Result<(Vec<Row>, Option<Position>), StoreError> {
    let mut settled = BTreeMap::new();
    let settle = |record: Record, _: &Position| {
        for row in rows(&record) {
            let place = row.place();
            if row.is_there() {
                settled.insert(place, row);
            } else {
                settled.remove(&place);
            }
        }
        Ok::<_, StoreError>(())
    };
    let last = match replay(log, None, settle)? {
        Replay::Done(last) => last,
        Replay::Elsewhere => None,
    };
    Ok((settled.into_values().collect(), last))
}

/// Gives the index what the log has behind `from`.
fn catch_up(index: &Index, log: &Path, from: Option<&Position>, path: &Path) -> Result<Replay, PushError> {
    let apply = |rows: &mut Vec<Row>, position: &Position| {
        let applied = index.apply(rows, position, Durability::Immediate);
        rows.clear();
        applied.map_err(|source| PushError::Index { path: path.to_owned(), source })
    };
    let (mut waiting, mut count) = (Vec::new(), 0_u64);
    let replayed = replay(log, from, |record, position| {
        waiting.extend(rows(&record));
        count += 1;
        if waiting.len() >= ROWS_AT_ONCE { apply(&mut waiting, position) } else { Ok(()) }
    })?;
    if let Replay::Done(Some(last)) = &replayed
        && count > 0
    {
        apply(&mut waiting, last)?;
        tracing::info!(records = count, "the index of pushed content was brought up to the log");
    }
    Ok(replayed)
}

/// Every row of the index; of one whose rows make no sense, nothing.
fn rows_of(index: &Index, path: &Path) -> Result<Option<Vec<Row>>, PushError> {
    index.rows().map_err(|source| PushError::Index { path: path.to_owned(), source })
}

/// All that `rows` say, with the manifests out of `store`. What is damaged is lost.
pub(crate) fn snapshot(store: &Store, rows: Vec<Row>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut known: HashMap<Digest, Arc<Manifest>> = HashMap::new();
    for row in rows {
        let Row::Manifest { digest, entry: Some(entry), repository } = &row else {
            snapshot.set(row, None);
            continue;
        };
        let manifest = match known.get(digest).filter(|manifest| manifest.media_type == entry.media_type) {
            Some(manifest) => manifest.clone(),
            None => match load(store, digest, &entry.media_type) {
                Ok(manifest) => known.entry(digest.clone()).insert_entry(Arc::new(manifest)).get().clone(),
                Err(error) => {
                    let lost = Lost { entry: entry.clone(), problem: chain(&error) };
                    snapshot.lose(repository.clone(), digest.clone(), lost);
                    continue;
                }
            },
        };
        snapshot.set(row, Some(&manifest));
    }
    snapshot
}

/// The manifest `digest` out of the store, hashed again.
pub(crate) fn load(store: &Store, digest: &Digest, media_type: &str) -> Result<Manifest, StoreError> {
    let path = store.blob_path(digest);
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let blob = store.open_blob(digest)?.ok_or_else(missing).during("open", &path)?;
    let mut bytes = Vec::new();
    blob.take(LONGEST_MANIFEST + 1).read_to_end(&mut bytes).during("read", &path)?;
    let actual = Digest::of(digest.algorithm(), &bytes);
    if actual != *digest {
        return Err(StoreError::WrongDigest { expected: digest.clone(), actual });
    }
    let parsed = Manifest::parse(digest.clone(), media_type, bytes.into());
    parsed.map_err(std::io::Error::other).during("read", &path)
}
