//! Vendors: publishers delegate names, vendors vouch for them, and a site holds both to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::import::{ImportError, ImportOutcome};
use sealock_bundle::lock::LockError;
use sealock_bundle::vendors::{self, VendorsError, Words};
use sealock_bundle::verify::{self, VerifiedHeader, VerifyError};
use sealock_bundle::{Archive, Lock, Manifest, sign};
use sealock_trust::reason::Code;
use sealock_trust::request::{SignatureFile, SigningRequest};
use sealock_trust::tuf::{self, Delegations, TargetFile, Terms, VendorPlan, prepare};
use sealock_trust::{FileKey, KeySet, NamePrefix, RoleName, Scheme, Signer};

use crate::support::{Cargo, Publisher, Site, noise, now};

const APP: &str = "files.example/app:1";
const OTHER: &str = "files.example/other:1";

fn acme() -> RoleName {
    "acme".parse().unwrap()
}

fn names(texts: &[&str]) -> Vec<NamePrefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A publisher, and the vendor `acme` with two keys, both needed, who has `app` and `tool`.
struct World {
    folder: tempfile::TempDir,
    publisher: Publisher,
    acme: Vec<FileKey>,
}

impl World {
    fn new() -> Self {
        let acme = [Scheme::EcdsaP384, Scheme::Ed25519].map(|scheme| FileKey::generate(scheme).unwrap()).into();
        Self { folder: tempfile::tempdir().unwrap(), publisher: Publisher::new(), acme }
    }

    fn delegations(&self) -> Delegations {
        let keys = KeySet::new(self.acme.iter().map(|key| key.public_key().clone()), 2).unwrap();
        let mut delegations = Delegations::default();
        delegations.delegate(&acme(), &keys, &names(&["files.example/app", "files.example/tool"])).unwrap();
        delegations
    }

    fn cargo(&self, sequence: u64, app: &[u8]) -> Cargo {
        let own = format!("number {sequence}").into_bytes();
        let mut cargo = Cargo::of_files("base", sequence, &[("app", app.to_vec()), ("other", own)]);
        cargo.lock = cargo.lock.delegating(Some(&self.delegations())).unwrap();
        cargo
    }

    fn write(&self, cargo: &Cargo, name: &str) -> PathBuf {
        cargo.write(&self.folder.path().join(name))
    }

    /// Built and signed by the publisher; `words` is what vendors have signed before.
    fn build(&self, cargo: &Cargo, words: &Words) -> PathBuf {
        let path = self.write(cargo, &format!("bundle-{}", cargo.lock.sequence));
        sign::sign_with(&path, self.roots(), words, &self.publisher.signers()).unwrap();
        path
    }

    fn roots(&self) -> &[Vec<u8>] {
        std::slice::from_ref(&self.publisher.root)
    }

    /// The answers of `keys` to the request that goes out of `bundle` to the vendor.
    fn answers(&self, bundle: &Path, keys: &[FileKey]) -> Vec<SignatureFile> {
        let requests = sign::requests(bundle, self.roots()).unwrap();
        let bytes = requests.vendors[0].1.request.to_bytes().unwrap();
        // At the vendor's: nothing but the request is at hand.
        let request = SigningRequest::from_bytes(&bytes).unwrap();
        assert!(sign::manifest_of(&request).unwrap().is_none());
        keys.iter().map(|key| request.sign(key).unwrap()).collect()
    }

    /// The bundle with everything signed, and the vendor's words.
    fn whole(&self, cargo: &Cargo, words: &Words) -> (PathBuf, Words) {
        let path = self.build(cargo, words);
        let answers = self.answers(&path, &self.acme);
        sign::merge(&path, self.roots(), &answers).unwrap();
        let words = sign::words(&path).unwrap();
        (path, words)
    }

    fn verdict(&self, path: &Path) -> Result<VerifiedHeader, VerifyError> {
        verify::header(Archive::open(path).unwrap(), &self.publisher.against())
    }

    fn code(&self, path: &Path) -> Option<Code> {
        self.verdict(path).unwrap_err().code()
    }
}

