//! What Sealock changed on the host, and what was there before.
//!
//! A record is durable before its effect. It keeps the state that the host had before Sealock's first change of that
//! subject, so undoing all records, newest first, returns the host to what it was.

use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use serde::{Deserialize, Serialize};

use crate::host::{self, Alteration, Command, Entry, Host, HostError};
use crate::mounts;
use crate::step::Mode;

/// The node's own folder.
pub const NODE_FOLDER: &str = "/var/lib/sealock/node";
const BACKUP_FOLDER: &str = "/var/lib/sealock/node/backup";
const RECORDS: &str = "/var/lib/sealock/node/backup/changes.json";
const FORMAT: &str = format::NODE_CHANGES.current;
const RECORDS_LIMIT: u64 = 4 << 20;
/// What a file system keeps for itself at its top.
const LOST_AND_FOUND: &str = "lost+found";
/// How many earlier contents of a file are recognised as ours.
const REMEMBERED: usize = 8;

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A file, as a whole.
    File {
        /// Absolute path.
        path: String,
    },
    /// A symbolic link.
    Link {
        /// Absolute path.
        path: String,
    },
    /// A folder: removed again if it is empty.
    Directory {
        /// Absolute path.
        path: String,
    },
    /// A folder whose whole content comes from what Sealock runs.
    Tree {
        /// Absolute path.
        path: String,
    },
    /// A kernel setting.
    Sysctl {
        /// Dotted name.
        key: String,
    },
    /// A kernel module that was loaded. It stays loaded: something else may have come to need it.
    Module {
        /// Its name.
        name: String,
    },
    /// Whether a unit is enabled and runs.
    Unit {
        /// Its name.
        name: String,
    },
    /// Lines in `/etc/hosts`.
    HostsLine {
        /// The address.
        address: String,
    },
    /// An OS package that was brought. Whoever takes packages away takes all of them at once.
    Package {
        /// Its name.
        name: String,
        /// As dpkg has it.
        architecture: String,
    },
}

/// What was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "before", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Before {
    /// Nothing.
    Absent,
    /// A file; its content is in the backup folder under its digest.
    File {
        /// Of its content.
        digest: Digest,
        /// Its permission bits.
        mode: Mode,
    },
    /// A link.
    Link {
        /// What it pointed to.
        target: String,
    },
    /// A folder, empty where the subject is a tree.
    Directory,
    /// A kernel setting's value; of a unit of others, which of `active` and `enabled` it was.
    Value {
        /// As the kernel printed it; words with a blank between them.
        value: String,
    },
    /// Of an OS package that somebody had taken away: its settings alone.
    Settings,
}

const ACTIVE: &str = "active";
const ENABLED: &str = "enabled";

impl Before {
    /// A unit of others, that is on the host whether Sealock comes or not.
    pub(crate) fn unit(is_active: bool, is_enabled: bool) -> Self {
        let words = [(is_active, ACTIVE), (is_enabled, ENABLED)];
        let words: Vec<&str> = words.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect();
        Self::Value { value: words.join(" ") }
    }

    fn was(&self, word: &str) -> bool {
        matches!(self, Self::Value { value } if value.split(' ').any(|one| one == word))
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// What is changed.
    #[serde(flatten)]
    pub subject: Subject,
    /// What was there before.
    pub was: Before,
    /// Digests of what Sealock wrote, newest last; only for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Digest>,
}

/// All changes, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Changes {
    format: String,
    changes: Vec<Change>,
}

/// Why a change could not be recorded or taken back.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The record is not what this version writes.
    #[error("{RECORDS} cannot be read: restore it, or reset the host by hand")]
    Damaged(#[source] serde_json::Error),
    /// A record of another version.
    #[error("{RECORDS} is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// It became another one while it was kept aside.
    #[error("{path} changes while it is kept aside: nothing was put in its place")]
    Unsteady {
        /// The file.
        path: String,
    },
    /// What is to be given back is gone.
    #[error("the backup of {path} ({digest}) is missing or damaged")]
    BackupLost {
        /// The file that was to be given back.
        path: String,
        /// What it held.
        digest: Digest,
    },
}

impl Changes {
    /// The changes recorded on `host`.
    pub fn load(host: &dyn Host) -> Result<Self, ChangesError> {
        let Some(text) = host::read(host, RECORDS, RECORDS_LIMIT)? else {
            return Ok(Self { format: FORMAT.to_owned(), changes: Vec::new() });
        };
        format::NODE_CHANGES.look(&text).map_err(ChangesError::Format)?;
        serde_json::from_slice(&text).map_err(ChangesError::Damaged)
    }

