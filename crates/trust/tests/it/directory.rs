//! The trust directory: what a site remembers, and that it only moves forward.

use std::fs;
use std::path::Path;

use sealock_trust::directory::{Accepted, Candidate, DirectoryError, Mirror};
use sealock_trust::reason::Code;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::tuf::{Verified, walk_roots};
use sealock_trust::{
    Digest, FileKey, KeySet, Scheme, Signer, SiteKeys, SiteRoot, StreamName, StreamPrefix, TrustDirectory,
};

use crate::world::{MANIFEST, Publisher, now, terms};

fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

fn prefix(name: &str) -> StreamPrefix {
    name.parse().unwrap()
}

fn enroll(directory: &TrustDirectory, publisher: &Publisher, name: &str) -> Result<(), Option<Code>> {
    enroll_file(directory, publisher.first_root(), &Digest::sha256(publisher.first_root()), name)
}

fn enroll_file(directory: &TrustDirectory, root: &[u8], fingerprint: &Digest, name: &str) -> Result<(), Option<Code>> {
    let prefix = prefix(name);
    let candidate =
        Candidate { root, fingerprint, prefix: &prefix, from_sequence: None, names: &["*".parse().unwrap()] };
    directory.enroll(&candidate, None).map(|_| ()).map_err(|error| error.code())
}

fn accept(
    directory: &TrustDirectory,
    name: &str,
    verified: &Verified,
    receipt: &[u8],
) -> Result<Accepted, DirectoryError> {
    directory.accept(&stream(name), (verified, None), None, |_| Ok(receipt.to_vec()))
}

fn verified(directory: &TrustDirectory, publisher: &Publisher, sequence: u64) -> Result<Verified, Code> {
    let root = directory.root_for(&stream("base")).unwrap();
    let state = directory.stream_state(&stream("base")).unwrap();
    let verdict = sealock_trust::tuf::verify(&root.bytes, &publisher.sign(sequence), MANIFEST, now(), state.as_ref());
    verdict.map_err(|error| error.code())
}

/// Every file and its content.
fn snapshot(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_root_is_enrolled_by_its_fingerprint_only() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    let wrong = enroll_file(&directory, publisher.first_root(), &Digest::sha256(b"other"), "base");
    assert_eq!(wrong, Err(Some(Code::Fingerprint)));
    let not_a_root = enroll_file(&directory, b"{}", &Digest::sha256(b"{}"), "base");
    assert_eq!(not_a_root, Err(Some(Code::Format)));
    assert_eq!(directory.root_for(&stream("base")).unwrap_err().code(), Some(Code::NotEnrolled));
    assert!(directory.enrolments().unwrap().is_empty());

    enroll(&directory, &publisher, "base").unwrap();
    enroll(&directory, &publisher, "base").unwrap();
    assert_eq!(directory.enrolments().unwrap().len(), 1);
    assert_eq!(directory.root_for(&stream("base")).unwrap().bytes, publisher.first_root());
    assert_eq!(enroll(&directory, &Publisher::new(), "base"), Err(Some(Code::Conflict)));
}

#[test]
fn of_two_roots_the_longest_prefix_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let (all, apps, payments) = (Publisher::new(), Publisher::new(), Publisher::new());
    enroll(&directory, &all, "*").unwrap();
    enroll(&directory, &payments, "apps/payments").unwrap();
    enroll(&directory, &apps, "apps").unwrap();
    let root = |name: &str| directory.root_for(&stream(name)).unwrap().bytes;
    assert_eq!(root("base"), all.first_root());
    assert_eq!(root("apps/web"), apps.first_root());
    assert_eq!(root("apps/payments/eu"), payments.first_root());
    assert_eq!(root("apps2"), all.first_root());
    assert_eq!(directory.root_for(&stream("site/plant-7/backup")).unwrap_err().code(), Some(Code::NotEnrolled));
}

#[test]
fn acceptance_is_remembered_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    let (first, second) = (verified(&directory, &publisher, 1).unwrap(), verified(&directory, &publisher, 2).unwrap());
    accept(&directory, "base", &second, b"receipt two").unwrap();

    // Verified before the other one was accepted, and too late now.
    let late = accept(&directory, "base", &first, b"receipt one").unwrap_err();
    assert!(matches!(late, DirectoryError::WentOn { sequence: 1, accepted: 2, .. }), "{late}");

    let reopened = TrustDirectory::open(folder.path()).unwrap();
    let accepted = reopened.accepted(&stream("base")).unwrap().unwrap();
    assert_eq!((accepted.state.sequence, accepted.receipt.as_slice()), (2, b"receipt two".as_slice()));
    assert_eq!(verified(&reopened, &publisher, 1), Err(Code::Rollback));
    assert!(verified(&reopened, &publisher, 2).unwrap().is_already_accepted());
    // A crash after the write and before the answer: the same again is no harm.
    accept(&reopened, "base", &second, b"receipt two").unwrap();
    assert_eq!(reopened.stream_state(&stream("apps")).unwrap_err().code(), Some(Code::NotEnrolled));
}

