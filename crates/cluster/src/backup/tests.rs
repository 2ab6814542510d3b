//! Backups, and what an attacker makes of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_node::backup::AUTHORITIES;
use sealock_trust::reason::Code;
use sealock_trust::site::{SiteKeys, SiteRoot};
use sealock_trust::{Digest, FileKey, format};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::payload::{self, Part};
use super::*;
use crate::plan::ReleaseId;
use crate::site_of_tests::keys;

fn parts() -> Vec<Part> {
    let bytes = |path: &str, text: &str| Part::of_bytes(path, Zeroizing::new(text.as_bytes().to_vec()));
    let mut parts = vec![bytes(SNAPSHOT, &"etcd ".repeat(40_000)), bytes(SPEC, "kind: Cluster\n")];
    parts.extend(AUTHORITIES.iter().map(|path| bytes(&format!("{KUBERNETES}{path}"), "a key")));
    parts
}

pub(super) fn manifest(parts: &[Part], recipients: &Recipients, payload: Payload) -> Manifest {
    Manifest {
        format: format::BACKUP.current.into(),
        site: "plant-7".into(),
        cluster: "plant-7".into(),
        taken: Timestamp::UNIX_EPOCH,
        release: ReleaseId { number: 3, digest: Digest::sha256(b"release 3") },
        host: "cp1".into(),
        recipients: recipients.names(),
        state: Taken {
            kubernetes: "v1.36.3".into(),
            ca_hash: Digest::sha256(b"authority").to_string(),
            etcd: EtcdState { version: "3.6.8".into(), revision: 42, rehearsed_keys: 7 },
            contents: parts.iter().map(|part| part.content.clone()).collect(),
        },
        payload,
    }
}

/// A backup of `parts` that says what `told` makes of its table of contents.
fn written(site: &SiteKeys, key: &RecoveryKey, parts: &[Part], told: impl FnOnce(&mut Manifest)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.backup");
    write(&path, (site, key), parts, told);
    (folder, path)
}

pub(super) fn write(
    path: &Path,
    (site, key): (&SiteKeys, &RecoveryKey),
    parts: &[Part],
    told: impl FnOnce(&mut Manifest),
) -> Digest {
    let recipients = Recipients::parse(&[key.recipient()]).unwrap();
    let mut draft = Draft::new(path).unwrap();
    payload::write(parts, &recipients, &mut draft).unwrap();
    let mut manifest = manifest(parts, &recipients, draft.payload());
    told(&mut manifest);
    draft.finish(&manifest, site).unwrap()
}

/// A backup at `path` that says what `told` makes of its table of contents.
pub(super) fn written_as(path: &Path, by: (&SiteKeys, &RecoveryKey), told: impl FnOnce(&mut Manifest)) -> Digest {
    write(path, by, &parts(), told)
}

fn identities(folder: &Path, key: &RecoveryKey) -> Identities {
    let path = folder.join("recovery.key");
    key.save(&path, None).unwrap();
    Identities::load(&path, None).unwrap()
}

#[test]
fn what_was_written_is_read() {
    let (site, key) = (keys(), RecoveryKey::generate());
    let (folder, path) = written(&site, &key, &parts(), |_| {});
    let backup = Backup::open(&path, site.root()).unwrap();
    assert_eq!(backup.manifest().state.etcd.revision, 42);
    let mut read = Vec::new();
    let take = |content: &Content, file: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        read.push((content.path.clone(), bytes.len() as u64 == content.size));
        Ok(())
    };
    backup.read(&identities(folder.path(), &key), take).unwrap();
    assert_eq!(read.len(), 10);
    assert_eq!(read[..2], [(SNAPSHOT.to_owned(), true), (SPEC.to_owned(), true)]);
    let names: Vec<String> = tar::Archive::new(fs::File::open(&path).unwrap())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names[..2], ["backup.json", "pad"], "any tar lists it");
    assert_eq!(names[2], format!("blobs/sha256/{}", backup.manifest().payload.digest.hex()));
    // A file of that name is never written over.
    assert!(matches!(Draft::new(&path), Err(BackupError::Io { .. })));
}

#[test]
fn only_its_recipients_open_it() {
    let (site, key, other) = (keys(), RecoveryKey::generate(), RecoveryKey::generate());
    let (folder, path) = written(&site, &key, &parts(), |_| {});
    let backup = Backup::open(&path, site.root()).unwrap();
    let closed = backup.decrypted(&identities(folder.path(), &other)).map(drop).unwrap_err();
    assert_eq!(
        closed.to_string(),
        "the backup cannot be opened with the keys that were given: it was encrypted for others"
    );
    // The library's own words are looked up in files beside its source, where there is no such folder it panics.
    assert!(std::error::Error::source(&closed).is_none());
    assert!(matches!(Recipients::parse::<&str>(&[]), Err(BackupError::NoRecipient)));
    assert!(matches!(Recipients::parse(&["age1"]), Err(BackupError::Recipient(_))));
}

