//! The index: the rows that the log leads to, in a redb database. Derived, never believed over the log, made anew where it is
//! absent, damaged or of another format.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use sealock_trust::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::PushError;
use super::log::Position;
use super::overlay::Overlay;
use super::rebuild::IndexCondition;
use super::rows::Row;
use crate::durable::remove_if_there;
use crate::failpoint;

/// What this index is; of another one nothing is kept.
const FORMAT: &[u8] = b"1";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// What the database may keep in memory; in bytes.
const CACHE: usize = 8 << 20;

/// The database.
pub(crate) struct Index {
    database: Database,
}

/// What went wrong with the database. It is never more than a reason to make it anew.
pub(crate) type IndexError = Box<redb::Error>;

impl Index {
    /// Opens the index at `path`, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, PushError> {
        match Self::open_sound(path) {
            Ok(Some(index)) => return Ok(index),
            Ok(None) => tracing::info!("the index of pushed content is made anew: it is absent, or of another format"),
            Err(error) => tracing::warn!(%error, "the index of pushed content is made anew: it is damaged"),
        }
        Self::make_anew(path)
    }

    /// An empty index, whatever was at `path`.
    pub(crate) fn make_anew(path: &Path) -> Result<Self, PushError> {
        remove_if_there(path)?;
        let make = || -> Result<Self, IndexError> {
            let index = Self { database: builder().create(path).map_err(boxed)? };
            let transaction = index.begin(Durability::Immediate)?;
            transaction.open_table(META).map_err(boxed)?.insert("format", FORMAT).map_err(boxed)?;
            transaction.open_table(ROWS).map_err(boxed)?;
            transaction.commit().map_err(boxed)?;
            Ok(index)
        };
        make().map_err(|source| PushError::Index { path: PathBuf::from(path), source })
    }

    fn open_sound(path: &Path) -> Result<Option<Self>, IndexError> {
        if fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
            return Ok(None);
        }
        let index = Self { database: builder().set_check_integrity_on_open(true).open(path).map_err(boxed)? };
        Ok((index.meta("format")?.as_deref() == Some(FORMAT)).then_some(index))
    }

    /// Puts all of `rows` into an empty index, up to `last`, in one step; durable when it returns.
    pub(crate) fn fill(&self, path: &Path, rows: &[Row], last: Option<&Position>) -> Result<(), PushError> {
        let Some(last) = last else { return Ok(()) };
        let filled = self.apply(rows, last, Durability::Immediate);
        filled.map_err(|source| PushError::Index { path: path.to_owned(), source })
    }

    /// Opens the index at `path` as it is, even where it was not closed: what that takes is done in memory.
    fn look(path: &Path) -> Result<Self, IndexError> {
        let overlay = File::open(path).and_then(Overlay::over).map_err(|error| Box::new(redb::Error::Io(error)))?;
        let database = builder().set_check_integrity_on_open(true).create_with_backend(overlay).map_err(boxed)?;
        Ok(Self { database })
    }

    /// The last record that the rows know of. Nothing in an empty index.
    pub(crate) fn position(&self) -> Result<Option<Position>, IndexError> {
        Ok(self.meta("position")?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Changes `rows`, up to `position`. Where it is not durable, a later one will be.
    pub(crate) fn apply(&self, rows: &[Row], position: &Position, durability: Durability) -> Result<(), IndexError> {
        failpoint::hit("commit index").map_err(|error| Box::new(redb::Error::Io(error)))?;
        let transaction = self.begin(durability)?;
        {
            let mut table = transaction.open_table(ROWS).map_err(boxed)?;
            for row in rows {
                change(&mut table, row)?;
            }
            let position = serde_json::to_vec(position).unwrap_or_default();
            transaction.open_table(META).map_err(boxed)?.insert("position", position.as_slice()).map_err(boxed)?;
        }
        transaction.commit().map_err(boxed)
    }

    /// Every row, repositories in order. Nothing where one of them makes no sense.
    pub(crate) fn rows(&self) -> Result<Option<Vec<Row>>, IndexError> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let table = transaction.open_table(ROWS).map_err(boxed)?;
        let mut rows = Vec::new();
        for entry in table.iter().map_err(boxed)? {
            let (key, value) = entry.map_err(boxed)?;
            match parse(key.value(), value.value()) {
                Some(row) => rows.push(row),
                None => return Ok(None),
            }
        }
        Ok(Some(rows))
    }

    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, IndexError> {
        let transaction = self.database.begin_read().map_err(boxed)?;
        let table = transaction.open_table(META).map_err(boxed)?;
        Ok(table.get(name).map_err(boxed)?.map(|value| value.value().to_vec()))
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, IndexError> {
        let mut transaction = self.database.begin_write().map_err(boxed)?;
        transaction.set_durability(durability).map_err(boxed)?;
        Ok(transaction)
    }
}

/// How the index at `path` is, where the log leads to `rows`, sorted by their places, and ends with `last`. Changes nothing.
pub(crate) fn condition(path: &Path, rows: &[Row], last: Option<&Position>) -> IndexCondition {
    if fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
        return IndexCondition::Absent;
    }
    let compare = || -> Result<IndexCondition, IndexError> {
        let index = Index::look(path)?;
        Ok(match index.meta("format")?.as_deref() {
            Some(FORMAT) if index.position()?.as_ref() != last => IndexCondition::Behind,
            Some(FORMAT) if index.rows()?.as_deref() == Some(rows) => IndexCondition::Sound,
            Some(FORMAT) | None => IndexCondition::Damaged,
            Some(_) => IndexCondition::Foreign,
        })
    };
    compare().unwrap_or_else(|error| match *error {
        redb::Error::UpgradeRequired(_) => IndexCondition::Foreign,
        _ => IndexCondition::Damaged,
    })
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn boxed(error: impl Into<redb::Error>) -> IndexError {
    Box::new(error.into())
}

/// `<repository> NUL b|m|t <digest or tag>`: no name holds a NUL.
fn key(repository: &str, kind: u8, name: &str) -> Vec<u8> {
    [repository.as_bytes(), &[0, kind], name.as_bytes()].concat()
}

fn change(table: &mut Table<'_, &'static [u8], &'static [u8]>, row: &Row) -> Result<(), IndexError> {
    let (repository, kind, name) = row.place();
    let key = key(&repository, kind, &name);
    let value = match row {
        Row::Blob { size, .. } => text(size.as_ref()),
        Row::Manifest { entry, .. } => text(entry.as_ref()),
        Row::Tag { stands_for, .. } => text(stands_for.as_ref()),
    };
    match value {
        Some(value) => table.insert(key.as_slice(), value.as_slice()).map_err(boxed)?,
        None => table.remove(key.as_slice()).map_err(boxed)?,
    };
    Ok(())
}

fn text<T: Serialize>(value: Option<&T>) -> Option<Vec<u8>> {
    value.and_then(|value| serde_json::to_vec(value).ok())
}

fn parse(key: &[u8], value: &[u8]) -> Option<Row> {
    let split = key.iter().position(|&byte| byte == 0)?;
    let repository = std::str::from_utf8(&key[..split]).ok()?.to_owned();
    let (kind, name) = key.get(split + 1..)?.split_first()?;
    let name = std::str::from_utf8(name).ok()?;
    let digest = || name.parse::<Digest>().ok();
    Some(match kind {
        b'b' => Row::Blob { repository, digest: digest()?, size: Some(read(value)?) },
        b'm' => Row::Manifest { repository, digest: digest()?, entry: Some(read(value)?) },
        b't' => Row::Tag { repository, tag: name.to_owned(), stands_for: Some(read(value)?) },
        _ => return None,
    })
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}