    /// The changes, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter()
    }

    /// The record of `subject`.
    pub fn find(&self, subject: &Subject) -> Option<&Change> {
        self.changes.iter().find(|change| change.subject == *subject)
    }

    /// True if Sealock wrote `content` to the file at `path` at some time.
    pub fn wrote(&self, path: &str, content: &Digest) -> bool {
        let subject = Subject::File { path: path.to_owned() };
        self.find(&subject).is_some_and(|change| change.written.contains(content))
    }

    /// Records that the file at `path` is about to get `content`; what it holds now is kept if this is the first time.
    pub fn before_file(&mut self, host: &dyn Host, path: &str, content: &Digest) -> Result<(), ChangesError> {
        let subject = Subject::File { path: path.to_owned() };
        self.before_folder_of(host, path)?;
        if self.find(&subject).is_none() {
            let was = keep_file(host, path)?;
            self.changes.push(Change { subject: subject.clone(), was, written: Vec::new() });
        }
        for change in self.changes.iter_mut().filter(|change| change.subject == subject) {
            change.written.retain(|digest| digest != content);
            change.written.push(content.clone());
            let surplus = change.written.len().saturating_sub(REMEMBERED);
            change.written.drain(..surplus);
        }
        self.save(host)
    }

    /// Records that `subject` is about to change; `was` counts only if this is the first time.
    pub fn before(&mut self, host: &dyn Host, subject: Subject, was: Before) -> Result<(), ChangesError> {
        if self.find(&subject).is_some() {
            return Ok(());
        }
        self.changes.push(Change { subject, was, written: Vec::new() });
        self.save(host)
    }

    /// Records that a link of ours is about to stand at `path`; a program of others that stands there is kept if this is the first time.
    pub fn before_link(&mut self, host: &dyn Host, path: &str) -> Result<(), ChangesError> {
        let subject = Subject::Link { path: path.to_owned() };
        if self.find(&subject).is_some() {
            return Ok(());
        }
        let was = keep_file(host, path)?;
        self.before(host, subject, was)
    }

    /// Records and makes the folders that `path` needs and that are not there.
    pub fn before_folder_of(&mut self, host: &dyn Host, path: &str) -> Result<(), ChangesError> {
        let mut missing = Vec::new();
        let mut folder = host::parent(path);
        while folder != "/" && host.inspect(folder)? == Entry::Missing {
            missing.push(folder);
            folder = host::parent(folder);
        }
        for folder in missing.into_iter().rev() {
            self.make_folder(host, folder, Mode::EXECUTABLE)?;
        }
        Ok(())
    }

    /// Records and makes one folder.
    pub fn make_folder(&mut self, host: &dyn Host, path: &str, mode: Mode) -> Result<(), ChangesError> {
        self.before(host, Subject::Directory { path: path.to_owned() }, Before::Absent)?;
        host.alter(Alteration::MakeDirectory { path, mode })?;
        Ok(())
    }

    /// Gives back what `subject` was, and forgets the record. No record means that there is nothing to give back.
    pub fn undo(&mut self, host: &dyn Host, subject: &Subject) -> Result<(), ChangesError> {
        let Some(change) = self.find(subject).cloned() else { return Ok(()) };
        give_back(host, &change)?;
        self.forget(host, subject)
    }

    /// The same, and `then` before the record is forgotten: what is cut off in between is done again.
    pub fn undo_and<E: From<ChangesError>>(
        &mut self,
        host: &dyn Host,
        subject: &Subject,
        then: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(change) = self.find(subject).cloned() else { return Ok(()) };
        give_back(host, &change)?;
        then()?;
        Ok(self.forget(host, subject)?)
    }

    /// Forgets the record of `subject`, which stays as it is now.
    pub fn forget(&mut self, host: &dyn Host, subject: &Subject) -> Result<(), ChangesError> {
        self.changes.retain(|change| change.subject != *subject);
        self.save(host)
    }

    /// Gives back everything that is not to wait, newest first. Can be repeated if it is cut off.
    pub fn undo_but(&mut self, host: &dyn Host, waits: impl Fn(&Subject) -> bool) -> Result<(), ChangesError> {
        let subjects: Vec<Subject> = self.changes.iter().rev().map(|change| change.subject.clone()).collect();
        subjects.iter().filter(|subject| !waits(subject)).try_for_each(|subject| self.undo(host, subject))
    }

    /// Gives back everything, newest first. Can be repeated if it is cut off.
    pub fn undo_all(&mut self, host: &dyn Host) -> Result<(), ChangesError> {
        while let Some(subject) = self.changes.last().map(|change| change.subject.clone()) {
            self.undo(host, &subject)?;
        }
        host.alter(Alteration::RemoveTree { path: BACKUP_FOLDER })?;
        Ok(())
    }

    fn save(&self, host: &dyn Host) -> Result<(), ChangesError> {
        host.alter(Alteration::MakeDirectory { path: BACKUP_FOLDER, mode: Mode::new(0o700) })?;
        let text = serde_json::to_vec_pretty(self).map_err(ChangesError::Damaged)?;
        host::write(host, RECORDS, Mode::PRIVATE, &text)?;
        Ok(())
    }
}

