//! What a disk may hold after the power was cut.
//!
//! The rules are those that POSIX gives, and that ext4, XFS and btrfs keep:
//! - bytes are sure once an `fsync` or `fdatasync` that began after they were written has worked; until then each sector of 512 bytes may be the
//!   old one, the new one, or, where several writes went there, one in between; and so may the length of the file;
//! - a failed `fsync` makes nothing sure, and what it should have written is not tried again: only a page that is written to anew is;
//! - entries of a folder are sure once an `fsync` of the folder has worked. Until then a later change never survives an earlier one
//!   of the same folder; those of different folders come in any order; a rename is one step in both;
//! - an `fsync` of a file says nothing about its name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::dice::Dice;
use super::record::{Entry, Event, Kind, Node, ROOT, Recording, What};

/// What disks write at once.
const SECTOR: usize = 512;

/// What the kernel keeps, writes and gives up at once.
const PAGE: usize = 4096;

/// What of that which is not sure has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Nothing,
    Everything,
    Names,
    Bytes,
    /// Each as the dice fall.
    Some,
}

impl Luck {
    pub(crate) const EXTREMES: [Self; 4] = [Self::Nothing, Self::Everything, Self::Names, Self::Bytes];
}

/// The files after the power was cut.
pub(crate) struct State {
    entries: HashMap<Node, BTreeMap<String, Node>>,
    files: HashMap<Node, Vec<u8>>,
}

/// One cut: what had begun before the line `at` of the trace was done, or was being done.
pub(crate) struct Cut<'a> {
    recording: &'a Recording,
    begun: Vec<&'a Event>,
    at: usize,
}

impl<'a> Cut<'a> {
    pub(crate) fn at(recording: &'a Recording, at: usize) -> Self {
        let begun = recording.events.iter().filter(|event| event.begun < at).collect();
        Self { recording, begun, at }
    }

    /// Everything that somebody was told before.
    pub(crate) fn told(&self) -> String {
        let told = self.begun.iter().filter_map(|event| match &event.what {
            What::Told(text) => Some(text.as_str()),
            _ => None,
        });
        told.collect()
    }

    /// One state that the disk may be in.
    pub(crate) fn state(&self, luck: Luck, dice: &mut Dice) -> State {
        let entries = self.entries(luck, dice);
        let files = self.reachable(&entries).into_iter().filter_map(|node| match &self.recording.nodes[node] {
            Kind::File(before) => Some((node, self.content(node, before, luck, dice))),
            _ => None,
        });
        let files = files.collect();
        State { entries, files }
    }

    fn reachable(&self, entries: &HashMap<Node, BTreeMap<String, Node>>) -> Vec<Node> {
        let (mut open, mut seen) = (vec![ROOT], HashSet::from([ROOT]));
        while let Some(folder) = open.pop() {
            for &node in entries.get(&folder).into_iter().flat_map(BTreeMap::values) {
                if seen.insert(node) {
                    open.push(node);
                }
            }
        }
        let mut nodes: Vec<Node> = seen.into_iter().collect();
        nodes.sort_unstable();
        nodes
    }

    /// The entries of all folders.
    fn entries(&self, luck: Luck, dice: &mut Dice) -> HashMap<Node, BTreeMap<String, Node>> {
        let changes: Vec<(&Event, &Vec<Entry>)> = self
            .begun
            .iter()
            .filter_map(|event| match &event.what {
                What::Entries(entries) => Some((*event, entries)),
                _ => None,
            })
            .collect();
        let sure = self.sure(&changes);
        let mut entries = self.recording.before.clone();
        let mut lost: HashSet<Node> = HashSet::new();
        for ((_, change), is_sure) in changes.iter().zip(sure) {
            let survives = match luck {
                Luck::Nothing | Luck::Bytes => false,
                Luck::Everything | Luck::Names => true,
                Luck::Some => dice.chance(3, 4),
            };
            let follows = change.iter().all(|entry| !lost.contains(&entry.folder));
            if is_sure || (survives && follows) {
                for Entry { folder, name, is } in *change {
                    let folder = entries.entry(*folder).or_default();
                    match is {
                        Some(node) => drop(folder.insert(name.clone(), *node)),
                        None => drop(folder.remove(name)),
                    }
                }
            } else {
                lost.extend(change.iter().map(|entry| entry.folder));
            }
        }
        entries
    }

