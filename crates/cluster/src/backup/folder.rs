//! A folder of backups, and what retention takes out of it: only what the site has signed, what is whole, and what is of the same cluster
//! or station. Names say nothing, and whatever else is in the folder stays as it is.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use sealock_trust::Digest;
use sealock_trust::site::SiteRoot;

use super::BackupError;
use super::container::{Container, Identity, PREFIX, is_laid_out, table_of};
use super::disk::{look, sync};
use super::manifest::{Manifest, Payload};
use super::retention::Retention;
use super::station::StationManifest;

/// Whose backups are meant.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A cluster of this name.
    Cluster {
        /// Its name.
        name: &'a str,
        /// What its authority is known by: another cluster that once had this name is another one. `None` before a host was asked: that of
        /// the newest backup.
        ca_hash: Option<&'a str>,
    },
    /// The station.
    Station,
}

/// The backups of one cluster, or of the station, in a folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// Those that are whole.
    whole: Vec<Found>,
    /// Those that the site has signed, and that are damaged: they stay, and count for nothing.
    pub damaged: Vec<(PathBuf, BackupError)>,
    /// Those that are called like backups of the subject, are laid out like backups, or say that they are some, and that nobody can vouch for:
    /// their beginning has rotted, or was changed. They stay, and count for nothing.
    pub unbelieved: Vec<(PathBuf, BackupError)>,
    /// Those of a cluster that once had this name: they stay.
    pub earlier: Vec<PathBuf>,
    /// Files in the making, or left by a run that was cut off: they stay.
    pub unfinished: Vec<PathBuf>,
}

/// A backup in a folder, every byte of which was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What names it.
    pub digest: Digest,
    /// When it was taken.
    pub taken: Timestamp,
    /// Of a station: the generation of its trust state.
    generation: Option<u64>,
    /// What was read.
    file: Identity,
}

/// What matters of a table of contents.
struct Contents {
    taken: Timestamp,
    generation: Option<u64>,
    payload: Payload,
}

/// What a table of contents is found to be.
enum Whose {
    /// Of the subject.
    Ours(Contents),
    /// Of a cluster that once had the name.
    Earlier,
    /// Of something else.
    Others,
    /// It says that it is the subject's, and the site has not signed that.
    Unbelieved,
    /// Nothing can be read there.
    Unread,
}