#[test]
fn streams_of_one_root_have_states_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "*").unwrap();
    let verdict = verified(&directory, &publisher, 3).unwrap();
    accept(&directory, "a/b", &verdict, b"").unwrap();
    assert!(directory.stream_state(&stream("a")).unwrap().is_none());
    assert_eq!(directory.stream_state(&stream("a/b")).unwrap().unwrap().sequence, 3);
}

#[test]
fn verifying_and_refusing_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    accept(&directory, "base", &verified(&directory, &publisher, 5).unwrap(), b"").unwrap();
    let before = snapshot(folder.path());
    for sequence in [4, 7, 5000] {
        assert!(verified(&directory, &publisher, sequence).is_err());
    }
    assert!(verified(&directory, &publisher, 6).is_ok());
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn a_newer_root_is_kept_even_though_the_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let mut publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    let old = publisher.sign(1);
    publisher.rotate();
    let mut set = publisher.sign(1);
    set.timestamp = b"{}".to_vec();
    let root = directory.root_for(&stream("base")).unwrap();
    let walk = walk_roots(&root.bytes, &set).unwrap();
    directory.keep_roots(&root, &walk, None).unwrap();
    directory.keep_roots(&root, &walk, None).unwrap();

    let newest = directory.root_for(&stream("base")).unwrap();
    assert_eq!((newest.version, &newest.enrolment), (2, &root.enrolment));
    let replayed = sealock_trust::tuf::verify(&newest.bytes, &old, MANIFEST, now(), None);
    assert_eq!(replayed.unwrap_err().code(), Code::Threshold);
}

#[test]
fn acceptance_keeps_the_roots_that_explain_it_and_rotated_keys_may_count_anew() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let mut publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    let old = verified(&directory, &publisher, 901).unwrap();
    accept(&directory, "base", &verified(&directory, &publisher, 900).unwrap(), b"").unwrap();
    publisher.rotate();
    accept(&directory, "base", &verified(&directory, &publisher, 3).unwrap(), b"").unwrap();
    assert_eq!(directory.root_for(&stream("base")).unwrap().version, 2);
    assert_eq!(directory.stream_state(&stream("base")).unwrap().unwrap().sequence, 3);
    // Verified under the keys that have been rotated away since.
    let stale = accept(&directory, "base", &old, b"").unwrap_err();
    assert_eq!(stale.code(), Some(Code::Rollback));
}

#[test]
fn a_damaged_state_is_an_error_and_not_a_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    accept(&directory, "base", &verified(&directory, &publisher, 1).unwrap(), b"").unwrap();
    let files = snapshot(folder.path());
    for (path, content) in files.iter().filter(|(path, _)| path.ends_with(".json")) {
        fs::write(path, &content[..content.len() / 2]).unwrap();
        let read = directory.stream_state(&stream("base")).and_then(|_| directory.root_for(&stream("base")));
        let error = read.unwrap_err();
        assert!(!error.is_refusal(), "{path}: {error}");
        fs::write(path, content).unwrap();
    }
    assert_eq!(directory.stream_state(&stream("base")).unwrap().unwrap().sequence, 1);
}

#[test]
fn a_write_that_broke_off_leaves_the_old_state_and_does_not_hinder_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    accept(&directory, "base", &verified(&directory, &publisher, 1).unwrap(), b"").unwrap();
    let temporary = folder.path().join(".state.json.new");
    fs::write(&temporary, b"half a rec").unwrap();
    assert_eq!(directory.stream_state(&stream("base")).unwrap().unwrap().sequence, 1);
    accept(&directory, "base", &verified(&directory, &publisher, 2).unwrap(), b"").unwrap();
    assert_eq!(directory.stream_state(&stream("base")).unwrap().unwrap().sequence, 2);
    assert!(!temporary.exists());
}

#[test]
fn the_time_floor_is_the_latest_issue_time_of_all_streams() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "*").unwrap();
    assert_eq!(directory.time_floor().unwrap(), None);
    accept(&directory, "a", &verified(&directory, &publisher, 1).unwrap(), b"").unwrap();
    assert_eq!(directory.time_floor().unwrap(), Some(terms(1).issued));
}

fn site(folder: &Path) -> SiteKeys {
    let key = FileKey::generate(Scheme::Ed25519).unwrap();
    let only = || KeySet::new([key.public_key().clone()], 1).unwrap();
    let spec = SiteRootSpec {
        id: "plant-7".parse().unwrap(),
        issued: now(),
        classification: None,
        root: only(),
        site: only(),
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry: Registry { name: "registry".to_owned(), address: "10.77.0.2:443".to_owned(), ca: String::new() },
    };
    let keys = SiteKeys::new(SiteRoot::create(&spec, &[&key]).unwrap(), Box::new(key)).unwrap();
    TrustDirectory::open(folder).unwrap().keep_site_root(&keys).unwrap();
    keys
}