#[test]
fn a_vendor_vouches_for_its_artifacts_in_the_publishers_bundle() {
    let world = World::new();
    let path = world.build(&world.cargo(1, b"app"), &Words::new());
    assert_eq!(world.code(&path), Some(Code::Unsigned), "the vendor has not signed");
    let payload = |path: &Path| fs::read(path).unwrap().split_off(1 << 20);
    let before = payload(&path);

    let answers = world.answers(&path, &world.acme);
    let (_, merged, tally) = sign::merge(&path, world.roots(), &answers[..1]).unwrap();
    assert_eq!((merged.added.len(), tally.len(), tally[1].met), (1, 2, false));
    assert_eq!(world.code(&path), Some(Code::Threshold));
    let (_, merged, tally) = sign::merge(&path, world.roots(), &answers).unwrap();
    assert_eq!((merged.added.len(), merged.known.len()), (1, 1));
    assert!(tally.iter().all(|role| role.met));
    assert!(payload(&path) == before, "signing rewrites the header only");

    let header = world.verdict(&path).unwrap();
    assert_eq!((header.vendor_of(APP), header.vendor_of(OTHER)), (Some(&acme()), None));
    assert_eq!(header.trust().vendors()[0].signers.len(), 2);
    header.check_payload(&mut |_| {}).unwrap();
}

#[test]
fn who_signs_first_makes_no_difference() {
    let world = World::new();
    let path = world.write(&world.cargo(1, b"app"), "one");
    sign::sign(&path, world.roots(), &[]).unwrap();
    let (asked, answers) = (sign::requests(&path, world.roots()).unwrap(), world.answers(&path, &world.acme));
    sign::merge(&path, world.roots(), &answers).unwrap();
    sign::sign(&path, world.roots(), &world.publisher.signers()).unwrap();
    world.verdict(&path).unwrap();
    let again = sign::requests(&path, world.roots()).unwrap();
    for (before, after) in asked.all().zip(again.all()) {
        assert_eq!(before.request.digest(), after.request.digest());
    }
}

#[test]
fn the_publishers_key_or_a_strangers_does_not_speak_for_the_vendor() {
    let world = World::new();
    let path = world.build(&world.cargo(1, b"app"), &Words::new());
    let requests = sign::requests(&path, world.roots()).unwrap();
    let stranger = FileKey::generate(Scheme::Ed25519).unwrap();
    for key in [&world.publisher.keys[0], &stranger] {
        assert_eq!(requests.vendors[0].1.request.sign(key).unwrap_err().code(), Some(Code::Scope));
    }
    assert_eq!(requests.of_signer(&stranger).unwrap_err().code(), Some(Code::Scope));
    assert_eq!(requests.of_signer(&world.acme[0]).unwrap().len(), 1);
}

#[test]
fn what_a_vendor_signed_serves_again_while_it_is_about_the_same_content() {
    let world = World::new();
    let (_, words) = world.whole(&world.cargo(1, b"app"), &Words::new());
    let next = world.build(&world.cargo(2, b"app"), &words);
    let header = world.verdict(&next).unwrap();
    assert_eq!((header.trust().sequence(), header.trust().vendors()[0].version), (2, 1), "nobody was asked");

    let changed = world.cargo(3, b"other app");
    let (plan, unfit) = vendors::plan(&Manifest::from_lock(&changed.lock).unwrap(), &words);
    assert_eq!(plan.unwrap().words.len(), 0);
    let said = unfit[0].to_string();
    assert!(said.contains(APP) && said.contains("other content"), "{said}");
    let third = world.build(&changed, &words);
    assert_eq!(world.code(&third), Some(Code::Unsigned), "the vendor is asked anew");
}

#[test]
fn the_next_file_of_a_vendor_is_never_older_than_the_one_before() {
    let world = World::new();
    let (_, words) = world.whole(&world.cargo(7, b"app"), &Words::new());
    let mut elsewhere = world.cargo(1, b"other app");
    elsewhere.lock.stream = "apps".parse().unwrap();
    let path = world.build(&elsewhere, &words);
    let request = &sign::requests(&path, world.roots()).unwrap().vendors[0].1.request;
    let sealock_trust::request::Subject::Vendor { targets, .. } = request.subject() else {
        panic!("a vendor is asked")
    };
    assert_eq!(targets.version, 8, "the stream is at 1, the vendor was at 7");
}

