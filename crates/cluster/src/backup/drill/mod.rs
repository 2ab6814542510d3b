//! A restore drill: a backup of a cluster is opened on this machine, etcd's data restored and served from it on loopback, and what a restore
//! needs of it looked at. No host is asked, and nothing of it stays.
//!
//! Keys are read into memory and never written; etcd's data lies in a folder of its own, for its owner alone, that is removed on every way out.
//! What a drill that was killed has left, the next one removes.

mod authorities;
mod encryption;
mod held;
mod memory;
mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use sealock_node::backup::may_be_put_back;
use sealock_trust::reason::Code;
use sealock_trust::site::SiteRoot;
use sealock_trust::{Algorithm, Digest, Hasher, format};
use tempfile::TempDir;
use zeroize::Zeroizing;

use self::authorities::Files;
use self::encryption::{ENCRYPTED, Encryption, Opened};
use self::held::Held;
use super::disk::{look, remove};
use super::file::Backup;
use super::manifest::Content;
use super::station::StationBackup;
use super::unpack::alone_in;
use super::{BackupError, Identities, KUBERNETES, SNAPSHOT};
use crate::causes::in_one_line;
use crate::etcd::restore::{self, BUMP, Programs, Rehearsal, Wanted};
use crate::plan::PlanError;

pub use memory::in_memory;
pub use record::{Check, Drilled, Evidence, PREDICATE_TYPE, Record, Verdict};

/// How the name begins of a drill's folder.
const PREFIX: &str = "sealock-drill-";
/// No file but etcd's snapshot is larger; in bytes.
const SMALL: u64 = 4 << 20;
const TRIES: usize = 3;
const SIGNED: &str = "the site has signed it, and every byte is there";

/// What is drilled, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The backup.
    pub file: &'a Path,
    /// The site that must have signed it.
    pub site: &'a SiteRoot,
    /// What opens it.
    pub identities: &'a Identities,
    /// A folder with room for etcd's data, three times over.
    pub scratch: &'a Path,
    /// The Sealock that drills.
    pub sealock: &'a str,
}

/// Where etcd's programs of a version come from, like `3.6.8`.
pub type ProgramsOf<'a> = dyn Fn(&str) -> Result<Programs, BackupError> + 'a;

/// A drill that was carried out, whatever it came to.
#[derive(Debug)]
pub struct Outcome {
    /// What is to be signed.
    pub evidence: Evidence,
    /// What went wrong first, where something did.
    pub error: Option<BackupError>,
}

/// Drills the backup of `cluster` in a file.
///
/// # Errors
/// The file cannot be read, is a sound backup of another cluster, or there is no room: then nothing was drilled. What a drill finds is in its
/// outcome.
pub async fn drill(order: &Order<'_>, cluster: &str, programs: &ProgramsOf<'_>) -> Result<Outcome, BackupError> {
    let mut protocol = Protocol::begin(order)?;
    let opened = Backup::open(order.file, order.site);
    if let Some(backup) = protocol.note("signature", opened, |_| SIGNED.into()) {
        check_of(&backup, order.site, cluster)?;
        let ground = Ground::new(order.scratch)?;
        check_room(&ground, &backup)?;
        protocol.name(backup.digest(), backup.manifest().taken);
        protocol.of_cluster(&backup, order, (&ground, programs)).await;
        protocol.cleared(ground);
    }
    Ok(protocol.end(order, Some(cluster)))
}

/// Drills the backup of the station in a file: it is opened, laid out in a folder, and judged as a restore does.
///
/// # Errors
/// The file cannot be read, or there is no folder: then nothing was drilled. What a drill finds is in its outcome.
pub fn drill_station(order: &Order<'_>) -> Result<Outcome, BackupError> {
    let mut protocol = Protocol::begin(order)?;
    let opened = StationBackup::open(order.file, order.site);
    if let Some(backup) = protocol.note("signature", opened, |_| SIGNED.into()) {
        let ground = Ground::new(order.scratch)?;
        let manifest = backup.manifest();
        protocol.name(backup.digest(), manifest.taken);
        let laid = backup.rehearse(order.identities, ground.folder.path());
        let say = |(): &()| {
            format!("{} files laid out, with the trust state {} that was signed", manifest.files, manifest.generation)
        };
        protocol.note("state", laid, say);
        protocol.cleared(ground);
    }
    Ok(protocol.end(order, None))
}