impl Folder {
    /// Reads each backup of `subject` in `folder`, all of it; folders in it are not gone into, and links not followed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn read(folder: &Path, site: &SiteRoot, subject: Subject<'_>) -> Result<Self, BackupError> {
        let paths = files_in(folder)?;
        let newest = match subject {
            Subject::Cluster { name, ca_hash: None } => newest_authority(&paths, site, name),
            _ => None,
        };
        let subject = match subject {
            Subject::Cluster { name, ca_hash } => Subject::Cluster { name, ca_hash: ca_hash.or(newest.as_deref()) },
            Subject::Station => subject,
        };
        let mut found = Self::default();
        for path in paths {
            found.file(path, site, subject);
        }
        Ok(found)
    }

    /// The newest backup of `subject` in `folder`, by what the tables of contents say that the site has signed: nothing behind them is read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(folder: &Path, site: &SiteRoot, subject: Subject<'_>) -> Result<Option<PathBuf>, BackupError> {
        let mut newest = None;
        for path in files_in(folder)? {
            let whose = table_of(&path).and_then(|table| judge(&table, site, subject));
            if let Ok(Whose::Ours(contents)) = whose {
                newest = newest.max(Some((contents.taken, path)));
            }
        }
        Ok(newest.map(|(_, path)| path))
    }

    /// The whole ones that go once the backup `made` is there: older ones that `rule` does not name. Those that say that they were taken later
    /// stay, and count for nothing: a clock was wrong. So do those of a station that knew more than the one that made `made`: an older state
    /// that came back drives out nothing that it does not know.
    ///
    /// # Errors
    /// `made` is not there, or not whole: then nothing goes.
    pub fn surplus(&self, rule: &Retention, made: &Digest) -> Result<Vec<&Found>, BackupError> {
        let made = self.whole.iter().find(|found| found.digest == *made);
        let made = made
            .ok_or_else(|| BackupError::layout("the backup that was just written is not found again in its folder"))?;
        let mut surplus = self.surplus_of(rule, made.taken, &made.digest);
        surplus.retain(|found| found.generation <= made.generation);
        Ok(surplus)
    }

    /// The whole ones that would go if another backup were taken at `taken`.
    pub fn surplus_at(&self, rule: &Retention, taken: Timestamp) -> Vec<&Found> {
        self.surplus_of(rule, taken, &Digest::sha256(b""))
    }

    /// Those that were taken after `taken`, as they say.
    pub fn later_than(&self, taken: Timestamp) -> Vec<&Found> {
        self.whole.iter().filter(|found| found.taken > taken).collect()
    }

    /// How many different backups are whole.
    pub fn count(&self) -> usize {
        self.whole.iter().map(|found| &found.digest).collect::<BTreeSet<_>>().len()
    }

    fn surplus_of(&self, rule: &Retention, taken: Timestamp, made: &Digest) -> Vec<&Found> {
        let until = || self.whole.iter().filter(|found| found.taken <= taken);
        let mut known: BTreeSet<_> = until().map(|found| (found.taken, found.digest.clone())).collect();
        known.insert((taken, made.clone()));
        let kept = rule.kept(&known);
        let mut surplus: Vec<_> =
            until().filter(|found| found.digest != *made && !kept.contains(&found.digest)).collect();
        surplus.sort_by_key(|found| (found.taken, &found.path));
        surplus
    }

    fn file(&mut self, path: PathBuf, site: &SiteRoot, subject: Subject<'_>) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            return self.unfinished.push(path);
        }
        let mut whose = Whose::Unread;
        let opened = Container::open(&path, |envelope| {
            match judge(envelope, site, subject) {
                Ok(found) => whose = found,
                Err(error) => {
                    whose = unbelieved(envelope, site, subject);
                    return Err(error);
                }
            }
            match &whose {
                Whose::Ours(contents) => Ok(((), contents.payload.clone())),
                _ => Err(BackupError::layout("it is of something else")),
            }
        });
        match (opened, whose) {
            (Ok(((), container)), Whose::Ours(Contents { taken, generation, .. })) => {
                let (digest, file) = (container.digest().clone(), container.identity());
                self.whole.push(Found { path, digest, taken, generation, file });
            }
            (Err(error), Whose::Ours(..)) => self.damaged.push((path, error)),
            (_, Whose::Earlier) => self.earlier.push(path),
            (Err(error), Whose::Unbelieved) => self.unbelieved.push((path, error)),
            (Err(error), Whose::Unread) if subject.would_name(&path, site) || is_laid_out(&path) => {
                self.unbelieved.push((path, error));
            }
            // Of somebody else, or no backup at all.
            _ => {}
        }
    }
}

impl Subject<'_> {
    /// Whether the file is called as the commands call a backup of this where nobody else does: by name and time.
    fn would_name(&self, path: &Path, site: &SiteRoot) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let of = match self {
            Self::Cluster { name, .. } => (*name).to_owned(),
            Self::Station => format!("{}-station", site.id()),
        };
        let time = name.strip_prefix(&of).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".backup"));
        time.is_some_and(|time| DateTime::strptime("%Y-%m-%dT%H%M%SZ", time).is_ok())
    }
}

impl Found {
    /// Removes the file; nothing where it is gone already, or is another one by now.
    ///
    /// # Errors
    /// The operating system does not let go of it.
    pub fn remove(&self) -> Result<bool, BackupError> {
        match look(&self.path)? {
            Some(file) if Identity::of(&file) == self.file => {}
            _ => return Ok(false),
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed.map_err(BackupError::io("remove", &self.path))?,
        }
        self.path.parent().map_or(Ok(()), sync)?;
        Ok(true)
    }
}