    /// Whether each change of entries is sure: its folder was synced after it, or a later change of one of its folders is sure.
    fn sure(&self, changes: &[(&Event, &Vec<Entry>)]) -> Vec<bool> {
        let mut of_earlier: HashSet<Node> = HashSet::new();
        let mut sure = vec![false; changes.len()];
        for (index, (event, entries)) in changes.iter().enumerate().rev() {
            let folders = || entries.iter().map(|entry| entry.folder);
            let is_synced = folders().any(|folder| self.syncs(folder).any(|sync| sync.begun > event.ended));
            sure[index] = is_synced || folders().any(|folder| of_earlier.contains(&folder));
            if sure[index] {
                of_earlier.extend(folders());
            }
        }
        sure
    }

    /// The syncs of `node` that had worked before the cut.
    fn syncs(&self, of: Node) -> impl Iterator<Item = &Event> {
        self.begun.iter().copied().filter(move |event| {
            event.ended < self.at && matches!(event.what, What::Sync { node, worked: true } if node == of)
        })
    }

    /// The bytes of a file.
    fn content(&self, file: Node, before: &[u8], luck: Luck, dice: &mut Dice) -> Vec<u8> {
        let mut pages = Pages::of(before);
        for event in &self.begun {
            match &event.what {
                What::Write { file: of, at, bytes } if *of == file => pages.write(*at, bytes),
                What::Cut { file: of, length } if *of == file => pages.cut(*length),
                What::Sync { node, worked } if *node == file && event.ended < self.at => {
                    let beside = self
                        .begun
                        .iter()
                        .any(|other| other.begun < event.begun && other.ended > event.begun && other.is_of(file));
                    assert!(!beside, "a file is written to while it is synced: what is sure then is not known here");
                    pages.sync(*worked);
                }
                _ => {}
            }
        }
        pages.after(luck, dice)
    }
}

/// A file as the kernel has it, and as the disk has it.
struct Pages {
    now: Vec<u8>,
    sure: Vec<u8>,
    /// What was not written to the disk for sure, oldest first.
    waiting: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Pages {
    fn of(before: &[u8]) -> Self {
        Self { now: before.to_vec(), sure: before.to_vec(), waiting: Vec::new() }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let change = Change::Write(at, bytes.to_vec());
        change.apply(&mut self.now, |_| true);
        self.waiting.push(change);
    }

    fn cut(&mut self, length: usize) {
        self.now.resize(length, 0);
        self.waiting.push(Change::Cut(length));
    }

    fn sync(&mut self, worked: bool) {
        if worked {
            self.sure_of_what_waits();
        }
        self.waiting.clear();
    }

    /// The kernel writes whole pages as they are now; those that nobody has written to since a sync failed stay as they are on the disk.
    fn sure_of_what_waits(&mut self) {
        let touched: HashSet<usize> = self.waiting.iter().flat_map(|change| change.pages(self.now.len())).collect();
        self.sure.resize(self.now.len(), 0);
        for page in touched {
            let range = page * PAGE..((page + 1) * PAGE).min(self.now.len());
            if !range.is_empty() {
                self.sure[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
    }

    fn after(self, luck: Luck, dice: &mut Dice) -> Vec<u8> {
        let luck = match luck {
            // Most files of a state are whole or old; few are torn.
            Luck::Some => *dice.one_of(&[Luck::Nothing, Luck::Everything, Luck::Some, Luck::Some]),
            luck => luck,
        };
        match luck {
            Luck::Nothing | Luck::Names => self.sure,
            Luck::Everything | Luck::Bytes => self.now,
            Luck::Some => self.torn(dice),
        }
    }

    /// Each sector has seen some first ones of the changes, and so has the length.
    fn torn(self, dice: &mut Dice) -> Vec<u8> {
        let Self { now, sure, waiting } = self;
        let end = waiting.iter().map(Change::end).chain([sure.len(), now.len()]).max().unwrap_or(0);
        // Pages are written as wholes more often than not.
        let unit = if dice.chance(1, 2) { PAGE } else { SECTOR };
        let seen: Vec<usize> = (0..=end / unit).map(|_| dice.below(waiting.len() + 1)).collect();
        let (mut bytes, mut length) = (sure.clone(), sure.len());
        let length_seen = dice.below(waiting.len() + 1);
        for (number, change) in waiting.iter().enumerate() {
            change.apply(&mut bytes, |at| seen[at / unit] > number);
            if number < length_seen {
                length = change.length(length);
            }
        }
        bytes.resize(length, 0);
        bytes
    }
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Self::Write(at, bytes) => at + bytes.len(),
            Self::Cut(length) => *length,
        }
    }

    /// The length of a file that had `length`, after it.
    fn length(&self, length: usize) -> usize {
        match self {
            Self::Write(..) => length.max(self.end()),
            Self::Cut(length) => *length,
        }
    }

    /// The pages that it makes dirty in a file that has `length` now.
    fn pages(&self, length: usize) -> std::ops::Range<usize> {
        match self {
            Self::Write(at, bytes) => at / PAGE..(at + bytes.len()).div_ceil(PAGE),
            // The rest of the last page is cleared.
            Self::Cut(to) => to / PAGE..length.div_ceil(PAGE).max(to / PAGE + 1),
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>, is_seen: impl Fn(usize) -> bool) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                let at_each = (*at..).zip(new).filter(|(at, _)| is_seen(*at));
                at_each.for_each(|(at, byte)| bytes[at] = *byte);
            }
            Self::Cut(length) => {
                let cleared = (*length..bytes.len()).filter(|at| is_seen(*at));
                cleared.for_each(|at| bytes[at] = 0);
            }
        }
    }
}

