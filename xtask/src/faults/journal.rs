//! A node's journals as anybody can read them who has docs/formats/journal.md and the disk: from outside of the machine, while it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::story::Desk;

const MAGIC: &[u8] = b"SLKJRNL\x01";

/// A place in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    /// A run has begun.
    Begun,
    /// A step's effect is about to begin.
    Intent(&'static str),
    /// A step's effect holds.
    Done(&'static str),
}

impl At {
    fn is(self, record: &Value) -> bool {
        let (kind, step) = match self {
            Self::Begun => ("run-begun", None),
            Self::Intent(step) => ("intent", Some(step)),
            Self::Done(step) => ("done", Some(step)),
        };
        record["record"] == kind && step.is_none_or(|step| record["step"] == step)
    }
}

/// How much stands in the journals of a node.
#[derive(Debug, Clone)]
pub(crate) struct Since {
    folder: PathBuf,
    seen: BTreeMap<String, usize>,
}

impl Since {
    /// All that is there now.
    pub(crate) fn now(desk: &Desk, node: &str) -> Result<Self> {
        Self::below(desk.lab.root_of(node))
    }

    /// Nothing: all that was ever written counts.
    pub(crate) fn beginning(desk: &Desk, node: &str) -> Result<Self> {
        Ok(Self { seen: BTreeMap::new(), ..Self::now(desk, node)? })
    }

    /// The same where something is mounted over the disk, for as long as the machine is not booted anew.
    pub(crate) fn now_as_seen_in(desk: &Desk, node: &str) -> Result<Self> {
        Self::below(desk.lab.view_of(node).with_context(|| format!("{node} does not run"))?)
    }

    fn below(root: PathBuf) -> Result<Self> {
        let folder = root.join("var/lib/sealock/node/journal");
        let seen = all(&folder)?.into_iter().map(|(name, records)| (name, records.len())).collect();
        Ok(Self { folder, seen })
    }

    /// What was written since.
    pub(crate) fn records(&self) -> Result<Vec<Value>> {
        let mut fresh = Vec::new();
        for (name, records) in all(&self.folder)? {
            fresh.extend(records.into_iter().skip(self.seen.get(&name).copied().unwrap_or(0)));
        }
        Ok(fresh)
    }

    /// Whether `at` was written since.
    pub(crate) fn has(&self, at: At) -> Result<bool> {
        Ok(self.count(at)? > 0)
    }

    /// How often `at` was written since.
    pub(crate) fn count(&self, at: At) -> Result<usize> {
        Ok(self.records()?.iter().filter(|record| at.is(record)).count())
    }

    /// The last record, in a few words.
    pub(crate) fn last(&self) -> Result<String> {
        let last = self.records()?.pop().unwrap_or_default();
        let word = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
        Ok(format!("{} {}", word("record"), word("step")).trim().to_owned())
    }
}

fn all(folder: &std::path::Path) -> Result<Vec<(String, Vec<Value>)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), parse(&bytes)?))
    };
    files.into_iter().map(|(_, path)| read(path)).collect()
}

/// The whole records; what is being written at this moment is not one yet.
fn parse(bytes: &[u8]) -> Result<Vec<Value>> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((payload, after)) = after.get(4..).and_then(|after| after.split_at_checked(length)) else { break };
        records.push(serde_json::from_slice(payload).context("a record of the journal is no JSON")?);
        rest = after;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::{At, MAGIC, parse};

    #[test]
    fn whole_records_are_read_and_the_one_being_written_is_not() {
        let mut bytes = MAGIC.to_vec();
        for payload in [r#"{"record":"intent","step":"images"}"#, r#"{"record":"done","step":"images"}"#] {
            bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(payload.bytes());
        }
        let records = parse(&bytes).unwrap();
        assert!(records.len() == 2 && At::Intent("images").is(&records[0]) && At::Done("images").is(&records[1]));
        assert!(!At::Intent("claim").is(&records[0]) && !At::Begun.is(&records[0]));
        assert_eq!(parse(&bytes[..bytes.len() - 1]).unwrap().len(), 1);
        assert_eq!(parse(&MAGIC[..5]).unwrap().len(), 0);
    }
}
