//! What a station remembers of the backups that it took and of the drills that it carried out: `evidence/` in its state folder.
//!
//! Of each cluster, and of the station, the signed table of contents of the newest backup, and every record of a drill.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_trust::site::SiteRoot;
use sealock_trust::{Digest, durable};
use serde::Serialize;

use super::BackupError;
use super::container::table_of;
use super::disk::{look, sync};
use super::drill::{Evidence, Record};
use super::manifest::Manifest;
use super::station::StationManifest;

/// What is remembered is a few kilobytes; in bytes.
const LARGEST: u64 = 4 << 20;
/// By so much clocks may differ, in seconds: what is further ahead says nothing of today.
const SKEW: i64 = 300;

/// Whose backups.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// The cluster of this name; and, where it is known, what its authority is known by: another cluster that had the name is another one.
    Cluster {
        /// Its name.
        name: &'a str,
        /// The hash of its authority's key.
        ca_hash: Option<&'a str>,
    },
    /// The station.
    Station,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

/// How backups stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The newest backup that was taken at this station.
    pub backup: Option<Last>,
    /// The newest drill that was passed.
    pub drill: Option<Last>,
    /// The newest drill, where it was not passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_drill: Option<Last>,
    /// The latest time in what is remembered that has not come yet by this machine's clock: of that nothing counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Timestamp>,
}

/// The last of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// What names the backup; nothing where its table of contents was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When the backup was taken, or the drill began.
    pub at: Timestamp,
    /// How long ago that is, in seconds.
    pub age_seconds: i64,
}

impl Last {
    fn new(digest: Option<Digest>, at: Timestamp, now: Timestamp) -> Self {
        Self { digest, at, age_seconds: now.duration_since(at).as_secs().max(0) }
    }
}

impl Standing {
    /// Whether something that says it is of `at` counts at `now`.
    fn counts(&mut self, at: Timestamp, now: Timestamp) -> bool {
        let has_come = at.duration_since(now).as_secs() <= SKEW;
        if !has_come {
            self.ahead = self.ahead.max(Some(at));
        }
        has_come
    }
}

impl Whose<'_> {
    fn path(self) -> PathBuf {
        match self {
            Self::Cluster { name, .. } => Path::new("clusters").join(name),
            Self::Station => PathBuf::from("station"),
        }
    }

    /// Whether it was a backup of these that was drilled. Of which one nobody knows it counts for each: it has failed.
    fn was_drilled(self, record: &Record) -> bool {
        match self {
            Self::Station => record.cluster.is_none(),
            Self::Cluster { name, ca_hash } => {
                let found = record.backup.as_ref().map(|backup| backup.ca_hash.as_deref());
                let is_it = ca_hash.is_none() || found.is_none_or(|found| found == ca_hash);
                record.cluster.as_deref() == Some(name) && is_it
            }
        }
    }
}

impl Shelf {
    /// That in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Remembers the backup that was written to `file`.
    ///
    /// # Errors
    /// The file cannot be read, or the record cannot be written.
    pub fn keep_backup(&self, whose: Whose<'_>, file: &Path) -> Result<(), BackupError> {
        let path = self.backup_of(whose);
        put(&path, &table_of(file)?)
    }

    /// Keeps the record `signed` of a drill; the path is where it lies.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_drill(&self, whose: Whose<'_>, evidence: &Evidence, signed: &[u8]) -> Result<PathBuf, BackupError> {
        let begun = evidence.record.begun.strftime("%Y-%m-%dT%H%M%SZ");
        let stem = format!("{begun}-{}", &evidence.digest.hex()[..12]);
        add(&self.drills_of(whose), &stem, signed)
    }

    /// How the backups stand at `now`, by what `site` has signed. A record that is not the site's counts for nothing, nor one of another cluster
    /// that had the name.
    ///
    /// # Errors
    /// A folder or file cannot be read.
    pub fn standing(&self, whose: Whose<'_>, site: &SiteRoot, now: Timestamp) -> Result<Standing, BackupError> {
        let mut standing = Standing::default();
        let backup = self.last_backup(whose, site)?;
        standing.backup = backup
            .filter(|(_, taken)| standing.counts(*taken, now))
            .map(|(digest, taken)| Last::new(Some(digest), taken, now));
        for path in newest_first(&self.drills_of(whose))? {
            let Some(evidence) = read(&path)?.and_then(|bytes| Evidence::open(&bytes, site).ok()) else { continue };
            let record = &evidence.record;
            if !whose.was_drilled(record) || !standing.counts(record.begun, now) {
                continue;
            }
            let digest = record.backup.as_ref().map(|backup| backup.digest.clone());
            let last = Last::new(digest, record.begun, now);
            if evidence.is_passed() {
                standing.drill = Some(last);
                break;
            }
            standing.failed_drill.get_or_insert(last);
        }
        Ok(standing)
    }

    /// What names the newest backup, and when it was taken.
    fn last_backup(&self, whose: Whose<'_>, site: &SiteRoot) -> Result<Option<(Digest, Timestamp)>, BackupError> {
        let Some(table) = read(&self.backup_of(whose))? else { return Ok(None) };
        let is_here = |named: &str| named == site.id().as_str();
        let taken = match whose {
            Whose::Cluster { name, ca_hash } => Manifest::open(&table, site).ok().and_then(|manifest| {
                let is_it = manifest.cluster == name && ca_hash.is_none_or(|hash| hash == manifest.state.ca_hash);
                (is_it && is_here(&manifest.site)).then_some(manifest.taken)
            }),
            Whose::Station => {
                let manifest = StationManifest::open(&table, site).ok();
                manifest.filter(|manifest| is_here(&manifest.site)).map(|manifest| manifest.taken)
            }
        };
        Ok(taken.map(|taken| (Digest::sha256(&table), taken)))
    }

    fn backup_of(&self, whose: Whose<'_>) -> PathBuf {
        self.folder.join(whose.path()).join("backup.json")
    }

    fn drills_of(&self, whose: Whose<'_>) -> PathBuf {
        self.folder.join(whose.path()).join("drills")
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(BackupError::io("make", folder))?;
    durable::replace(path, bytes).map_err(BackupError::io("write", path))
}