fn check_of(backup: &Backup, site: &SiteRoot, cluster: &str) -> Result<(), BackupError> {
    let manifest = backup.manifest();
    let names = [("site", &*manifest.site, site.id().as_str()), ("cluster", &*manifest.cluster, cluster)];
    match names.into_iter().find(|(_, found, wanted)| found != wanted) {
        Some((what, found, wanted)) => {
            let (found, wanted) = (found.to_owned(), wanted.to_owned());
            Err(BackupError::Plan(Box::new(PlanError::OtherBackup { what, found, wanted })))
        }
        None => Ok(()),
    }
}

/// A folder for one drill, held by a lock for as long as it is used.
struct Ground {
    folder: TempDir,
    _lock: File,
}

impl Ground {
    /// A new one in `scratch`. What drills that were killed have left goes first.
    fn new(scratch: &Path) -> Result<Self, BackupError> {
        let failed = |action| BackupError::io(action, scratch);
        for entry in fs::read_dir(scratch).map_err(failed("read"))? {
            let path = entry.map_err(failed("read"))?.path();
            let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
            if is_ours && alone_in(&path).is_ok() {
                remove(&path)?;
            }
        }
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch);
            let folder = folder.map_err(failed("make a folder in"))?;
            // Another drill may have taken it for one that was left, in the moment before it had a lock.
            let Ok(lock) = alone_in(folder.path()) else { continue };
            let held = lock.metadata().map_err(failed("look into"))?;
            if look(folder.path())?.is_some_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())) {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(BackupError::Busy { path: scratch.into() })
    }

    fn snapshot(&self) -> PathBuf {
        self.folder.path().join("snapshot.db")
    }
}

/// What was found so far.
struct Protocol {
    begun: Timestamp,
    clock: Instant,
    file: Digest,
    backup: Option<Drilled>,
    checks: Vec<Check>,
    error: Option<BackupError>,
}

impl Protocol {
    fn begin(order: &Order<'_>) -> Result<Self, BackupError> {
        let (now, clock) = (Timestamp::now(), Instant::now());
        let begun = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let file = digest_of(order.file)?;
        Ok(Self { begun, clock, file, backup: None, checks: Vec::new(), error: None })
    }

    fn name(&mut self, digest: &Digest, taken: Timestamp) {
        let age_seconds = self.begun.duration_since(taken).as_secs();
        self.backup = Some(Drilled { digest: digest.clone(), taken, age_seconds });
    }

    /// Writes down what a check came to; what it found goes on where it was passed.
    fn note<T>(&mut self, name: &str, found: Result<T, BackupError>, say: impl FnOnce(&T) -> String) -> Option<T> {
        let (verdict, said, kept) = match found {
            Ok(value) => (Verdict::Passed, say(&value), Some(value)),
            Err(error) => {
                let said = in_one_line(error.to_string(), &error);
                self.error = self.error.take().or(Some(error));
                (Verdict::Failed, said, None)
            }
        };
        self.checks.push(Check { name: name.to_owned(), verdict, found: said });
        kept
    }

    fn absent(&mut self, name: &str, why: &str) {
        self.checks.push(Check { name: name.to_owned(), verdict: Verdict::Absent, found: why.to_owned() });
    }

