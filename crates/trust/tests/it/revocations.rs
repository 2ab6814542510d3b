//! Revocation lists: who may revoke, that a list only grows, and that an older one is told from the newest.

use std::collections::BTreeSet;

use sealock_trust::directory::{Candidate, Standing};
use sealock_trust::reason::Code;
use sealock_trust::revocation::{Entry, ListTerms, MAX_ENTRIES, RevocationError, RevocationList, Subject};
use sealock_trust::tuf::{Root, create_root, open_root};
use sealock_trust::{Digest, FileKey, Signer, TrustDirectory};

use crate::vectors::{check, key};
use crate::world::{key_set, keys, now, root_spec, signers, time};

struct Scene {
    root_keys: Vec<FileKey>,
    publisher: Vec<FileKey>,
    revokers: Vec<FileKey>,
    root: Vec<u8>,
}

impl Scene {
    /// Two of three revokers have to agree.
    fn new() -> Self {
        let (root_keys, publisher, revokers) = (keys(2), keys(2), keys(3));
        let mut spec = root_spec(&root_keys, &publisher);
        spec.revoker = Some(key_set(&revokers, 2));
        let root = create_root(&spec, &signers(&root_keys)).unwrap();
        Self { root_keys, publisher, revokers, root }
    }

    fn root(&self) -> Root {
        open_root(&self.root).unwrap()
    }

    fn list(&self, before: Option<&RevocationList>, added: &[&str], by: &[&dyn Signer]) -> RevocationList {
        self.list_without(before, added, &[], by)
    }

    fn list_without(
        &self,
        before: Option<&RevocationList>,
        added: &[&str],
        dropped: &[&str],
        by: &[&dyn Signer],
    ) -> RevocationList {
        let entries = added.iter().map(|name| entry(name));
        let dropped = dropped.iter().map(|name| subject(name)).collect();
        let mut list = RevocationList::make(&self.root, before, &terms(), entries, &dropped).unwrap();
        list.add_signatures(by).unwrap();
        list
    }

    fn directory(&self, folder: &std::path::Path) -> TrustDirectory {
        let directory = TrustDirectory::open(folder).unwrap();
        let (fingerprint, prefix) = (Digest::sha256(&self.root), "*".parse().unwrap());
        let candidate =
            Candidate { root: &self.root, fingerprint: &fingerprint, prefix: &prefix, from_sequence: None, names: &[] };
        directory.enroll(&candidate, None).unwrap();
        directory
    }
}

fn terms() -> ListTerms {
    ListTerms { issued: now(), expires: time("2027-03-01T00:00:00Z") }
}

fn subject(name: &str) -> Subject {
    Subject::Digest(Digest::sha256(name.as_bytes()))
}

fn entry(name: &str) -> Entry {
    Entry { subject: subject(name), reason: format!("{name} is harmful").parse().unwrap(), revoked: now() }
}

fn code(result: Result<(), RevocationError>) -> Option<Code> {
    result.err().and_then(|error| error.code())
}

#[test]
fn a_list_takes_the_threshold_of_the_revokers_who_may_sign_one_after_the_other() {
    let scene = Scene::new();
    let first = scene.list(None, &["a"], &[&scene.revokers[0]]);
    assert_eq!(first.clone().verify(&scene.root()).unwrap_err().code(), Some(Code::Threshold));
    let mut carried = RevocationList::read(&first.to_bytes().unwrap()).unwrap();
    carried.add_signatures(&[&scene.revokers[2]]).unwrap();
    let verified = carried.verify(&scene.root()).unwrap();
    assert!(!verified.is_beyond_doubt());
    assert_eq!(verified.list().of_digest(&Digest::sha256(b"a")).unwrap().reason.as_str(), "a is harmful");
    assert!(verified.list().of_digest(&Digest::sha256(b"b")).is_none());
}

#[test]
fn strangers_and_publishers_alone_revoke_nothing_and_the_root_may() {
    let scene = Scene::new();
    for by in [keys(3), scene.publisher] {
        let mut list = RevocationList::make(&scene.root, None, &terms(), [entry("a")], &BTreeSet::new()).unwrap();
        list.add_signatures(&signers(&by)).unwrap();
        assert_eq!(list.verify(&open_root(&scene.root).unwrap()).unwrap_err().code(), Some(Code::Threshold));
    }
    let mut list = RevocationList::make(&scene.root, None, &terms(), [entry("a")], &BTreeSet::new()).unwrap();
    assert_eq!(list.clone().verify(&open_root(&scene.root).unwrap()).unwrap_err().code(), Some(Code::Unsigned));
    list.add_signatures(&signers(&scene.root_keys)).unwrap();
    assert!(list.verify(&open_root(&scene.root).unwrap()).unwrap().is_beyond_doubt());
}

#[test]
fn a_root_without_a_revoker_takes_lists_from_its_own_keys_only() {
    let (root_keys, others) = (keys(2), keys(2));
    let root = create_root(&root_spec(&root_keys, &others), &signers(&root_keys)).unwrap();
    let list = |by: &[FileKey]| {
        let mut list = RevocationList::make(&root, None, &terms(), [entry("a")], &BTreeSet::new()).unwrap();
        list.add_signatures(&signers(by)).unwrap();
        list.verify(&open_root(&root).unwrap()).map(|_| ())
    };
    assert_eq!(code(list(&others)), Some(Code::Scope));
    assert_eq!(code(list(&root_keys)), None);
}

