//! Reads what is encrypted in a backup of a station: bounded, and nothing but what such a backup takes.

use std::collections::BTreeSet;
use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use super::gather::LINK;
use super::manifest::StationManifest;
use super::names::{STATE, may_be_folder, may_be_in};
use crate::backup::BackupError;

/// Files of a station, at most: plans and journals are the many.
const MOST: u64 = 1 << 20;

/// What is at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    /// To this.
    Link(String),
}

/// Whose something is, and how it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) number: u32,
}

/// One thing in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) user: Owner,
    pub(super) group: Owner,
}

/// Reads the tar in `input`, which must hold what `manifest` says. Each entry is given to `take` with its bytes; what `take` leaves unread is
/// read all the same.
pub(super) fn each(
    manifest: &StationManifest,
    input: impl Read,
    mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let failed = |error: io::Error| BackupError::layout(format!("its content cannot be read: {error}"));
    if manifest.files > MOST {
        return Err(BackupError::layout(format!("it lists {} files", manifest.files)));
    }
    let (mut names, mut bytes) = (BTreeSet::new(), 0_u64);
    let mut archive = Archive::new(input);
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut found = entry.map_err(failed)?;
        let entry = understood(found.header(), &found.path_bytes())?;
        bytes = bytes.saturating_add(found.size());
        if !names.insert(entry.name.clone()) {
            return Err(BackupError::layout(format!("{:?} is in it twice", entry.name)));
        }
        if names.len() as u64 > manifest.files || bytes > manifest.bytes {
            return Err(BackupError::layout("it holds more than its table of contents says"));
        }
        take(&entry, &mut found)?;
        io::copy(&mut found, &mut io::sink()).map_err(failed)?;
    }
    match names.len() as u64 == manifest.files && bytes == manifest.bytes {
        true => Ok(()),
        false => Err(BackupError::layout("it holds less than its table of contents says")),
    }
}

fn understood(header: &Header, name: &[u8]) -> Result<Entry, BackupError> {
    let name = String::from_utf8_lossy(name).into_owned();
    let wrong = |what: &str| BackupError::layout(format!("{name:?}: {what}"));
    let number = |value: io::Result<u64>| {
        value.ok().and_then(|value| u32::try_from(value).ok()).ok_or_else(|| wrong("its header is malformed"))
    };
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let name = name.strip_suffix('/').unwrap_or(&name).to_owned();
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Folder,
        EntryType::Regular => Kind::File,
        EntryType::Symlink if name == LINK => Kind::Link(text(header.link_name_bytes().as_deref())),
        _ => return Err(wrong("this has no place in a backup of a station")),
    };
    let is_size_right = kind == Kind::File || header.size().is_ok_and(|size| size == 0);
    let may_be = match &kind {
        Kind::Folder => may_be_folder(&name),
        Kind::Link(target) => leads_to_a_release(target),
        Kind::File => may_be_in(&name),
    };
    if !may_be || !is_size_right {
        return Err(wrong("this has no place in a backup of a station"));
    }
    Ok(Entry {
        kind,
        // Nobody else writes to a station's state.
        mode: header.mode().map_err(|_| wrong("its header is malformed"))?
            & if name.starts_with(STATE) { 0o755 } else { 0o777 },
        user: Owner { name: text(header.username_bytes()), number: number(header.uid())? },
        group: Owner { name: text(header.groupname_bytes()), number: number(header.gid())? },
        name,
    })
}

fn leads_to_a_release(target: &str) -> bool {
    let number = target.strip_prefix("releases/").and_then(|rest| rest.strip_suffix(".json"));
    number.is_some_and(|number| {
        number.len() <= 20 && number.parse::<u64>().is_ok_and(|parsed| parsed.to_string() == number)
    })
}
