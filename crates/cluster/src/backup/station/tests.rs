//! A station in a folder, its backup, and what an attacker makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_trust::directory::DirectoryError;
use sealock_trust::reason::Code;
use sealock_trust::site::SiteKeys;
use sealock_trust::{Digest, TrustDirectory, format};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::backup::tests::{as_published, published_keys};
use crate::backup::{BackupError, Draft, Identities, Payload, Recipients, RecoveryKey};
use crate::plan::ReleaseId;
use crate::site_of_tests::keys;

struct Station {
    folder: TempDir,
    site: SiteKeys,
    key: RecoveryKey,
}

impl Station {
    fn new() -> Self {
        let station = Self { folder: tempfile::tempdir().unwrap(), site: keys(), key: RecoveryKey::generate() };
        TrustDirectory::open(&station.state().join("trust")).unwrap().keep_site_root(&station.site).unwrap();
        for (path, text) in [
            ("state/keys/site.pem", "a key"),
            ("state/registry/token.pem", "another"),
            ("state/receipts/base.json", "{}"),
            ("state/evidence/station/backup.json", "{}"),
            ("state/tls/ca.pem", "authority"),
            ("state/clusters/plant-7/plans/0a.json", "{}"),
            ("state/clusters/plant-7/.applied.json.new", "half"),
            ("state/store/format", "store/1.0\n"),
            ("state/store/releases/3.json", "{}"),
            ("state/store/operations.log", "one\n"),
            ("state/store/pushed/epoch", "{}"),
            ("state/store/pushed/lock", ""),
            ("state/store/pushed/log/1.log", "pushed\n"),
            ("state/store/blobs/sha256/00", "a layer"),
            ("state/store/lock", "1"),
            ("settings/config.yaml", "registry: here\n"),
            ("settings/tls/key.pem", "secret"),
        ] {
            station.put(path, text);
        }
        symlink("releases/3.json", station.state().join("store/current")).unwrap();
        let private = station.folder.path().join("settings/tls/key.pem");
        fs::set_permissions(private, fs::Permissions::from_mode(0o640)).unwrap();
        station
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("settings")
    }

    fn recipients(&self) -> Recipients {
        Recipients::parse(&[self.key.recipient()]).unwrap()
    }

    fn identities(&self) -> Identities {
        let path = self.folder.path().join("recovery.key");
        let _ = fs::remove_file(&path);
        self.key.save(&path, None).unwrap();
        Identities::load(&path, None).unwrap()
    }

    fn manifest(&self, gathered: Gathered, draft: &Draft) -> StationManifest {
        StationManifest {
            format: format::SITE_BACKUP.current.into(),
            site: "plant-7".into(),
            taken: Timestamp::UNIX_EPOCH,
            sealock: "0.1.0".into(),
            generation: TrustDirectory::open(&self.state().join("trust")).unwrap().generation().unwrap(),
            release: None,
            bundles: Vec::new(),
            clusters: vec!["plant-7".into()],
            recipients: self.recipients().names(),
            files: gathered.files,
            bytes: gathered.bytes,
            payload: draft.payload(),
        }
    }

    fn backup(&self) -> StationBackup {
        let path = self.folder.path().join("a.backup");
        let mut draft = Draft::new(&path).unwrap();
        let (state, settings) = (self.state(), self.settings());
        let source = Source { state: &state, settings: &settings };
        let gathered = take(&source, &self.recipients(), &mut draft).unwrap();
        let manifest = self.manifest(gathered, &draft);
        let digest = draft.finish_station(&manifest, &self.site).unwrap();
        let backup = StationBackup::open(&path, self.site.root()).unwrap();
        assert_eq!(*backup.digest(), digest);
        backup
    }

    /// A backup of these entries, whatever they are, signed by the site.
    fn made_of(&self, entries: &[(&str, EntryType, &str)]) -> StationBackup {
        let path = self.folder.path().join("hostile.backup");
        let _ = fs::remove_file(&path);
        let mut draft = Draft::new(&path).unwrap();
        let mut tar = Builder::new(self.recipients().encryptor().unwrap().wrap_output(&mut draft).unwrap());
        for (name, kind, content) in entries {
            let mut header = Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(if *kind == EntryType::Regular { content.len() as u64 } else { 0 });
            if *kind == EntryType::Symlink {
                header.set_link_name_literal(content).unwrap();
            }
            header.set_cksum();
            let bytes = if *kind == EntryType::Regular { content.as_bytes() } else { &[] };
            tar.append(&header, bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
        let files = Gathered { files: entries.len() as u64, bytes: 7 };
        let manifest = self.manifest(files, &draft);
        draft.finish_station(&manifest, &self.site).unwrap();
        StationBackup::open(&path, self.site.root()).unwrap()
    }
}

/// Every file and link below `folder`, with its mode and content.
fn tree(folder: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        let content = if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        } else if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else {
            String::from_utf8(fs::read(&path).unwrap()).unwrap()
        };
        found.insert(name, (metadata.permissions().mode() & 0o777, content));
    }
    found
}