/// The regular files in the folder, sorted.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let reading = |error| BackupError::io("read", folder)(error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        if entry.file_type().map_err(reading)?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn judge(envelope: &[u8], site: &SiteRoot, subject: Subject<'_>) -> Result<Whose, BackupError> {
    let Subject::Cluster { name, ca_hash } = subject else {
        let manifest = StationManifest::open(envelope, site)?;
        return Ok(if manifest.site == site.id().as_str() {
            let generation = Some(manifest.generation);
            Whose::Ours(Contents { taken: manifest.taken, generation, payload: manifest.payload })
        } else {
            Whose::Others
        });
    };
    let manifest = Manifest::open(envelope, site)?;
    if manifest.site != site.id().as_str() || manifest.cluster != name {
        return Ok(Whose::Others);
    }
    manifest.state.check()?;
    Ok(match ca_hash {
        Some(ca_hash) if ca_hash != manifest.state.ca_hash => Whose::Earlier,
        _ => Whose::Ours(Contents { taken: manifest.taken, generation: None, payload: manifest.payload }),
    })
}

/// What a table of contents is that the site has not signed for this subject.
fn unbelieved(envelope: &[u8], site: &SiteRoot, subject: Subject<'_>) -> Whose {
    let is_signed = match subject {
        Subject::Cluster { .. } => StationManifest::open(envelope, site).is_ok(),
        Subject::Station => Manifest::open(envelope, site).is_ok(),
    };
    let cluster = Manifest::unverified(envelope).map(|manifest| (manifest.site, Some(manifest.cluster)));
    let said = cluster.or_else(|_| StationManifest::unverified(envelope).map(|manifest| (manifest.site, None)));
    match (said, subject) {
        _ if is_signed => Whose::Others,
        (Err(_), _) => Whose::Unread,
        (Ok((of, Some(cluster))), Subject::Cluster { name, .. }) if cluster == name && of == site.id().as_str() => {
            Whose::Unbelieved
        }
        (Ok((of, None)), Subject::Station) if of == site.id().as_str() => Whose::Unbelieved,
        (Ok(_), _) => Whose::Others,
    }
}

