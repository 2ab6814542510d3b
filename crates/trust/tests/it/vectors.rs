//! Test vectors: what these formats look like to the byte, for whoever writes a second implementation.
//!
//! Made with the Ed25519 key of `testdata/openssl`, whose signatures are the same each time. A change here is a change
//! of a published format: the version and the format's page change with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_trust::break_glass::BreakGlass;
use sealock_trust::directory::Mirror;
use sealock_trust::reason::Code;
use sealock_trust::receipt::{Exception, Verdict};
use sealock_trust::request::{RootDraft, SigningRequest, Subject};
use sealock_trust::resolution::ResolveState;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::tuf::{Delegations, RootSpec, TargetFile, VendorPlan, create_root, prepare, sign_manifest, verify};
use sealock_trust::{
    Digest, FileKey, KeySet, Passphrase, PublicKey, Receipt, RoleName, Signer, SiteKeys, SiteRoot, TrustDirectory,
};

use crate::world::{MANIFEST, now, terms, time};

pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

pub(crate) fn key() -> FileKey {
    let path = testdata("openssl/ed25519.pbkdf2.pem");
    FileKey::load(&path, Passphrase::new("correct-horse").as_ref()).unwrap()
}

/// The Ed25519 key, and a P-256 key whose PEM form brings line feeds into the signed text.
fn either() -> KeySet {
    let pem = fs::read_to_string(testdata("openssl/p256.pub.pem")).unwrap();
    KeySet::new([key().public_key().clone(), PublicKey::from_pem(&pem).unwrap()], 1).unwrap()
}

pub(crate) fn check(name: &str, bytes: &[u8]) {
    let path = testdata(name);
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        let made = std::env::temp_dir().join(name.replace('/', "-"));
        fs::write(&made, bytes).unwrap();
        panic!("{} is not what was made now, see {}", path.display(), made.display());
    }
}

#[test]
fn trust_metadata_is_as_published() {
    let key = key();
    let spec = RootSpec {
        expires: time("2029-01-01T00:00:00Z"),
        root: either(),
        publisher: either(),
        revoker: Some(KeySet::new([key.public_key().clone()], 1).unwrap()),
    };
    let root = create_root(&spec, &[&key]).unwrap();
    let set = sign_manifest(std::slice::from_ref(&root), MANIFEST, &terms(3), &[&key]).unwrap();
    for (name, bytes) in set.files() {
        check(&format!("vectors/tuf/{name}"), bytes);
    }
    assert_eq!(verify(&root, &set, MANIFEST, now(), None).unwrap().sequence(), 3);
}

#[test]
fn delegations_and_what_goes_to_a_vendor_are_as_published() {
    let key = key();
    let acme: RoleName = "acme".parse().unwrap();
    let mut delegations = Delegations::default();
    delegations.delegate(&acme, &either(), &["quay.io/acme".parse().unwrap()]).unwrap();
    check("vectors/delegations/delegations.json", &delegations.to_bytes().unwrap());

    let hashes = BTreeMap::from([("sha256".to_owned(), Digest::sha256(b"app").hex().to_owned())]);
    let target = TargetFile { length: 3, hashes, custom: None };
    let targets = BTreeMap::from([(acme.clone(), BTreeMap::from([("quay.io/acme/app:v1".to_owned(), target)]))]);
    let plan = VendorPlan { delegations, targets, ..VendorPlan::default() };
    let spec = RootSpec { expires: time("2029-01-01T00:00:00Z"), root: either(), publisher: either(), revoker: None };
    let root = create_root(&spec, &[&key]).unwrap();
    let mut set = prepare(&[root], MANIFEST, &terms(3), Some(&plan)).unwrap();
    let request = SigningRequest::for_vendor(&set, &acme).unwrap();
    check("vectors/delegations/acme.request.json", &request.to_bytes().unwrap());
    check("vectors/delegations/acme.signature.json", &request.sign(&key).unwrap().to_bytes().unwrap());
    set.add_vendor_signatures(&acme, &[&key]).unwrap();
    check("vectors/delegations/acme.json", &set.delegated[&acme]);
}

