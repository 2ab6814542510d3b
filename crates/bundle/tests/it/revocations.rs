//! Revocation lists that travel in bundles.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use sealock_bundle::archive::Writer;
use sealock_bundle::import::{ImportOutcome, Notice, Terms};
use sealock_bundle::sign::{manifest_of, requests};
use sealock_bundle::verify;
use sealock_bundle::{Archive, Manifest, sign};
use sealock_trust::Digest;
use sealock_trust::request::Subject as Asked;
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use tempfile::TempDir;

use crate::support::{Cargo, Publisher, Site, issued, now, sample, time};

struct Scene {
    folder: TempDir,
    publisher: Publisher,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let publisher = Publisher::new();
        let site = Site::new(&publisher);
        Self { folder: tempfile::tempdir().unwrap(), publisher, site }
    }

    /// The list after `previous` with `digests` more, due at the beginning of 2027.
    fn list(&self, previous: Option<&[u8]>, digests: impl IntoIterator<Item = Digest>) -> Vec<u8> {
        self.list_until(previous, digests, time("2027-01-01T00:00:00Z"))
    }

    fn list_until(
        &self,
        previous: Option<&[u8]>,
        digests: impl IntoIterator<Item = Digest>,
        expires: Timestamp,
    ) -> Vec<u8> {
        let entry = |digest| Entry {
            subject: Subject::Digest(digest),
            reason: "it calls home".parse().unwrap(),
            revoked: issued(),
        };
        let previous = previous.map(|list| RevocationList::read(list).unwrap());
        let terms = ListTerms { issued: issued(), expires };
        let entries = digests.into_iter().map(entry);
        let list = RevocationList::make(&self.publisher.root, previous.as_ref(), &terms, entries, &BTreeSet::new());
        let mut list = list.unwrap();
        list.add_signatures(&[&self.publisher.revoker]).unwrap();
        list.to_bytes().unwrap()
    }

    /// As many entries as a list may have, with much to say of each.
    fn longest(&self) -> Vec<u8> {
        let entry = |number: u32| Entry {
            subject: Subject::Digest(Digest::sha256(&number.to_le_bytes())),
            reason: "it calls home. ".repeat(9).trim_end().parse().unwrap(),
            revoked: issued(),
        };
        let terms = ListTerms { issued: issued(), expires: time("2027-01-01T00:00:00Z") };
        let entries = (0..3000).map(entry);
        let mut list = RevocationList::make(&self.publisher.root, None, &terms, entries, &BTreeSet::new()).unwrap();
        list.add_signatures(&[&self.publisher.revoker]).unwrap();
        list.to_bytes().unwrap()
    }

    fn build(&self, cargo: &Cargo, list: &[u8]) -> PathBuf {
        let path = self.folder.path().join(format!("{}.sealock", cargo.lock.sequence));
        write(cargo, &path, list);
        self.publisher.sign(&path);
        path
    }

    /// The version of the list that the site knows.
    fn known(&self) -> Option<u64> {
        self.site.trust.revoked().unwrap().lists().next().map(|(_, list)| list.version())
    }

    fn notices(&self, bundle: &std::path::Path, terms: &Terms) -> Vec<Notice> {
        match self.site.import_on(bundle, terms).unwrap() {
            ImportOutcome::Published(imported) => imported.notices,
            ImportOutcome::Already(imported) => panic!("{imported:?}"),
        }
    }
}

fn begin(cargo: &Cargo, path: &std::path::Path, list: &[u8]) -> Writer {
    let manifest = Manifest::from_lock(&cargo.lock).unwrap();
    Writer::create_carrying(path, (&cargo.lock, &manifest), Some(list.to_vec())).unwrap()
}

