//! A restore drill: a backup of a cluster is opened on this machine, etcd's data restored and served from it on loopback, and what a restore
//! needs of it looked at. No host is asked, and nothing of it stays.
//!
//! Keys are read into memory and never written; etcd's data lies in a folder of its own, for its owner alone, that is removed on every way out,
//! also where somebody interrupts it. What a drill that was killed has left, the next one removes, wherever it begins.

mod authorities;
mod encryption;
mod held;
mod places;
mod record;
mod secrets;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealock_node::backup::may_be_put_back;
use sealock_trust::reason::Code;
use sealock_trust::site::SiteRoot;
use sealock_trust::{Digest, format};
use zeroize::Zeroizing;

use self::authorities::Files;
use self::encryption::Encryption;
use self::held::Held;
use self::secrets::{Configured, Judged, Secrets};
use super::container::LARGEST;
use super::disk::remove;
use super::file::Backup;
use super::manifest::Content;
use super::station::{StationBackup, StationManifest};
use super::whole::Whole;
use super::{BackupError, Identities, Interrupt, KUBERNETES, SNAPSHOT};
use crate::causes::in_one_line;
use crate::etcd::Connection;
use crate::etcd::restore::{self, BUMP, Programs, Rehearsal, Wanted};
use crate::plan::PlanError;
use crate::scratch::Scratch;

pub use places::Places;
pub use record::{Check, Drilled, Evidence, PREDICATE_TYPE, Record, Verdict};

/// How the name begins of a drill's folder.
const PREFIX: &str = "sealock-drill-";
/// No file but etcd's snapshot is larger; in bytes.
const SMALL: u64 = 4 << 20;
/// The unit in which a file takes room; in bytes.
const BLOCK: u64 = 4096;
/// How long an etcd that was killed may take to be gone.
const ENDS: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(50);
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
    /// Where what it holds is laid out for a while.
    pub places: &'a Places,
    /// What ends it early.
    pub interrupt: &'a Interrupt,
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
/// The file cannot be read, or is a sound backup of another cluster; there is no room; it was interrupted: then nothing was drilled, and nothing
/// stays. What a drill finds is in its outcome.
pub async fn drill(order: &Order<'_>, cluster: &str, programs: &ProgramsOf<'_>) -> Result<Outcome, BackupError> {
    let (mut protocol, opened) = Protocol::begin(order, |whole| Backup::of(whole, order.site))?;
    if let Some(backup) = opened {
        check_of(&backup, order.site, cluster)?;
        let manifest = backup.manifest();
        let ground = Ground::new(order, room_for(manifest.content(SNAPSHOT).map_or(0, |content| content.size)))?;
        protocol.name(backup.digest(), manifest.taken, Some(&manifest.state.ca_hash));
        tokio::select! {
            () = protocol.of_cluster(&backup, order, (&ground, programs)) => {}
            () = order.interrupt.raised() => {}
        }
        if order.interrupt.check().is_err() {
            return Err(ground.abandoned().await);
        }
        protocol.cleared(ground);
    }
    Ok(protocol.end(order, Some(cluster)))
}