    async fn of_cluster(&mut self, backup: &Backup, order: &Order<'_>, (ground, programs): (&Ground, &ProgramsOf<'_>)) {
        let state = &backup.manifest().state;
        let say = |_: &Files| format!("{} files, each with the digest that was signed", state.contents.len());
        let Some(files) = self.note("content", open(backup, order.identities, ground), say) else { return };
        self.note("authorities", authorities::check(&files, &state.ca_hash, self.begun), Clone::clone);
        self.note("service-accounts", authorities::check_service_accounts(&files), Clone::clone);
        let served = match programs(&state.etcd.version) {
            Ok(programs) => serve(&programs, ground).await,
            Err(error) => Err(error),
        };
        let say = |(rehearsal, _): &(Rehearsal, Held)| {
            format!("restored and served on loopback after {} ms", rehearsal.took_ms)
        };
        let Some((rehearsal, held)) = self.note("etcd", served, say) else { return };
        self.note("state", held.check_state(&rehearsal, &state.etcd), Clone::clone);
        self.note("objects", held.check_objects(), Clone::clone);
        self.encryption(&files, &held);
    }

    /// A folder that cannot be removed holds what a cluster held, and is no success.
    fn cleared(&mut self, ground: Ground) {
        let path = ground.folder.path().to_owned();
        let closed = ground.folder.close().map_err(BackupError::io("remove", path));
        self.note("cleared", closed, |()| "nothing of it stays on this machine".into());
    }

    /// Whether the keys of the backup open what etcd holds.
    fn encryption(&mut self, files: &Files, held: &Held) {
        const NAME: &str = "encryption";
        let is_it = |path: &&String| path.strip_prefix(KUBERNETES).is_some_and(may_be_put_back);
        let Some(bytes) = files.keys().find(is_it).and_then(|path| files.get(path)) else {
            // Switched off, and not written anew since: nobody could read them.
            return match held.secrets.iter().any(|pair| pair.value.starts_with(ENCRYPTED)) {
                true => {
                    let why = "Secrets are encrypted, and the backup holds no encryption configuration";
                    self.note(NAME, Err::<(), _>(BackupError::drill(why)), |()| String::new());
                }
                false => self.absent(NAME, "the API server encrypts nothing"),
            };
        };
        let read = Encryption::read(bytes).map_err(BackupError::drill);
        let Ok(encryption) = read else { return drop(self.note(NAME, read, |_| String::new())) };
        let all: Result<Vec<Opened>, _> = held.secrets.iter().map(|pair| encryption.open(pair)).collect();
        let opened = match all {
            Err(why) => Err(BackupError::drill(format!("a Secret does not open: {why}"))),
            Ok(all) => Ok(all.into_iter().find(|opened| !matches!(opened, Opened::Clear))),
        };
        match opened {
            Ok(None) => self.absent(NAME, "no Secret that was looked at is encrypted"),
            Ok(Some(Opened::Elsewhere(provider))) => {
                self.absent(NAME, &format!("Secrets are encrypted by {provider}, whose key no backup holds"));
            }
            opened => {
                let say = |opened: &Option<Opened>| match opened {
                    Some(Opened::By(provider)) => format!("Secrets open by {provider}"),
                    _ => String::new(),
                };
                self.note(NAME, opened, say);
            }
        }
    }

    fn end(self, order: &Order<'_>, cluster: Option<&str>) -> Outcome {
        let code = self.error.as_ref().map(|error| error.code().unwrap_or(Code::Drill).as_str().to_owned());
        let record = Record {
            format: format::DRILL.current.to_owned(),
            site: order.site.id().to_string(),
            cluster: cluster.map(ToOwned::to_owned),
            sealock: order.sealock.to_owned(),
            begun: self.begun,
            took_ms: u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX),
            backup: self.backup,
            verdict: if code.is_none() { Verdict::Passed } else { Verdict::Failed },
            code,
            checks: self.checks,
        };
        let file = order.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Outcome { evidence: Evidence { file, digest: self.file, record }, error: self.error }
    }
}

/// Lays etcd's snapshot out, and reads all else into memory.
fn open(backup: &Backup, identities: &Identities, ground: &Ground) -> Result<Files, BackupError> {
    let mut files = Files::new();
    backup.read(identities, |content, bytes| {
        if content.path == SNAPSHOT {
            return put(&ground.snapshot(), bytes);
        }
        files.insert(content.path.clone(), small(content, bytes)?);
        Ok(())
    })?;
    Ok(files)
}

/// The snapshot, and the restored data of which etcd keeps a copy in its log.
fn check_room(ground: &Ground, backup: &Backup) -> Result<(), BackupError> {
    let folder = ground.folder.path();
    let needed = room_for(backup.manifest().content(SNAPSHOT).map_or(0, |content| content.size));
    let status = rustix::fs::statvfs(folder).map_err(|error| BackupError::io("look at", folder)(error.into()))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    if free < needed { Err(BackupError::NoRoom { path: folder.into(), free, needed }) } else { Ok(()) }
}

/// How many bytes a drill of a snapshot of `size` bytes takes: three times that, and etcd's log, which is 64 MiB from the first moment.
pub fn room_for(size: u64) -> u64 {
    size.saturating_mul(3).saturating_add(192 << 20)
}

fn small(content: &Content, bytes: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    if content.size > SMALL {
        return Err(BackupError::Limit { what: content.path.clone(), limit: SMALL });
    }
    let mut read = Zeroizing::new(Vec::with_capacity(usize::try_from(content.size).unwrap_or_default()));
    bytes.read_to_end(&mut read).map_err(BackupError::io("read", "the backup"))?;
    Ok(read)
}

fn put(path: &Path, bytes: &mut dyn Read) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(BackupError::io("create", path))?;
    io::copy(bytes, &mut file).map(drop).map_err(BackupError::io("write", path))
}

async fn serve(programs: &Programs, ground: &Ground) -> Result<(Rehearsal, Held), BackupError> {
    let snapshot = ground.snapshot();
    let wanted = Wanted { snapshot: &snapshot, digest: None, scratch: ground.folder.path(), bump: BUMP };
    Ok(restore::rehearse_and(programs, &wanted, held::read).await?)
}

fn digest_of(path: &Path) -> Result<Digest, BackupError> {
    let failed = |error| BackupError::io("read", path)(error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