#[test]
fn a_word_that_ends_before_the_bundle_ages_does_not_serve() {
    let world = World::new();
    let (_, words) = world.whole(&world.cargo(1, b"app"), &Words::new());
    let mut late = world.cargo(2, b"app");
    late.lock.soft_expiry = late.lock.expires;
    let (_, unfit) = vendors::plan(&Manifest::from_lock(&late.lock).unwrap(), &words);
    assert!(unfit[0].to_string().contains("expires"), "{}", unfit[0]);
    let garbage = Words::from([(acme(), b"{}".to_vec())]);
    let (_, unfit) = vendors::plan(&Manifest::from_lock(&late.lock).unwrap(), &garbage);
    assert!(unfit[0].to_string().contains("not believed"), "{}", unfit[0]);
}

#[test]
fn a_vendor_who_spoke_while_nobody_had_signed_is_taken_in() {
    let world = World::new();
    let (_, words) = world.whole(&world.cargo(1, b"app"), &Words::new());
    let path = world.write(&world.cargo(2, b"app"), "two");
    sign::sign_with(&path, world.roots(), &Words::new(), &[]).unwrap();
    assert!(!sign::requests(&path, world.roots()).unwrap().vendors[0].1.tally[0].met);
    sign::sign_with(&path, world.roots(), &words, &world.publisher.signers()).unwrap();
    world.verdict(&path).unwrap();
}

#[test]
fn the_lock_holds_the_delegations_that_its_names_ask_for() {
    let world = World::new();
    let mut all = world.delegations();
    let zeta = FileKey::generate(Scheme::Ed25519).unwrap();
    let keys = KeySet::new([zeta.public_key().clone()], 1).unwrap();
    all.delegate(&"zeta".parse().unwrap(), &keys, &names(&["quay.io/zeta"])).unwrap();
    let cargo = world.cargo(1, b"app");
    let lock = cargo.lock.clone().delegating(Some(&all)).unwrap();
    assert_eq!(lock.delegations, Some(world.delegations()), "nobody asks zeta");
    assert_eq!(Lock::from_bytes(&lock.to_bytes().unwrap()).unwrap(), lock);
    assert_eq!(Manifest::from_lock(&lock).unwrap().delegations, lock.delegations);
    let forged = Lock { delegations: Some(all), ..lock };
    assert!(matches!(forged.to_bytes(), Err(LockError::Inconsistent(_))));
    let none =
        Cargo::of_files("base", 1, &[("other", Vec::new())]).lock.delegating(Some(&world.delegations())).unwrap();
    assert_eq!(none.delegations, None);
}

#[test]
fn a_name_below_a_prefix_that_the_delegation_does_not_reach_is_told() {
    let world = World::new();
    let delegations = world.delegations();
    let deep = |levels: usize| format!("files.example/app{}:1", "/x".repeat(levels));
    let concerned = |name: &str| vendors::concerned(&delegations, [name].into_iter());
    assert!(concerned(&deep(8)).unwrap().is_some());
    let error = concerned(&deep(9)).unwrap_err();
    assert!(matches!(error, VendorsError::TooDeep { .. }) && error.code() == Code::Limit, "{error}");
    let many: Vec<String> = (0..=vendors::MAX_ARTIFACTS).map(|number| format!("files.example/app:{number}")).collect();
    let error = vendors::concerned(&delegations, many.iter().map(String::as_str)).unwrap_err();
    assert!(matches!(error, VendorsError::TooMany { .. }), "{error}");
}

#[test]
fn the_header_has_room_for_what_a_vendor_signs() {
    let world = World::new();
    let files: Vec<(String, Vec<u8>)> =
        (0..1500).map(|number| (format!("app/{}-{number}", "long".repeat(25)), noise(number, 8))).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let mut cargo = Cargo::of_files("base", 1, &files);
    let bare = Archive::open(&world.write(&cargo, "bare")).unwrap().header_size();
    cargo.lock = cargo.lock.delegating(Some(&world.delegations())).unwrap();
    let (path, words) = world.whole(&cargo, &Words::new());
    let word = words[&acme()].len() as u64;
    let header = world.verdict(&path).unwrap().archive().header_size();
    assert!(word > 300_000 && header >= bare, "{word} {header} {bare}");
}