fn keep_file(host: &dyn Host, path: &str) -> Result<Before, ChangesError> {
    match host.inspect(path)? {
        Entry::File { mode, .. } => {
            let digest = host::digest(host, path)?;
            let backup = backup_path(&digest);
            host.alter(Alteration::MakeDirectory { path: BACKUP_FOLDER, mode: Mode::new(0o700) })?;
            // A program is as large as it is, and is never held in memory as a whole.
            host.write(&backup, Mode::PRIVATE, &mut host.open(path)?)?;
            if host::digest(host, &backup)? != digest {
                return Err(ChangesError::Unsteady { path: path.to_owned() });
            }
            Ok(Before::File { digest, mode })
        }
        Entry::Link { target } => Ok(Before::Link { target }),
        Entry::Missing | Entry::Directory { .. } | Entry::Other => Ok(Before::Absent),
    }
}

fn backup_path(digest: &Digest) -> String {
    format!("{BACKUP_FOLDER}/{}", digest.hex())
}

fn give_back(host: &dyn Host, change: &Change) -> Result<(), ChangesError> {
    match &change.subject {
        Subject::File { path } | Subject::Link { path } => give_back_file(host, path, &change.was),
        Subject::Directory { path } => match change.was {
            Before::Absent => Ok(host.alter(Alteration::RemoveEmptyDirectory { path })?),
            _ => Ok(()),
        },
        Subject::Tree { path } => give_back_tree(host, path, &change.was),
        Subject::Sysctl { key } => match &change.was {
            Before::Value { value } => Ok(crate::step::sysctl::set(host, key, value)?),
            _ => Ok(()),
        },
        Subject::Module { .. } | Subject::Package { .. } => Ok(()),
        Subject::Unit { name } => give_back_unit(host, name, &change.was),
        Subject::HostsLine { address } => Ok(crate::step::hosts::remove(host, address)?),
    }
}

fn give_back_file(host: &dyn Host, path: &str, was: &Before) -> Result<(), ChangesError> {
    match was {
        Before::File { digest, mode } => {
            let lost = || ChangesError::BackupLost { path: path.to_owned(), digest: digest.clone() };
            let backup = backup_path(digest);
            if !host::exists(host, &backup)? || host::digest(host, &backup)? != *digest {
                return Err(lost());
            }
            make_folder_again(host, path)?;
            Ok(host.write(path, *mode, &mut host.open(&backup)?)?)
        }
        Before::Link { target } => {
            make_folder_again(host, path)?;
            Ok(host.alter(Alteration::Link { path, target })?)
        }
        Before::Absent | Before::Directory | Before::Value { .. } | Before::Settings => {
            Ok(host.alter(Alteration::RemoveFile { path })?)
        }
    }
}

/// Somebody may have taken away the program whose settings these are, and their folder with it.
fn make_folder_again(host: &dyn Host, path: &str) -> Result<(), ChangesError> {
    let folder = host::parent(path);
    if host.inspect(folder)? == Entry::Missing {
        host.alter(Alteration::MakeDirectory { path: folder, mode: Mode::EXECUTABLE })?;
    }
    Ok(())
}

fn give_back_tree(host: &dyn Host, path: &str, was: &Before) -> Result<(), ChangesError> {
    let points = mounts::points(host)?;
    if *was == Before::Directory && points.iter().any(|point| point == path) {
        return empty(host, path, &points);
    }
    host.alter(Alteration::RemoveTree { path })?;
    if *was == Before::Directory {
        host.alter(Alteration::MakeDirectory { path, mode: Mode::EXECUTABLE })?;
    }
    Ok(())
}

/// The top of a file system is not removed: what is in it goes.
fn empty(host: &dyn Host, path: &str, points: &[String]) -> Result<(), ChangesError> {
    let within = format!("{path}/");
    if let Some(point) = points.iter().find(|point| point.starts_with(&within)) {
        let another = std::io::Error::other("it is another file system");
        return Err(HostError::io("remove folder", point)(another).into());
    }
    for name in host.list(path)?.iter().filter(|name| *name != LOST_AND_FOUND) {
        host.alter(Alteration::RemoveTree { path: &format!("{within}{name}") })?;
    }
    Ok(())
}

/// The unit's file is given back by its own, older record; here the unit is only stopped and disabled, each where it was so before.
fn give_back_unit(host: &dyn Host, name: &str, was: &Before) -> Result<(), ChangesError> {
    let args: &[&str] = match (was.was(ACTIVE), was.was(ENABLED)) {
        (true, true) => return Ok(()),
        (true, false) => &["disable", name],
        (false, true) => &["stop", name],
        (false, false) => &["disable", "--now", name],
    };
    let loaded = Command::new("systemctl", ["cat", name]).succeeds(host)?;
    if loaded {
        let args = args.iter().copied();
        Command::new("systemctl", args).timeout(std::time::Duration::from_secs(180)).must(host)?;
    }
    Ok(())
}