#[test]
fn requests_signatures_and_drafts_are_as_published() {
    let key = key();
    let spec = RootSpec { expires: time("2029-01-01T00:00:00Z"), root: either(), publisher: either(), revoker: None };
    let root = create_root(&spec, &[&key]).unwrap();
    let set = sign_manifest(std::slice::from_ref(&root), MANIFEST, &terms(3), &[]).unwrap();
    let request = SigningRequest::for_bundle(&set, MANIFEST).unwrap();
    check("vectors/signing/bundle.request.json", &request.to_bytes().unwrap());
    check("vectors/signing/bundle.signature.json", &request.sign(&key).unwrap().to_bytes().unwrap());

    let mut draft = RootDraft::new(Some(&root), &spec).unwrap();
    check("vectors/signing/2.root.request.json", &draft.request().to_bytes().unwrap());
    check("vectors/signing/2.root.signature.json", &draft.request().sign(&key).unwrap().to_bytes().unwrap());
    draft.sign(&[&key]).unwrap();
    check("vectors/signing/2.root.draft.json", &draft.to_bytes().unwrap());
    check("vectors/signing/2.root.json", &draft.finished().unwrap().unwrap());
}

#[test]
fn the_site_root_and_its_receipt_are_as_published() {
    let key = key();
    let only = KeySet::new([key.public_key().clone()], 1).unwrap();
    let spec = SiteRootSpec {
        id: "plant-7".parse().unwrap(),
        issued: now(),
        classification: None,
        root: only.clone(),
        site: only,
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry: Registry {
            name: "registry.plant-7.internal".to_owned(),
            address: "10.77.0.2:443".to_owned(),
            ca: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
        },
    };
    let site_root = SiteRoot::create(&spec, &[&key]).unwrap();
    check("vectors/site-root.json", site_root.as_bytes());

    // Generation 1 of a state that knows nothing but its site.
    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    directory.keep_site_root(&SiteKeys::new(site_root, Box::new(self::key())).unwrap()).unwrap();
    check("vectors/trust-mirror.json", &directory.signed_generation().unwrap().unwrap());

    let receipt = Receipt {
        manifest: Digest::sha256(MANIFEST),
        site: spec.id,
        stream: "base".parse().unwrap(),
        sequence: 3,
        verdict: Verdict::Refused,
        code: Some("AUDIENCE".to_owned()),
        held: Vec::new(),
        issued: now(),
        generation: Some(12),
        exceptions: vec![Exception::Gap { first: 1, last: 2 }],
    };
    check("vectors/receipt.json", &receipt.sign(&key).unwrap());
}

#[test]
fn a_token_that_settles_an_older_state_is_as_published() {
    let reason = "the disk vendor restored it".parse().unwrap();
    let mirror = Mirror { state: Some(Digest::sha256(b"a state")), ..Mirror::of("the node cp1".to_owned(), 12) };
    let token = ResolveState::new("plant-7".parse().unwrap(), (9, mirror), time("2026-11-24T12:00:00Z"), reason);
    check("vectors/resolve-state.json", &token.sign(&[&key()]).unwrap());
}

#[test]
fn a_request_for_a_bundle_with_a_revocation_list_is_as_published() {
    let spec = RootSpec { expires: time("2029-01-01T00:00:00Z"), root: either(), publisher: either(), revoker: None };
    let root = create_root(&spec, &[&key()]).unwrap();
    let mut set = sign_manifest(std::slice::from_ref(&root), MANIFEST, &terms(3), &[&key()]).unwrap();
    let list = fs::read(testdata("vectors/revocations.json")).unwrap();
    set.promise_revocations(Some(&list)).unwrap();
    assert_eq!(set.claimed_signers().unwrap(), [], "what was signed did not promise it");
    let request = SigningRequest::for_bundle(&set, MANIFEST).unwrap();
    check("vectors/signing/bundle-with-list.request.json", &request.to_bytes().unwrap());
    let Subject::Bundle { revocations, .. } = request.subject() else { panic!("a bundle") };
    assert_eq!(revocations, &Some(Digest::sha256(&list)));

    // Said in another way, it would be signed without being shown.
    set.add_signatures(&[&key()]).unwrap();
    let said = String::from_utf8(set.targets.clone()).unwrap();
    let hidden = said.replacen("\"revocations.json\":{", "\"revocations.json\":{\"custom\":{\"a\":1},", 1);
    assert_ne!(said, hidden);
    set.targets = hidden.into_bytes();
    assert_eq!(SigningRequest::for_bundle(&set, MANIFEST).unwrap_err().code(), Some(Code::Subject));
}

#[test]
fn a_token_that_breaks_a_glass_is_as_published() {
    let reason = "the pumps stand still".parse().unwrap();
    let token =
        BreakGlass::new("plant-7".parse().unwrap(), Digest::sha256(MANIFEST), time("2026-11-24T12:00:00Z"), reason);
    check("vectors/break-glass.json", &token.sign(&[&key()]).unwrap());
}