struct Other {
    _folder: TempDir,
    state: PathBuf,
    settings: PathBuf,
}

impl Other {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (state, settings) = (folder.path().join("lib/sealock"), folder.path().join("etc/sealock"));
        Self { _folder: folder, state, settings }
    }

    fn places(&self) -> Places<'_> {
        Places { state: &self.state, settings: &self.settings }
    }
}

#[test]
fn another_machine_gets_what_the_station_had_and_its_trust_state_counts_as_an_older_copy() {
    let (station, other) = (Station::new(), Other::new());
    let backup = station.backup();
    let restored = restore(&backup, &station.identities(), &other.places()).unwrap();
    assert_eq!(restored.beside, Vec::<PathBuf>::new());
    let mut there = tree(&other.state);
    assert!(there.remove("trust/frozen.json").is_some());
    assert!(other.state.join("store/blobs/sha256").is_dir(), "blobs come back to where they were");
    let of_station = tree(&station.state());
    assert_eq!(there["store/current"].1, "-> releases/3.json");
    for left_out in
        ["store/lock", "store/blobs/sha256/00", "store/pushed/lock", "clusters/plant-7/.applied.json.new", "trust/lock"]
    {
        assert!(!there.contains_key(left_out), "{left_out}");
    }
    let missing: Vec<_> = of_station.keys().filter(|name| !there.contains_key(*name)).cloned().collect();
    assert_eq!(missing.len(), of_station.len() - there.len(), "{missing:?}");
    assert!(there.iter().all(|(name, content)| of_station[name] == *content));
    assert_eq!(tree(&other.settings), tree(&station.settings()));
    let trust = TrustDirectory::open(&other.state.join("trust")).unwrap();
    let frozen = trust.check_not_frozen().unwrap_err();
    assert!(matches!(frozen, DirectoryError::Regression { .. }));
    insta::assert_snapshot!(frozen.to_string(), @"the trust state has generation 1, and the site, which may have gone on after its backup of 1970-01-01T00:00:00Z, knows its generation 2: an older copy was restored");
}

#[test]
fn a_station_that_is_there_is_not_touched() {
    let station = Station::new();
    let (backup, identities) = (station.backup(), station.identities());
    let (state, settings) = (station.state(), station.settings());
    let before = tree(&state);
    let refused = restore(&backup, &identities, &Places { state: &state, settings: &settings }).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Foreign), "{refused}");
    assert_eq!(tree(&state), before);
    let other = Other::new();
    restore(&backup, &identities, &other.places()).unwrap();
    assert!(matches!(restore(&backup, &identities, &other.places()), Err(BackupError::Occupied { .. })));
}

/// Cut off between any two parts, the same call goes on; and a station that somebody made meanwhile stays.
#[test]
fn a_restore_that_was_cut_off_goes_on() {
    let station = Station::new();
    let (backup, identities) = (station.backup(), station.identities());
    for cut_after in 0..super::names::PARTS.len() {
        let other = Other::new();
        restore(&backup, &identities, &other.places()).unwrap();
        let whole = tree(&other.state);
        let laid = other.state.join(format!("restoring-{}/state", backup.digest().hex()));
        fs::create_dir_all(&laid).unwrap();
        for part in &super::names::PARTS[cut_after..] {
            fs::rename(other.state.join(part), laid.join(part)).unwrap();
        }
        if cut_after == 2 {
            fs::create_dir_all(other.state.join("keys")).unwrap();
            fs::write(other.state.join("keys/site.pem"), "of another site").unwrap();
            assert!(matches!(restore(&backup, &identities, &other.places()), Err(BackupError::Occupied { .. })));
            assert_eq!(fs::read_to_string(other.state.join("keys/site.pem")).unwrap(), "of another site");
            fs::remove_file(other.state.join("keys/site.pem")).unwrap();
        }
        restore(&backup, &identities, &other.places()).unwrap();
        assert_eq!(tree(&other.state), whole, "cut off after {cut_after}");
    }
}

#[test]
fn settings_that_differ_stay_and_those_of_the_backup_stand_beside_them() {
    let (station, other) = (Station::new(), Other::new());
    fs::create_dir_all(&other.settings).unwrap();
    fs::write(other.settings.join("config.yaml"), "registry: elsewhere\n").unwrap();
    let restored = restore(&station.backup(), &station.identities(), &other.places()).unwrap();
    assert_eq!(restored.beside, [other.settings.join("config.yaml.restored")]);
    assert_eq!(fs::read_to_string(other.settings.join("config.yaml")).unwrap(), "registry: elsewhere\n");
    assert_eq!(fs::read_to_string(&restored.beside[0]).unwrap(), "registry: here\n");
    assert_eq!(fs::read_to_string(other.settings.join("tls/key.pem")).unwrap(), "secret");
}