#[test]
fn a26_an_older_list_and_one_that_takes_something_back_are_refused() {
    let scene = Scene::new();
    let by: Vec<&dyn Signer> = vec![&scene.revokers[0], &scene.revokers[1]];
    let first = scene.list(None, &["a"], &by);
    let second = scene.list(Some(&first), &["b"], &by);
    let follows = |list: &RevocationList, before: &RevocationList| {
        code(list.clone().verify(&scene.root()).unwrap().check_follows(Some(before), now()))
    };
    assert_eq!(second.entries().len(), 2);
    assert_eq!((follows(&second, &first), follows(&first, &second)), (None, Some(Code::RollbackRl)));
    assert_eq!(follows(&second, &second), None);
    assert_eq!(follows(&scene.list(Some(&first), &["c"], &by), &second), Some(Code::Equivocation));

    let dropped = scene.list_without(Some(&second), &[], &["a"], &by);
    assert_eq!(follows(&dropped, &second), Some(Code::RollbackRl));
    let by_root = scene.list_without(Some(&second), &[], &["a"], &signers(&scene.root_keys));
    assert_eq!((follows(&by_root, &second), by_root.entries().len()), (None, 1));
}

#[test]
fn a_list_has_its_time() {
    let scene = Scene::new();
    let by: Vec<&dyn Signer> = vec![&scene.revokers[0], &scene.revokers[1]];
    let list = scene.list(None, &["a"], &by).verify(&scene.root()).unwrap();
    assert_eq!(code(list.check_follows(None, now())), None);
    assert_eq!(code(list.check_follows(None, time("2027-03-01T00:00:00Z"))), Some(Code::Expired));
    assert_eq!(code(list.check_follows(None, time("2026-11-22T11:59:59Z"))), Some(Code::Clock));
}

#[test]
fn no_byte_of_a_list_can_change_unnoticed_and_its_form_is_bounded() {
    let scene = Scene::new();
    let bytes = scene.list(None, &["a"], &[&scene.revokers[0], &scene.revokers[1]]).to_bytes().unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let believed = RevocationList::read(&changed).and_then(|list| list.verify(&scene.root()));
        assert!(believed.is_err(), "byte {place}");
    }
    let many = (0..=MAX_ENTRIES).map(|number| entry(&number.to_string()));
    let too_many = RevocationList::make(&scene.root, None, &terms(), many, &BTreeSet::new());
    assert_eq!(too_many.unwrap_err().code(), Some(Code::Limit));
    let most = (0..MAX_ENTRIES).map(|number| entry(&number.to_string()));
    let most = RevocationList::make(&scene.root, None, &terms(), most, &BTreeSet::new()).unwrap();
    RevocationList::read(&most.to_bytes().unwrap()).unwrap();
    let backwards = ListTerms { issued: now(), expires: now() };
    let backwards = RevocationList::make(&scene.root, None, &backwards, [], &BTreeSet::new());
    assert_eq!(backwards.unwrap_err().code(), Some(Code::Format));
}

#[test]
fn a_site_keeps_the_newest_list_and_asks_it() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let directory = scene.directory(folder.path());
    let by: Vec<&dyn Signer> = vec![&scene.revokers[0], &scene.revokers[1]];
    let first = scene.list(None, &["a"], &by);
    let second = scene.list(Some(&first), &["b"], &by);
    let keep = |list: &RevocationList| directory.keep_revocations(&list.to_bytes().unwrap(), now(), None);
    assert!(directory.check_revocations(&second.to_bytes().unwrap(), now()).unwrap().changed);
    assert!(directory.revoked().unwrap().lists().next().is_none(), "checking keeps nothing");
    assert!(keep(&second).unwrap().changed);
    assert!(!keep(&second).unwrap().changed);
    assert_eq!(keep(&first).unwrap_err().code(), Some(Code::RollbackRl));

    let stream = "base".parse().unwrap();
    let a = Digest::sha256(b"a");
    let standing = |in_use| {
        let revoked = directory.revoked().unwrap();
        match revoked.standing(&stream, &a, in_use) {
            Standing::Clear => "clear",
            Standing::Blocked(_) => "blocked",
            Standing::Alarm(_) => "alarm",
        }
    };
    assert_eq!((standing(false), standing(true)), ("blocked", "alarm"));
    // The publisher joins in under the very list that is known.
    let mut joined = second.clone();
    joined.add_signatures(&signers(&scene.publisher)).unwrap();
    assert!(keep(&joined).unwrap().changed);
    assert_eq!(standing(true), "blocked");

    let damaged = folder.path().join("revocations").join(Digest::sha256(&scene.root).hex());
    for file in std::fs::read_dir(damaged).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert!(!directory.revoked().unwrap_err().is_refusal(), "a list that is gone is damage, and not an empty list");
}

#[test]
fn a_list_of_somebody_who_is_not_enrolled_is_refused() {
    let (scene, other) = (Scene::new(), Scene::new());
    let folder = tempfile::tempdir().unwrap();
    let directory = scene.directory(folder.path());
    let list = other.list(None, &["a"], &[&other.revokers[0], &other.revokers[1]]);
    let refused = directory.keep_revocations(&list.to_bytes().unwrap(), now(), None).unwrap_err();
    assert_eq!(refused.code(), Some(Code::NotEnrolled));
}

#[test]
fn the_list_is_as_published() {
    let key = key();
    let root = std::fs::read(crate::vectors::testdata("vectors/tuf/1.root.json")).unwrap();
    let gone = Entry {
        subject: Subject::Key(key.public_key().id().clone()),
        reason: "the laptop was stolen".parse().unwrap(),
        revoked: now(),
    };
    let mut list = RevocationList::make(&root, None, &terms(), [entry("image"), gone], &BTreeSet::new()).unwrap();
    list.add_signatures(&[&key]).unwrap();
    check("vectors/revocations.json", &list.to_bytes().unwrap());
    list.verify(&open_root(&root).unwrap()).unwrap();
}