#[test]
fn nobody_signs_metadata_that_delegates_otherwise_than_the_manifest() {
    let world = World::new();
    let cargo = world.cargo(1, b"app");
    let (manifest, roots) = (Manifest::from_lock(&cargo.lock).unwrap(), world.roots());
    let bytes = manifest.to_bytes().unwrap();
    let terms = Terms { sequence: 1, issued: manifest.issued, expires: manifest.expires };
    // The publisher's keys signed both; the vendor was left out of the metadata.
    let set = tuf::sign_manifest(roots, &bytes, &terms, &world.publisher.signers()).unwrap();
    let request = SigningRequest::for_bundle(&set, &bytes).unwrap();
    assert_eq!(sign::manifest_of(&request).unwrap_err().code(), Some(Code::Subject));
}

#[test]
fn what_the_vendor_leaves_out_or_knows_with_other_content_is_refused() {
    let world = World::new();
    let cargo = world.cargo(1, b"app");
    let manifest = Manifest::from_lock(&cargo.lock).unwrap();
    let bytes = manifest.to_bytes().unwrap();
    let lie = |change: &dyn Fn(&mut BTreeMap<String, TargetFile>)| {
        let digest = manifest.reference(APP).unwrap().digest.hex().to_owned();
        let target = TargetFile { length: 1, hashes: [("sha256".to_owned(), digest)].into(), custom: None };
        let mut targets = BTreeMap::from([(APP.to_owned(), target)]);
        change(&mut targets);
        let delegations = world.delegations();
        let plan = VendorPlan { delegations, targets: [(acme(), targets)].into(), ..VendorPlan::default() };
        let terms = Terms { sequence: 1, issued: manifest.issued, expires: manifest.expires };
        let mut set = prepare(world.roots(), &bytes, &terms, Some(&plan)).unwrap();
        set.add_signatures(&world.publisher.signers()).unwrap();
        let signers: Vec<&dyn Signer> = world.acme.iter().map(|key| key as &dyn Signer).collect();
        set.add_vendor_signatures(&acme(), &signers).unwrap();
        let verified = tuf::verify(&world.publisher.root, &set, &bytes, now(), None).unwrap();
        verify::check_vendors(&manifest, &verified).map_err(|error| error.code().unwrap())
    };
    assert_eq!(lie(&|_| {}), Ok(()));
    assert_eq!(lie(&|targets| drop(targets.pop_first())), Err(Code::Unsigned));
    let swapped = |targets: &mut BTreeMap<String, TargetFile>| {
        let first = targets.values_mut().next().unwrap();
        first.hashes.insert("sha256".to_owned(), "00".repeat(32));
    };
    assert_eq!(lie(&swapped), Err(Code::Subject));
}

#[test]
fn a_release_says_who_vouched_for_what() {
    let world = World::new();
    let site = Site::new(&world.publisher);
    let (path, _) = world.whole(&world.cargo(1, b"app"), &Words::new());
    let ImportOutcome::Published(_) = site.import(&path).unwrap() else { panic!("it is new") };
    let release = site.store.current_release(site.keys.key_set()).unwrap().unwrap().release;
    let vendor = |name: &str| release.resolve(name).unwrap().vendor.clone();
    assert_eq!((vendor(APP), vendor(OTHER)), (Some(acme()), None));
    assert_eq!(release.streams[0].publisher, Some(sealock_trust::Digest::sha256(&world.publisher.root)));
}

/// Two publishers on one site: whoever is enrolled for some names cannot be first with those of others.
#[test]
fn a_publisher_of_apps_cannot_claim_a_name_of_the_base() {
    let (folder, base, apps) = (tempfile::tempdir().unwrap(), Publisher::new(), Publisher::new());
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-7");
    site.enroll(&base, "base");
    site.enroll_for(&apps, "apps", "files.example/shop");
    let claim = Cargo::of_files("apps/shop", 1, &[("shop", b"shop".to_vec()), ("kube-apiserver", b"evil".to_vec())]);
    let path = claim.build(folder.path(), &apps);
    assert_eq!(site.refusal(&path), "SCOPE");
    let error = site.import(&path).unwrap_err();
    assert!(matches!(error, ImportError::Verify(VerifyError::Trust(tuf::TrustError::ForeignName { .. }))), "{error}");

    site.import(&Cargo::of_files("base", 1, &[("kube-apiserver", b"real".to_vec())]).build(folder.path(), &base))
        .unwrap();
    let honest = Cargo::of_files("apps/shop", 2, &[("shop", b"shop".to_vec())]);
    site.import(&honest.build(folder.path(), &apps)).unwrap();
}