fn write(cargo: &Cargo, path: &std::path::Path, list: &[u8]) {
    let writer = begin(cargo, path, list);
    for blob in writer.missing() {
        let mut slot = writer.slot(&blob.digest).unwrap();
        slot.write(&cargo.contents[&blob.digest]).unwrap();
        slot.finish().unwrap();
    }
    writer.finish().unwrap();
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

#[test]
fn a_list_travels_in_the_header_and_holds_once_the_bundle_is_imported() {
    let scene = Scene::new();
    let list = scene.list(None, [digest("harmful")]);
    let bundle = scene.build(&sample("base", 1), &list);
    assert_eq!(Archive::open(&bundle).unwrap().revocations(), Some(list.as_slice()));
    let names: Vec<String> = tar::Archive::new(fs::File::open(&bundle).unwrap())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    let at = names.iter().position(|name| name == "tuf/targets/revocations.json").unwrap();
    assert_eq!((names[at - 1].as_str(), names[at + 1].as_str()), ("tuf/targets/manifest.json", "pad"));
    let header = verify::header(Archive::open(&bundle).unwrap(), &scene.publisher.against()).unwrap();
    assert_eq!(header.revocations().unwrap().list().version(), 1);

    assert_eq!(scene.notices(&bundle, &Terms::at(now())), []);
    assert_eq!(scene.known(), Some(1));
    let revoked = scene.site.trust.revoked().unwrap();
    assert!(revoked.list_for(&"base".parse().unwrap()).unwrap().of_digest(&digest("harmful")).is_some());
}

#[test]
fn a_list_that_is_valid_by_itself_is_kept_though_the_bundle_is_refused() {
    let scene = Scene::new();
    let mut foreign = sample("base", 1);
    foreign.lock.audience.sites = vec!["plant-8".parse().unwrap()];
    let bundle = scene.build(&foreign, &scene.list(None, [digest("harmful")]));
    assert_eq!(scene.site.import(&bundle).unwrap_err().code().unwrap().as_str(), "AUDIENCE");
    assert_eq!(scene.known(), Some(1));

    // A bundle that nobody signed is none; the list in it is signed all the same.
    let unsigned = scene.folder.path().join("unsigned.sealock");
    let first = scene.list(None, [digest("harmful")]);
    write(&sample("base", 1), &unsigned, &scene.list(Some(&first), [digest("more")]));
    assert_eq!(scene.site.import(&unsigned).unwrap_err().code().unwrap().as_str(), "UNSIGNED");
    assert_eq!(scene.known(), Some(2));
}

#[test]
fn a26_a_bundle_with_something_that_its_own_list_names_is_refused_and_the_list_is_kept() {
    let scene = Scene::new();
    let cargo = sample("base", 1);
    let bundle = scene.build(&cargo, &scene.list(None, [cargo.lock.references[0].digest.clone()]));
    assert_eq!(scene.site.import(&bundle).unwrap_err().code().unwrap().as_str(), "REVOKED");
    assert_eq!(scene.known(), Some(1));
}

#[test]
fn an_older_or_an_expired_list_is_passed_over_and_said() {
    let scene = Scene::new();
    let first = scene.list(None, [digest("harmful")]);
    let second = scene.list(Some(&first), []);
    scene.site.trust.keep_revocations(&second, now(), Some(&scene.site.keys)).unwrap();
    let bundle = scene.build(&sample("base", 1), &first);
    assert_eq!(scene.notices(&bundle, &Terms::at(now())), [Notice::ListOlder { version: 1, known: 2 }]);
    assert_eq!(scene.known(), Some(2));

    let expires = time("2026-11-20T00:00:00Z");
    let third = scene.list_until(Some(&second), [digest("more")], expires);
    let bundle = scene.build(&sample("base", 2), &third);
    assert_eq!(scene.notices(&bundle, &Terms::at(now())), [Notice::CarriedListExpired { expires }]);
    assert_eq!(scene.known(), Some(2));
}

#[test]
fn a26_two_lists_of_one_version_are_equivocation_and_a_forged_one_is_refused() {
    let scene = Scene::new();
    let known = scene.list(None, [digest("harmful")]);
    scene.site.trust.keep_revocations(&known, now(), Some(&scene.site.keys)).unwrap();
    let bundle = scene.build(&sample("base", 1), &scene.list(None, [digest("harmless")]));
    assert_eq!(scene.site.refusal(&bundle), "EQUIVOCATION");
    let stranger = Publisher { root: scene.publisher.root.clone(), ..Publisher::new() };
    let forged = Scene { publisher: stranger, ..Scene::new() }.list(Some(&known), [digest("more")]);
    let bundle = scene.build(&sample("base", 2), &forged);
    assert_eq!(scene.site.refusal(&bundle), "THRESHOLD");
}

#[test]
fn verifying_at_a_station_knows_the_list_that_comes_along_and_writes_nothing() {
    let scene = Scene::new();
    let cargo = sample("base", 1);
    let bundle = scene.build(&cargo, &scene.list(None, [cargo.lock.references[0].digest.clone()]));
    let before = scene.site.snapshot();
    let root = scene.site.trust.root_for(&"base".parse().unwrap()).unwrap();
    let (archive, terms) = (Archive::open(&bundle).unwrap(), Terms::at(now()));
    let judged = scene.site.station().gate().judge(archive, &"base".parse().unwrap(), &root, &terms);
    assert_eq!(judged.unwrap_err().code().unwrap().as_str(), "REVOKED");
    assert_eq!(scene.site.snapshot(), before);
}

#[test]
fn the_longest_list_moves_the_payload_and_nothing_else() {
    let scene = Scene::new();
    let bundle = scene.build(&sample("base", 1), &scene.longest());
    let archive = Archive::open(&bundle).unwrap();
    assert!(archive.header_size() > 1 << 20, "{}", archive.header_size());
    // Signing once more finds the same place for everything.
    sign(&bundle, std::slice::from_ref(&scene.publisher.root), &scene.publisher.signers()).unwrap();
    let header = verify::header(archive, &scene.publisher.against()).unwrap();
    header.check_payload(&mut |_| {}).unwrap();
    assert_eq!(scene.notices(&bundle, &Terms::at(now())), []);
}

#[test]
fn a_build_that_was_cut_off_is_not_taken_up_with_another_list() {
    let scene = Scene::new();
    let cargo = sample("base", 1);
    let path = scene.folder.path().join("1.sealock");
    let short = scene.list(None, [digest("harmful")]);
    let writer = begin(&cargo, &path, &short);
    let blob = writer.missing().remove(0);
    let mut slot = writer.slot(&blob.digest).unwrap();
    slot.write(&cargo.contents[&blob.digest]).unwrap();
    slot.finish().unwrap();
    writer.checkpoint().unwrap();
    let count = writer.missing().len();
    drop(writer);
    assert_eq!(begin(&cargo, &path, &short).missing().len(), count);

    let longest = scene.longest();
    assert_eq!(begin(&cargo, &path, &longest).missing().len(), count + 1);
    let bundle = scene.build(&cargo, &longest);
    verify::header(Archive::open(&bundle).unwrap(), &scene.publisher.against())
        .unwrap()
        .check_payload(&mut |_| {})
        .unwrap();
}

#[test]
fn keyholders_elsewhere_see_the_list_and_vendors_do_not_lose_it() {
    let scene = Scene::new();
    let list = scene.list(None, [digest("harmful")]);
    let bundle = scene.build(&sample("base", 1), &list);
    let roots = std::slice::from_ref(&scene.publisher.root);
    let shown = requests(&bundle, roots).unwrap().publisher.request;
    let Asked::Bundle { revocations, .. } = shown.subject() else { panic!("a bundle") };
    assert_eq!(revocations.as_ref(), Some(&Digest::sha256(&list)));
    assert_eq!(manifest_of(&shown).unwrap().unwrap().sequence, 1);

    scene.publisher.sign(&bundle);
    let header = verify::header(Archive::open(&bundle).unwrap(), &scene.publisher.against()).unwrap();
    assert!(header.revocations().is_some());
}