/// Writes a new file into the folder, called `stem.json`; no other one gives way for it.
fn add(folder: &Path, stem: &str, bytes: &[u8]) -> Result<PathBuf, BackupError> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(BackupError::io("make", folder))?;
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".").suffix(".new").permissions(Permissions::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(BackupError::io("make a file in", folder))?;
    let written = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
    written.map_err(BackupError::io("write", file.path()))?;
    for number in 1_u32.. {
        // Behind the one without a number, as they are sorted.
        let more = if number == 1 { String::new() } else { format!("_{number}") };
        let path = folder.join(format!("{stem}{more}.json"));
        match file.persist_noclobber(&path) {
            Ok(_) => return sync(folder).map(|()| path),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => file = taken.file,
            Err(failed) => return Err(BackupError::io("write", path)(failed.error)),
        }
    }
    Err(BackupError::layout("there are too many records of one second"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, BackupError> {
    match look(path)? {
        Some(found) if found.is_file() && found.len() <= LARGEST => {
            fs::read(path).map(Some).map_err(BackupError::io("read", path))
        }
        _ => Ok(None),
    }
}

/// The files of the folder; their names begin with a time.
fn newest_first(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    if look(folder)?.is_none() {
        return Ok(Vec::new());
    }
    let reading = |error| BackupError::io("read", folder)(error);
    let entries = fs::read_dir(folder).map_err(reading)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<Result<_, _>>().map_err(reading)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.reverse();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use sealock_trust::site::SiteKeys;

    use super::*;
    use crate::backup::RecoveryKey;
    use crate::backup::drill::{Drilled, Verdict};
    use crate::backup::tests::written_as;
    use crate::site_of_tests::keys;

    const PLANT: Whose<'static> = Whose::Cluster { name: "plant-7", ca_hash: None };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn drilled(begun: &str, verdict: Verdict) -> Evidence {
        let taken = at("2026-11-26T02:00:00Z");
        Evidence {
            file: "a.backup".into(),
            digest: Digest::sha256(b"a file"),
            record: Record {
                format: "drill/1.0".into(),
                site: "plant-7".into(),
                cluster: Some("plant-7".into()),
                sealock: "1.0.0".into(),
                begun: at(begun),
                took_ms: 1200,
                backup: Some(Drilled {
                    digest: Digest::sha256(b"a table"),
                    taken,
                    age_seconds: 86_400,
                    ca_hash: Some("sha256:11".into()),
                }),
                verdict,
                code: None,
                checks: Vec::new(),
            },
        }
    }

    fn keep(shelf: &Shelf, evidence: &Evidence, site: &SiteKeys) -> PathBuf {
        shelf.keep_drill(PLANT, evidence, &evidence.sign(site).unwrap()).unwrap()
    }

    #[test]
    fn the_newest_backup_and_drill_are_found_again_and_only_the_sites_own_word_counts() {
        let (folder, site, key) = (tempfile::tempdir().unwrap(), keys(), RecoveryKey::generate());
        let shelf = Shelf::new(folder.path().join("evidence"));
        let now = at("2026-11-27T02:00:00Z");
        let standing = |whose| shelf.standing(whose, site.root(), now).unwrap();
        assert_eq!(standing(PLANT), Standing::default());
        let file = folder.path().join("a.backup");
        let digest = written_as(&file, (&site, &key), |manifest| manifest.taken = at("2026-11-26T02:00:00Z"));
        shelf.keep_backup(PLANT, &file).unwrap();
        let last = Last { digest: Some(digest), at: at("2026-11-26T02:00:00Z"), age_seconds: 86_400 };
        assert_eq!(standing(PLANT).backup, Some(last));
        assert_eq!(standing(Whose::Cluster { name: "plant-7", ca_hash: Some("sha256:00") }).backup, None);
        assert_eq!(standing(Whose::Cluster { name: "plant-8", ca_hash: None }), Standing::default());
        assert_eq!(standing(Whose::Station), Standing::default());

        keep(&shelf, &drilled("2026-11-20T02:00:00Z", Verdict::Passed), &site);
        keep(&shelf, &drilled("2026-11-24T02:00:00Z", Verdict::Failed), &site);
        keep(&shelf, &drilled("2026-11-25T02:00:00Z", Verdict::Failed), &site);
        keep(&shelf, &drilled("2026-11-26T02:00:00Z", Verdict::Passed), &keys());
        let seen = standing(PLANT);
        assert_eq!(seen.drill.unwrap().at, at("2026-11-20T02:00:00Z"), "what another key signed is nobody's word");
        assert_eq!(seen.failed_drill.unwrap().at, at("2026-11-25T02:00:00Z"));
        let path = keep(&shelf, &drilled("2026-11-26T08:00:00Z", Verdict::Passed), &site);
        let named =
            format!("clusters/plant-7/drills/2026-11-26T080000Z-{}.json", &Digest::sha256(b"a file").hex()[..12]);
        assert!(path.ends_with(named) && path.exists(), "{}", path.display());
        assert_eq!(standing(PLANT).failed_drill, None, "what came after it counts");
        // Two of one second: none takes the other's place.
        let again = keep(&shelf, &drilled("2026-11-26T08:00:00Z", Verdict::Failed), &site);
        assert!(again != path && Evidence::open(&fs::read(&path).unwrap(), site.root()).unwrap().is_passed());
        assert!(standing(PLANT).failed_drill.is_some(), "the later one counts");
    }

    /// Only the name was the same; or somebody has copied it there.
    #[test]
    fn attack_a_record_of_another_cluster_or_site_counts_for_nothing() {
        let (folder, site) = (tempfile::tempdir().unwrap(), keys());
        let shelf = Shelf::new(folder.path().join("evidence"));
        let now = at("2026-11-27T02:00:00Z");
        let standing = |whose| shelf.standing(whose, site.root(), now).unwrap();
        let known_by = |hash| Whose::Cluster { name: "plant-7", ca_hash: Some(hash) };
        keep(&shelf, &drilled("2026-11-20T02:00:00Z", Verdict::Passed), &site);
        assert!(standing(known_by("sha256:11")).drill.is_some());
        assert_eq!(standing(known_by("sha256:22")), Standing::default(), "it had the name before");
        let mut nameless = drilled("2026-11-21T02:00:00Z", Verdict::Failed);
        nameless.record.backup = None;
        keep(&shelf, &nameless, &site);
        assert!(standing(known_by("sha256:22")).failed_drill.is_some(), "whose backup that was nobody knows");
        nameless.record.verdict = Verdict::Passed;
        assert!(!nameless.is_passed(), "of no backup at all");

        let of_station = folder.path().join("evidence/station/drills");
        fs::create_dir_all(folder.path().join("evidence/station")).unwrap();
        let cluster = folder.path().join("evidence/clusters/plant-7/drills");
        fs::rename(&cluster, &of_station).unwrap();
        assert_eq!(standing(Whose::Station), Standing::default(), "a cluster's is none of the station's");
        let mut elsewhere = drilled("2026-11-22T02:00:00Z", Verdict::Passed);
        elsewhere.record.site = "plant-8".into();
        keep(&shelf, &elsewhere, &site);
        assert_eq!(standing(PLANT), Standing::default(), "it is about another site");
    }

    #[test]
    fn what_has_not_come_yet_is_not_fresh() {
        let (folder, site, key) = (tempfile::tempdir().unwrap(), keys(), RecoveryKey::generate());
        let shelf = Shelf::new(folder.path().join("evidence"));
        let file = folder.path().join("a.backup");
        written_as(&file, (&site, &key), |manifest| manifest.taken = at("2027-11-27T02:00:00Z"));
        shelf.keep_backup(PLANT, &file).unwrap();
        keep(&shelf, &drilled("2026-11-20T02:00:00Z", Verdict::Passed), &site);
        keep(&shelf, &drilled("2026-12-27T02:00:00Z", Verdict::Passed), &site);
        keep(&shelf, &drilled("2027-01-27T02:00:00Z", Verdict::Failed), &site);
        let seen = shelf.standing(PLANT, site.root(), at("2026-11-27T02:00:00Z")).unwrap();
        assert_eq!((seen.backup, seen.failed_drill), (None, None));
        assert_eq!(seen.drill.unwrap().at, at("2026-11-20T02:00:00Z"));
        assert_eq!(seen.ahead, Some(at("2027-11-27T02:00:00Z")));
        // Two clocks are never the same.
        let seen = shelf.standing(PLANT, site.root(), at("2026-12-27T01:58:00Z")).unwrap();
        assert_eq!(seen.drill.unwrap().age_seconds, 0);
    }
}