impl State {
    /// A name for what it holds: two of one name are the same.
    pub(crate) fn fingerprint(&self, recording: &Recording) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.each(recording, ROOT, "", &mut |name, kind| {
            name.hash(&mut hasher);
            match kind {
                Found::Folder => 0.hash(&mut hasher),
                Found::File(bytes) => bytes.hash(&mut hasher),
                Found::Link(target) => target.hash(&mut hasher),
            }
        });
        hasher.finish()
    }

    /// Puts it into the empty folder `folder`.
    pub(crate) fn put(&self, recording: &Recording, folder: &Path) {
        self.each(recording, ROOT, "", &mut |name, kind| {
            let path = folder.join(name);
            match kind {
                Found::Folder => fs::create_dir(path).unwrap(),
                // Modes are not told apart: nobody may read a key but its owner, and nothing else asks.
                Found::File(bytes) => OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
                    .unwrap()
                    .write_all(bytes)
                    .unwrap(),
                Found::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            }
        });
    }

    fn each(&self, recording: &Recording, folder: Node, prefix: &str, tell: &mut dyn FnMut(&str, Found<'_>)) {
        for (name, &node) in self.entries.get(&folder).into_iter().flatten() {
            let path = format!("{prefix}{name}");
            match &recording.nodes[node] {
                Kind::Folder => {
                    tell(&path, Found::Folder);
                    self.each(recording, node, &format!("{path}/"), tell);
                }
                Kind::File(_) => tell(&path, Found::File(&self.files[&node])),
                Kind::Link(target) => tell(&path, Found::Link(target)),
            }
        }
    }
}

enum Found<'a> {
    Folder,
    File(&'a [u8]),
    Link(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torn_states(pages: impl Fn() -> Pages) -> HashSet<Vec<u8>> {
        let mut dice = Dice::seeded(1);
        (0..200).map(|_| pages().after(Luck::Some, &mut dice)).collect()
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_be_anything_between() {
        let make = || {
            let mut pages = Pages::of(b"");
            pages.write(0, &[1; 600]);
            pages.sync(true);
            pages.write(600, &[2; 600]);
            pages
        };
        assert_eq!(make().after(Luck::Nothing, &mut Dice::seeded(1)), [1; 600]);
        let states = torn_states(make);
        assert!(states.iter().all(|bytes| bytes[..600] == [1; 600]));
        assert!(
            states.iter().any(|bytes| bytes.len() == 1200 && bytes[600..1024] == [0; 424] && bytes[1024..] == [2; 176])
        );
    }

    #[test]
    fn a_failed_sync_gives_up_what_nobody_writes_again() {
        let mut pages = Pages::of(b"");
        pages.write(0, &[1; PAGE + 10]);
        pages.sync(false);
        pages.write(PAGE + 10, &[2; 10]);
        pages.sync(true);
        let bytes = pages.after(Luck::Nothing, &mut Dice::seeded(1));
        assert_eq!(bytes[..PAGE], [0; PAGE], "the first page is not tried again");
        assert_eq!(bytes[PAGE..], [[1; 10], [2; 10]].concat());
    }
}