/// The authority of the newest backup of the cluster called `name`, by what the tables of contents say.
fn newest_authority(paths: &[PathBuf], site: &SiteRoot, name: &str) -> Option<String> {
    let tables = paths.iter().filter_map(|path| Manifest::open(&table_of(path).ok()?, site).ok());
    let ours = tables.filter(|manifest| manifest.cluster == name);
    ours.max_by_key(|manifest| manifest.taken).map(|manifest| manifest.state.ca_hash)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use sealock_trust::site::SiteKeys;

    use super::*;
    use crate::backup::RecoveryKey;
    use crate::backup::tests::written_as;
    use crate::site_of_tests::keys;

    const AUTHORITY: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const ANOTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    struct Shelf {
        folder: tempfile::TempDir,
        site: SiteKeys,
        key: RecoveryKey,
    }

    impl Shelf {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), site: keys(), key: RecoveryKey::generate() }
        }

        /// A backup of `cluster`, taken on that day of November.
        fn put(&self, name: &str, day: u8, (cluster, authority): (&str, &str), site: &SiteKeys) -> Digest {
            written_as(&self.folder.path().join(name), (site, &self.key), |manifest| {
                manifest.cluster = cluster.into();
                manifest.state.ca_hash = authority.into();
                manifest.taken = format!("2026-11-{day:02}T02:00:00Z").parse().unwrap();
            })
        }

        fn ours(&self, name: &str, day: u8) -> Digest {
            self.put(name, day, ("plant-7", AUTHORITY), &self.site)
        }

        fn read(&self, ca_hash: Option<&str>) -> Folder {
            Folder::read(self.folder.path(), self.site.root(), Subject::Cluster { name: "plant-7", ca_hash }).unwrap()
        }
    }

    fn names(found: &[&Found]) -> Vec<String> {
        found.iter().map(|found| found.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    const TWO: Retention = Retention { last: 2, daily: 0, weekly: 0 };

    #[test]
    fn only_whole_backups_of_this_cluster_that_the_site_has_signed_go() {
        let shelf = Shelf::new();
        // Names say nothing: neither whose a file is, nor when it was taken.
        shelf.ours("zzz", 1);
        shelf.ours("plant-7-2030.backup", 2);
        shelf.ours("b.backup", 3);
        let made = shelf.ours("a.backup", 4);
        shelf.put("plant-7-2026-11-01T020000Z.backup", 1, ("plant-8", AUTHORITY), &shelf.site);
        shelf.put("before.backup", 1, ("plant-7", ANOTHER), &shelf.site);
        shelf.put("foreign.backup", 1, ("plant-7", AUTHORITY), &keys());
        shelf.ours("damaged.backup", 1);
        let path = |name: &str| shelf.folder.path().join(name);
        let mut bytes = fs::read(path("damaged.backup")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path("damaged.backup"), bytes).unwrap();
        fs::write(path("notes.txt"), "call the plant").unwrap();
        fs::create_dir(path("plant-7.backup")).unwrap();
        fs::rename(path("zzz"), path("plant-7.backup/elsewhere")).unwrap();
        symlink(path("plant-7.backup/elsewhere"), path("link.backup")).unwrap();
        shelf.ours("zzz", 1);
        fs::write(path(".sealock-backup-x"), "half").unwrap();

        let folder = shelf.read(Some(AUTHORITY));
        let surplus = folder.surplus(&TWO, &made).unwrap();
        assert_eq!(names(&surplus), ["zzz", "plant-7-2030.backup"]);
        assert_eq!(folder.damaged.len(), 1);
        assert_eq!(folder.earlier, [path("before.backup")]);
        assert_eq!(folder.unfinished, [path(".sealock-backup-x")]);
        assert_eq!(folder.count(), 4);
        let before = fs::read_dir(shelf.folder.path()).unwrap().count();
        assert!(surplus.iter().all(|found| found.remove().unwrap()));
        assert!(!surplus[0].remove().unwrap(), "twice is once");
        assert_eq!(fs::read_dir(shelf.folder.path()).unwrap().count(), before - 2);
        assert!(shelf.read(Some(AUTHORITY)).surplus(&TWO, &made).unwrap().is_empty());
    }

    #[test]
    fn nothing_goes_where_the_new_one_is_not_whole() {
        let shelf = Shelf::new();
        (1..=4).for_each(|day| drop(shelf.ours(&format!("{day}.backup"), day)));
        let made = shelf.ours("5.backup", 5);
        let path = shelf.folder.path().join("5.backup");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        shelf.read(Some(AUTHORITY)).surplus(&TWO, &made).unwrap_err();
        fs::remove_file(&path).unwrap();
        shelf.read(Some(AUTHORITY)).surplus(&TWO, &made).unwrap_err();
    }

    #[test]
    fn a_file_that_took_the_name_of_one_that_goes_stays() {
        let shelf = Shelf::new();
        shelf.ours("1.backup", 1);
        shelf.ours("2.backup", 2);
        let made = shelf.ours("3.backup", 3);
        let folder = shelf.read(Some(AUTHORITY));
        let surplus = folder.surplus(&TWO, &made).unwrap();
        let path = shelf.folder.path().join("1.backup");
        fs::rename(&path, shelf.folder.path().join("moved")).unwrap();
        fs::write(&path, "something new").unwrap();
        assert!(!surplus[0].remove().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "something new");
    }

    #[test]
    fn a_file_that_was_written_over_where_it_lies_stays() {
        let shelf = Shelf::new();
        shelf.ours("1.backup", 1);
        shelf.ours("2.backup", 2);
        let made = shelf.ours("3.backup", 3);
        let path = shelf.folder.path().join("1.backup");
        let folder = shelf.read(Some(AUTHORITY));
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] = 1;
        // The same inode, the same length.
        fs::write(&path, &bytes).unwrap();
        assert!(!folder.surplus(&Retention { last: 2, ..Retention::default() }, &made).unwrap()[0].remove().unwrap());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    /// What has rotted where it says whose it is, is known by its name or by what stands behind.
    #[test]
    fn a_backup_whose_beginning_has_rotted_is_named() {
        let shelf = Shelf::new();
        let path = |name: &str| shelf.folder.path().join(name);
        let spoil = |name: &str, at: usize, with: &[u8]| {
            let mut bytes = fs::read(path(name)).unwrap();
            bytes[at..at + with.len()].copy_from_slice(with);
            fs::write(path(name), bytes).unwrap();
        };
        let made = shelf.ours("plant-7-2026-11-05T020000Z.backup", 5);
        shelf.ours("by-hand", 1);
        spoil("by-hand", 0, &[0; 4096]);
        shelf.ours("signature", 2);
        let bytes = fs::read(path("signature")).unwrap();
        let at = bytes.windows(7).position(|window| window == b"\"sig\":\"").unwrap() + 9;
        spoil("signature", at, if bytes[at] == b'A' { b"B" } else { b"A" });
        fs::write(path("plant-7-2026-11-03T020000Z.backup"), "cut off").unwrap();
        // None of ours, and nothing of the kind.
        shelf.put("theirs", 1, ("plant-7", AUTHORITY), &keys());
        shelf.put("plant-8-2026-11-03T020000Z.backup", 3, ("plant-8", AUTHORITY), &shelf.site);
        fs::write(path("plant-7-notes.backup"), "call the plant").unwrap();
        fs::write(path("plant-7-station-2026-11-03T020000Z.backup"), "of somebody else's subject").unwrap();
        let folder = shelf.read(Some(AUTHORITY));
        let named: Vec<_> =
            folder.unbelieved.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
        // Another site that claims this name is told as well: nobody but the site can say whose it is.
        assert_eq!(named, ["by-hand", "plant-7-2026-11-03T020000Z.backup", "signature", "theirs"]);
        assert!(folder.surplus(&TWO, &made).unwrap().is_empty());
        assert_eq!((folder.count(), folder.damaged.len()), (1, 0));
    }

    #[test]
    fn what_says_that_it_was_taken_later_stays_and_counts_for_nothing() {
        let shelf = Shelf::new();
        shelf.ours("1.backup", 1);
        shelf.ours("2.backup", 2);
        for day in [28, 29, 30] {
            shelf.ours(&format!("{day}.backup"), day);
        }
        let made = shelf.ours("3.backup", 3);
        let folder = shelf.read(Some(AUTHORITY));
        assert_eq!(names(&folder.surplus(&TWO, &made).unwrap()), ["1.backup"]);
        let taken = "2026-11-03T02:00:00Z".parse().unwrap();
        assert_eq!(names(&folder.later_than(taken)), ["28.backup", "29.backup", "30.backup"]);
    }

    /// As if the folder were a station's: of the two that rule and time let go, one knew more.
    #[test]
    fn an_older_state_drives_out_nothing_that_knew_more() {
        let shelf = Shelf::new();
        shelf.ours("1.backup", 1);
        shelf.ours("2.backup", 2);
        shelf.ours("3.backup", 3);
        let made = shelf.ours("4.backup", 4);
        let mut folder = shelf.read(Some(AUTHORITY));
        for (found, generation) in folder.whole.iter_mut().zip([50, 90, 50, 51]) {
            found.generation = Some(generation);
        }
        assert_eq!(names(&folder.surplus(&TWO, &made).unwrap()), ["1.backup"]);
    }

    /// Two files of one backup are one.
    #[test]
    fn copies_count_once_and_go_together() {
        let shelf = Shelf::new();
        shelf.ours("1.backup", 1);
        shelf.ours("2.backup", 2);
        let path = |name: &str| shelf.folder.path().join(name);
        fs::copy(path("1.backup"), path("1-copy.backup")).unwrap();
        fs::copy(path("2.backup"), path("2-copy.backup")).unwrap();
        let made = shelf.ours("3.backup", 3);
        let folder = shelf.read(Some(AUTHORITY));
        assert_eq!(names(&folder.surplus(&TWO, &made).unwrap()), ["1-copy.backup", "1.backup"]);
        assert_eq!(folder.count(), 3);
    }

    #[test]
    fn before_a_host_was_asked_the_newest_backup_says_which_cluster_is_meant() {
        let shelf = Shelf::new();
        shelf.put("1.backup", 1, ("plant-7", ANOTHER), &shelf.site);
        shelf.ours("2.backup", 2);
        shelf.ours("3.backup", 3);
        let subject = Subject::Cluster { name: "plant-7", ca_hash: None };
        let newest = Folder::newest(shelf.folder.path(), shelf.site.root(), subject).unwrap();
        assert_eq!(newest, Some(shelf.folder.path().join("3.backup")));
        let folder = shelf.read(None);
        let at = "2026-11-04T02:00:00Z".parse().unwrap();
        assert_eq!(names(&folder.surplus_at(&TWO, at)), ["2.backup"]);
        assert_eq!(folder.earlier.len(), 1);
    }
}