#[test]
fn only_whom_it_was_encrypted_for_opens_it_and_only_its_site_has_signed_it() {
    let (station, stranger, other) = (Station::new(), Station::new(), Other::new());
    let backup = station.backup();
    let refused = restore(&backup, &stranger.identities(), &other.places()).unwrap_err();
    assert!(matches!(refused, BackupError::Closed { .. }));
    assert_eq!(fs::read_dir(&other.state).unwrap().count(), 0, "something was left");
    let path = station.folder.path().join("a.backup");
    assert_eq!(StationBackup::open(&path, stranger.site.root()).unwrap_err().code(), Some(Code::Threshold));
    // On a machine that knows no site the digest says which backup is meant, and the site root in it who has signed.
    let named = StationBackup::named(&path, backup.digest()).unwrap();
    restore(&named, &station.identities(), &other.places()).unwrap();
    let wrong = Digest::sha256(b"another");
    assert_eq!(StationBackup::named(&path, &wrong).unwrap_err().code(), Some(Code::Digest));
}

#[test]
fn a_table_of_contents_of_another_site_over_a_stations_content_is_found_out() {
    let (station, stranger, other) = (Station::new(), Station::new(), Other::new());
    let path = station.folder.path().join("forged.backup");
    let mut draft = Draft::new(&path).unwrap();
    let (state, settings) = (station.state(), station.settings());
    let gathered = take(&Source { state: &state, settings: &settings }, &station.recipients(), &mut draft).unwrap();
    let manifest = station.manifest(gathered, &draft);
    let digest = draft.finish_station(&manifest, &stranger.site).unwrap();
    let named = StationBackup::named(&path, &digest).unwrap();
    let refused = restore(&named, &station.identities(), &other.places()).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Threshold), "{refused}");
    assert_eq!(fs::read_dir(&other.state).unwrap().count(), 0, "something was left");
}

/// Whoever has the site's key and the digest believed can still not write where no station has files.
#[test]
fn what_has_no_place_in_a_station_is_refused() {
    let station = Station::new();
    let file = |name| vec![(name, EntryType::Regular, "hostile")];
    type Entries = Vec<(&'static str, EntryType, &'static str)>;
    let cases: Vec<(&str, Entries)> = vec![
        ("up", file("state/trust/../../../etc/passwd")),
        ("absolute", file("/etc/passwd")),
        ("elsewhere", file("other/file")),
        ("a blob", file("state/store/blobs/sha256/00")),
        ("the folder itself", file("state")),
        (
            "a link",
            vec![("state/trust/x", EntryType::Symlink, "/etc"), ("state/trust/x/y", EntryType::Regular, "hostile")],
        ),
        ("a hard link", vec![("state/trust/x", EntryType::Link, "/etc/shadow")]),
        ("a device", vec![("state/trust/x", EntryType::Char, "")]),
        ("current elsewhere", vec![("state/store/current", EntryType::Symlink, "../../../../etc/passwd")]),
        ("twice", vec![("state/keys", EntryType::Directory, ""), ("state/keys", EntryType::Directory, "")]),
        ("a long name", vec![("state/trust/x", EntryType::GNULongName, "")]),
        ("less", vec![("state/trust/a", EntryType::Regular, "seven")]),
        ("more", vec![("state/trust/a", EntryType::Regular, "more than seven")]),
    ];
    for (what, mut entries) in cases {
        let other = Other::new();
        entries.splice(0..0, [("state", EntryType::Directory, ""), ("state/trust", EntryType::Directory, "")]);
        let refused = restore(&station.made_of(&entries), &station.identities(), &other.places()).unwrap_err();
        assert_eq!(refused.code(), Some(Code::Format), "{what}: {refused}");
        assert_eq!(fs::read_dir(&other.state).unwrap().count(), 0, "{what} left something");
    }
}

/// The table of contents to the byte, for whoever writes a second implementation: under the site root of the crate `trust`.
#[test]
fn the_table_of_contents_is_as_published() {
    let keys = published_keys();
    let names = ["age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"];
    let manifest = StationManifest {
        format: format::SITE_BACKUP.current.into(),
        site: keys.root().id().as_str().to_owned(),
        taken: Timestamp::UNIX_EPOCH,
        sealock: "0.1.0".into(),
        generation: 9,
        release: Some(ReleaseId { number: 3, digest: Digest::sha256(b"release 3") }),
        bundles: vec![Bundle { stream: "base".into(), sequence: 4, manifest: Digest::sha256(b"base 4") }],
        clusters: vec!["plant-7".into()],
        recipients: Recipients::parse(&names).unwrap().names(),
        files: 40,
        bytes: 31_337,
        payload: Payload { digest: Digest::sha256(b"an age file"), size: 11 },
    };
    let made = manifest.sign(&keys).unwrap();
    as_published("site-backup.json", &made);
    assert_eq!(StationManifest::open(&made, keys.root()).unwrap(), manifest);
}