#[test]
fn the_state_of_a_site_is_sealed_and_counts_its_changes() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let publisher = Publisher::new();
    enroll(&directory, &publisher, "*").unwrap();
    assert_eq!(directory.generation().unwrap(), 1);
    let site = site(folder.path());
    assert_eq!(directory.generation().unwrap(), 2);
    directory.keep_site_root(&site).unwrap();
    assert_eq!(directory.generation().unwrap(), 2, "the same again changes nothing");

    let verdict = verified(&directory, &publisher, 1).unwrap();
    let unsealed = accept(&directory, "base", &verdict, b"").unwrap_err();
    assert!(matches!(unsealed, DirectoryError::SealNeeded { .. }), "{unsealed}");
    let receipt = |generation: u64| Ok::<_, DirectoryError>(generation.to_string().into_bytes());
    let accepted = directory.accept(&stream("base"), (&verdict, None), Some(&site), receipt).unwrap();
    assert_eq!((accepted.generation, accepted.receipt.as_slice()), (3, b"3".as_slice()));
    assert_eq!(directory.generation().unwrap(), 3);
}

#[test]
fn a40_what_was_kept_elsewhere_tells_an_older_state_and_one_that_went_on_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    enroll(&directory, &Publisher::new(), "*").unwrap();
    assert_eq!(directory.signed_generation().unwrap(), None);
    let site = site(folder.path());
    let state = folder.path().join("state.json");
    let older = fs::read(&state).unwrap();
    let change = |name: &str| {
        let publisher = Publisher::new();
        let (fingerprint, prefix) = (Digest::sha256(publisher.first_root()), prefix(name));
        let root = publisher.first_root();
        let candidate = Candidate {
            root,
            fingerprint: &fingerprint,
            prefix: &prefix,
            from_sequence: None,
            names: &["*".parse().unwrap()],
        };
        directory.enroll(&candidate, Some(&site)).unwrap();
    };
    let kept = || {
        let bytes = directory.signed_generation().unwrap().unwrap();
        Mirror::signed("a note".to_owned(), &bytes, site.root()).unwrap()
    };
    let before = kept();
    change("apps");
    let mirror = kept();
    assert_eq!((before.generation, mirror.generation), (2, 3));
    for known in [&before, &mirror] {
        directory.compare(known).unwrap();
    }
    // Put back, it is behind; going on from there it comes to the same count with another state.
    fs::write(&state, older).unwrap();
    assert_eq!(directory.compare(&mirror).unwrap_err().code(), Some(Code::StateRegression));
    change("tools");
    assert_eq!(directory.generation().unwrap(), mirror.generation);
    assert_eq!(directory.compare(&mirror).unwrap_err().code(), Some(Code::StateRegression));
    assert_eq!(directory.check_not_frozen().unwrap_err().code(), Some(Code::StateRegression));
    directory.compare(&before).unwrap();
    directory.compare(&kept()).unwrap();
}

#[test]
fn a_generation_that_another_site_signed_is_not_believed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let site = site(folder.path());
    self::site(elsewhere.path());
    let foreign = TrustDirectory::open(elsewhere.path()).unwrap().signed_generation().unwrap().unwrap();
    let refused = Mirror::signed("a node".to_owned(), &foreign, site.root()).unwrap_err();
    assert_eq!(refused.code(), Code::Threshold);
    let own = TrustDirectory::open(folder.path()).unwrap().signed_generation().unwrap().unwrap();
    let mut altered = own.clone();
    altered.truncate(own.len() - 1);
    assert_eq!(Mirror::signed("a node".to_owned(), &altered, site.root()).unwrap_err().code(), Code::Format);
}

#[test]
fn a_state_that_the_site_did_not_seal_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    enroll(&directory, &Publisher::new(), "*").unwrap();
    let unsealed = fs::read(folder.path().join("state.json")).unwrap();
    site(folder.path());
    let sealed = fs::read(folder.path().join("state.json")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    site(elsewhere.path());
    let foreign = fs::read(elsewhere.path().join("state.json")).unwrap();
    for forged in [Some(unsealed), Some(foreign), None] {
        match &forged {
            Some(forged) => fs::write(folder.path().join("state.json"), forged).unwrap(),
            None => fs::remove_file(folder.path().join("state.json")).unwrap(),
        }
        assert_eq!(directory.enrolments().unwrap_err().code(), Some(Code::StateRegression));
    }
    fs::write(folder.path().join("state.json"), sealed).unwrap();
    assert_eq!(directory.enrolments().unwrap().len(), 1);
}

/// A root of the publisher's own chain, older than the one the state names.
#[test]
fn an_older_root_in_the_place_of_the_newest_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    let mut publisher = Publisher::new();
    enroll(&directory, &publisher, "base").unwrap();
    publisher.rotate();
    accept(&directory, "base", &verified(&directory, &publisher, 1).unwrap(), b"").unwrap();
    let roots = folder.path().join("roots").join(Digest::sha256(publisher.first_root()).hex());
    fs::copy(roots.join("1.root.json"), roots.join("2.root.json")).unwrap();
    assert!(matches!(directory.root_for(&stream("base")), Err(DirectoryError::RootDamaged { .. })));
}