#[test]
fn a_recovery_key_has_a_passphrase_where_one_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (RecoveryKey::generate(), folder.path().join("recovery.key"));
    key.save(&path, Some("correct horse")).unwrap();
    assert!(Identities::is_encrypted(&path).unwrap());
    assert!(!fs::read_to_string(&path).unwrap_or_default().contains("AGE-SECRET-KEY"));
    Identities::load(&path, Some("correct horse")).unwrap();
    let wrong = Identities::load(&path, Some("wrong")).unwrap_err();
    assert!(matches!(wrong, BackupError::Passphrase { .. }) && std::error::Error::source(&wrong).is_none(), "{wrong}");
    assert!(matches!(Identities::load(&path, None), Err(BackupError::Identity { .. })));
    assert!(matches!(key.save(&path, None), Err(BackupError::Io { .. })), "never written over");
}

/// No byte of the file escapes judgement: one that is changed is found, wherever it is.
#[test]
fn a_byte_that_was_changed_is_found_wherever_it_is() {
    let (site, key) = (keys(), RecoveryKey::generate());
    let (_folder, path) = written(&site, &key, &parts(), |_| {});
    let whole = fs::read(&path).unwrap();
    let places = (0..4096).chain((4096..whole.len()).step_by(701)).chain(whole.len() - 2048..whole.len());
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, bytes).unwrap();
        let refused = Backup::open(&path, site.root()).map(drop).unwrap_err();
        assert!(refused.is_refusal(), "byte {at}: {refused}");
    }
}

#[test]
fn a_file_that_ends_early_or_goes_on_is_refused() {
    let (site, key) = (keys(), RecoveryKey::generate());
    let (_folder, path) = written(&site, &key, &parts(), |_| {});
    let whole = fs::read(&path).unwrap();
    let code = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Backup::open(&path, site.root()).map(drop).unwrap_err().code()
    };
    for length in [0, 100, 512, 5000, 64 << 10] {
        assert_eq!(code(&whole[..length]), Some(Code::Format), "{length}");
    }
    assert_eq!(code(&whole[..whole.len() - 1]), Some(Code::Incomplete));
    assert_eq!(code(&[&whole[..], b"\0"].concat()), Some(Code::Trailing));
}

#[test]
fn another_sites_backup_is_refused() {
    let (ours, theirs, key) = (keys(), keys(), RecoveryKey::generate());
    let (_folder, path) = written(&theirs, &key, &parts(), |_| {});
    let refused = Backup::open(&path, ours.root()).map(drop).unwrap_err();
    assert!(matches!(refused, BackupError::Envelope(_)) && refused.is_refusal(), "{refused}");
}

/// What a host says that is not so.
type Lie = fn(&mut Manifest);

/// A host that lies about what it encrypted is found out when it is opened; a table that leads out of its folder at once.
#[test]
fn what_a_host_says_is_held_against_what_it_sent() {
    let (site, key) = (keys(), RecoveryKey::generate());
    let lies: [(&str, Lie); 3] = [
        ("a digest", |manifest| manifest.state.contents[1].digest = Digest::sha256(b"another")),
        ("a size", |manifest| manifest.state.contents[1].size += 1),
        ("the order", |manifest| manifest.state.contents.swap(1, 2)),
    ];
    for (what, lie) in lies {
        let (folder, path) = written(&site, &key, &parts(), lie);
        let backup = Backup::open(&path, site.root()).unwrap();
        let refused = backup.read(&identities(folder.path(), &key), |_, _| Ok(())).unwrap_err();
        assert!(refused.is_refusal(), "{what}: {refused}");
        let into = folder.path().join("host");
        let delivery = Delivery { backup: backup.digest().clone(), contents: backup.manifest().state.contents.clone() };
        let identities = Identities::load(&folder.path().join("recovery.key"), None).unwrap();
        let content = backup.decrypted(&identities).unwrap();
        unpacked(&delivery, content, &into).unwrap_err();
        assert!(fs::read_dir(&into).map_or(0, Iterator::count) == 0, "{what}: something stays");
    }
    // What a host may not say, neither before it is signed nor after.
    let changes: [(&str, Lie); 8] = [
        ("an authority less", |manifest| drop(manifest.state.contents.pop())),
        ("no snapshot", |manifest| drop(manifest.state.contents.remove(0))),
        ("one twice", |manifest| {
            let again = manifest.state.contents[2].clone();
            manifest.state.contents.push(again);
        }),
        ("a pod for kubelet", |manifest| more(manifest, "kubernetes/manifests/x.yaml")),
        ("credentials", |manifest| more(manifest, "kubernetes/admin.conf")),
        ("something else", |manifest| more(manifest, "more")),
        ("a version for the terminal", |manifest| manifest.state.etcd.version = "3\u{1b}[2J".into()),
        ("a version", |manifest| manifest.state.kubernetes = "latest".into()),
    ];
    for (what, change) in changes {
        let (_folder, file) = written(&site, &key, &parts(), change);
        assert_eq!(Backup::open(&file, site.root()).map(drop).unwrap_err().code(), Some(Code::Format), "{what}");
    }
    let (_folder, file) = written(&site, &key, &parts(), |manifest| more(manifest, "kubernetes/enc/enc.yaml"));
    Backup::open(&file, site.root()).unwrap();
    for path in ["../up", "/etc/passwd", "a//b", "a/./b", "", "a\nb"] {
        let lie = |manifest: &mut Manifest| manifest.state.contents[1].path = path.into();
        let (_folder, file) = written(&site, &key, &parts(), lie);
        assert_eq!(Backup::open(&file, site.root()).map(drop).unwrap_err().code(), Some(Code::Format), "{path:?}");
    }
}