/// Drills the backup of the station in a file: it is opened, laid out in a folder, and judged as a restore does.
///
/// # Errors
/// As [`drill`].
pub fn drill_station(order: &Order<'_>) -> Result<Outcome, BackupError> {
    let (mut protocol, opened) = Protocol::begin(order, |whole| StationBackup::of(whole, order.site))?;
    if let Some(backup) = opened {
        let manifest = backup.manifest();
        let ground = Ground::new(order, room_for_station(manifest))?;
        protocol.name(backup.digest(), manifest.taken, None);
        let laid = backup.rehearse(order.identities, ground.path());
        if let Err(interrupted) = order.interrupt.check() {
            ground.close()?;
            return Err(interrupted);
        }
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

/// A folder for one drill.
struct Ground(Scratch);

impl Ground {
    /// A new one, where `needed` bytes have room.
    fn new(order: &Order<'_>, needed: u64) -> Result<Self, BackupError> {
        let place = order.places.choose(needed)?;
        Scratch::new(place, PREFIX).map(Self).map_err(BackupError::io("make a folder in", place))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn snapshot(&self) -> PathBuf {
        self.path().join("snapshot.db")
    }

    fn close(self) -> Result<(), BackupError> {
        let path = self.path().to_owned();
        self.0.close().map_err(BackupError::io("remove", path))
    }

    /// Removes it where the drill was interrupted: an etcd that was killed with it may still write for a moment.
    async fn abandoned(self) -> BackupError {
        let begun = Instant::now();
        let mut tries = tokio::time::interval(EVERY);
        loop {
            tries.tick().await;
            match remove(self.path()) {
                Ok(()) => return BackupError::Interrupted,
                Err(error) if begun.elapsed() > ENDS => return error,
                Err(_) => {}
            }
        }
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
    /// Clears what earlier drills left, and has the file judged by `open`, which reads it once; what it said goes on where it was passed.
    fn begin<T>(
        order: &Order<'_>,
        open: impl FnOnce(&mut Whole) -> Result<T, BackupError>,
    ) -> Result<(Self, Option<T>), BackupError> {
        order.places.clear()?;
        let (now, clock) = (Timestamp::now(), Instant::now());
        let begun = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let mut whole = Whole::hashed(order.file, order.interrupt)?;
        let opened = open(&mut whole);
        order.interrupt.check()?;
        let file = whole.digest(LARGEST)?;
        let mut protocol = Self { begun, clock, file, backup: None, checks: Vec::new(), error: None };
        let kept = protocol.note("signature", opened, |_| SIGNED.into());
        Ok((protocol, kept))
    }

    fn name(&mut self, digest: &Digest, taken: Timestamp, ca_hash: Option<&String>) {
        let age_seconds = self.begun.duration_since(taken).as_secs();
        self.backup = Some(Drilled { digest: digest.clone(), taken, age_seconds, ca_hash: ca_hash.cloned() });
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
        let configured = configured(&files);
        let served = match programs(&state.etcd.version) {
            Ok(programs) => serve(&programs, ground, &configured).await,
            Err(error) => Err(error),
        };
        let say = |(rehearsal, _): &(Rehearsal, Held)| {
            format!("restored and served on loopback after {} ms", rehearsal.took_ms)
        };
        let Some((rehearsal, held)) = self.note("etcd", served, say) else { return };
        self.note("state", held.check_state(&rehearsal, &state.etcd), Clone::clone);
        self.note("objects", held.check_objects(), Clone::clone);
        self.encryption(&held.secrets, &configured);
    }

    /// A folder that cannot be removed holds what a cluster held, and is no success.
    fn cleared(&mut self, ground: Ground) {
        self.note("cleared", ground.close(), |()| "nothing of it stays on this machine".into());
    }

    /// Whether the keys of the backup open what etcd holds.
    fn encryption(&mut self, secrets: &Secrets, configured: &Configured) {
        const NAME: &str = "encryption";
        match secrets.judge(configured) {
            Ok(Judged::Absent(why)) => self.absent(NAME, &why),
            Ok(Judged::Open(opened)) => drop(self.note(NAME, Ok(opened), Clone::clone)),
            Err(why) => drop(self.note(NAME, Err::<(), _>(BackupError::drill(why)), |()| String::new())),
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

/// How the API server encrypts, by what lies in the backup.
fn configured(files: &Files) -> Configured {
    let is_it = |path: &&String| path.strip_prefix(KUBERNETES).is_some_and(may_be_put_back);
    let bytes = files.keys().find(is_it).and_then(|path| files.get(path))?;
    Some(Encryption::read(bytes))
}

/// How many bytes a drill of a snapshot of `size` bytes takes: three times that, and etcd's log, which is 64 MiB from the first moment.
fn room_for(size: u64) -> u64 {
    size.saturating_mul(3).saturating_add(192 << 20)
}

/// How many bytes it takes to lay a station out: each file fills whole blocks.
fn room_for_station(manifest: &StationManifest) -> u64 {
    manifest.bytes.saturating_add(manifest.files.saturating_mul(BLOCK))
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

async fn serve(
    programs: &Programs,
    ground: &Ground,
    configured: &Configured,
) -> Result<(Rehearsal, Held), BackupError> {
    let snapshot = ground.snapshot();
    let wanted = Wanted { snapshot: &snapshot, digest: None, scratch: ground.path(), bump: BUMP };
    let read = async |etcd: &Connection| held::read(etcd, configured).await;
    Ok(restore::rehearse_and(programs, &wanted, read).await?)
}