fn more(manifest: &mut Manifest, path: &str) {
    let content = manifest.state.contents[2].clone();
    manifest.state.contents.push(Content { path: path.into(), ..content });
}

fn unpacked(delivery: &Delivery, content: impl std::io::Read, into: &Path) -> Result<(), BackupError> {
    let mut line = serde_json::to_vec(delivery).unwrap();
    line.push(b'\n');
    unpack(line.as_slice().chain(content), into)
}

#[test]
fn a_host_lays_out_what_comes_and_keeps_what_is_whole() {
    let (site, key) = (keys(), RecoveryKey::generate());
    let (folder, path) = written(&site, &key, &parts(), |_| {});
    let backup = Backup::open(&path, site.root()).unwrap();
    let identities = identities(folder.path(), &key);
    let delivery = Delivery { backup: backup.digest().clone(), contents: backup.manifest().state.contents.clone() };
    let into = folder.path().join("host");
    // Cut off in the middle: nothing of it stays.
    let mut some = Vec::new();
    backup.decrypted(&identities).unwrap().take(100_000).read_to_end(&mut some).unwrap();
    unpacked(&delivery, some.as_slice(), &into).unwrap_err();
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
    // What was being laid out when the host lost its power is done anew.
    let left = into.join(format!("{}.new", backup.digest().hex()));
    fs::create_dir_all(&left).unwrap();
    fs::File::create(left.join("half")).unwrap().write_all(b"half").unwrap();
    unpacked(&delivery, backup.decrypted(&identities).unwrap(), &into).unwrap();
    let place = into.join(backup.digest().hex());
    assert_eq!(fs::read(place.join("kubernetes/pki/ca.key")).unwrap(), b"a key");
    assert!(!place.join("half").exists() && !left.exists());
    // What is there and whole stays, and nothing more is read.
    unpacked(&delivery, std::io::empty(), &into).unwrap();
    // What was taken apart is laid out anew, and only one at a time does so.
    fs::remove_file(place.join(SNAPSHOT)).unwrap();
    let held = super::unpack::alone_in(&into).unwrap();
    let busy = unpacked(&delivery, backup.decrypted(&identities).unwrap(), &into).unwrap_err();
    assert!(matches!(busy, BackupError::Busy { .. }), "{busy}");
    drop(held);
    unpacked(&delivery, backup.decrypted(&identities).unwrap(), &into).unwrap();
    assert!(place.join(SNAPSHOT).exists());
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
}

#[test]
fn no_first_line_brings_a_host_down() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&b""[..], b"\n", b"{}\n", b"null\n", &[b'x'; 2 << 20], b"{\"backup\":\"sha256:00\",\"contents\":[]}\n"]
    {
        unpack(line, folder.path()).unwrap_err();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The table of contents to the byte, for whoever writes a second implementation: under the site root of the crate `trust`.
#[test]
fn the_table_of_contents_is_as_published() {
    let keys = published_keys();
    let names = ["age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"];
    let recipients = Recipients::parse(&names).unwrap();
    let payload = Payload { digest: Digest::sha256(b"an age file"), size: 11 };
    let made = manifest(&parts(), &recipients, payload).sign(&keys).unwrap();
    as_published("backup.json", &made);
    assert_eq!(Manifest::open(&made, keys.root()).unwrap().state.etcd.revision, 42);
}

/// The site root of the vectors, with its key.
pub(super) fn published_keys() -> SiteKeys {
    let trust = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trust/testdata");
    let root = SiteRoot::open(&fs::read(trust.join("vectors/site-root.json")).unwrap()).unwrap();
    let passphrase = sealock_trust::Passphrase::new("correct-horse");
    let key = FileKey::load(&trust.join("openssl/ed25519.pbkdf2.pem"), passphrase.as_ref()).unwrap();
    SiteKeys::new(root, Box::new(key)).unwrap()
}

pub(super) fn as_published(name: &str, made: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors").join(name);
    if fs::read(&path).ok().as_deref() != Some(made) {
        let there = std::env::temp_dir().join(format!("vector-{name}"));
        fs::write(&there, made).unwrap();
        panic!("{} is not what was made now, see {}", path.display(), there.display());
    }
}
