//! The site root and its receipts.

use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::receipt::{Exception, Verdict};
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::{Digest, FileKey, Receipt, SiteKeys, SiteRoot, TrustDirectory};
use serde_json::Value;

use crate::world::{key_set, keys, now, signers};

fn spec(root: &[FileKey], site: &[FileKey]) -> SiteRootSpec {
    SiteRootSpec {
        id: "plant-7".parse().unwrap(),
        issued: now(),
        classification: Some("restricted".to_owned()),
        root: key_set(root, 2),
        site: key_set(site, 1),
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry: Registry {
            name: "registry.plant-7.internal".to_owned(),
            address: "10.77.0.2:443".to_owned(),
            ca: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
        },
    }
}

fn receipt() -> Receipt {
    Receipt {
        manifest: Digest::sha256(b"manifest"),
        site: "plant-7".parse().unwrap(),
        stream: "base".parse().unwrap(),
        sequence: 4,
        verdict: Verdict::Accepted,
        code: None,
        held: vec![Digest::sha256(b"manifest"), Digest::sha256(b"older")],
        issued: now(),
        generation: Some(12),
        exceptions: vec![Exception::Gap { first: 1, last: 2 }],
    }
}

#[test]
fn a_site_root_is_read_again_as_it_was_made() {
    let (root_keys, site_keys) = (keys(2), keys(1));
    let made = SiteRoot::create(&spec(&root_keys, &site_keys), &signers(&root_keys)).unwrap();
    let read = SiteRoot::open(made.as_bytes()).unwrap();
    assert_eq!(read, made);
    assert_eq!((read.id().as_str(), read.version(), read.classification()), ("plant-7", 1, Some("restricted")));
    assert_eq!(read.fingerprint(), Digest::sha256(made.as_bytes()));
    assert_eq!(read.registry().address, "10.77.0.2:443");
}

#[test]
fn a_site_root_needs_its_own_threshold() {
    let (root_keys, site_keys) = (keys(2), keys(1));
    let alone = SiteRoot::create(&spec(&root_keys, &site_keys), &signers(&root_keys[..1])).unwrap_err();
    assert_eq!(alone.code(), Some(Code::Threshold));
    let stranger = SiteRoot::create(&spec(&root_keys, &site_keys), &signers(&keys(2))).unwrap_err();
    assert_eq!(stranger.code(), Some(Code::Threshold));
}

#[test]
fn no_byte_of_a_site_root_can_change_unnoticed() {
    let (root_keys, site_keys) = (keys(2), keys(1));
    let made = SiteRoot::create(&spec(&root_keys, &site_keys), &signers(&root_keys)).unwrap();
    for place in 0..made.as_bytes().len() {
        let mut changed = made.as_bytes().to_vec();
        changed[place] ^= 1;
        assert!(SiteRoot::open(&changed).is_err(), "byte {place}");
    }
}

#[test]
fn a_site_root_is_followed_by_the_next_version_under_both_thresholds_only() {
    let (old, new, site_keys) = (keys(2), keys(2), keys(1));
    let first = SiteRoot::create(&spec(&old, &site_keys), &signers(&old)).unwrap();
    let both: Vec<_> = signers(&old).into_iter().chain(signers(&new)).collect();
    let second = first.rotate(&spec(&new, &site_keys), &both).unwrap();
    assert_eq!(second.version(), 2);
    assert_eq!(first.rotate(&spec(&new, &site_keys), &signers(&new)).unwrap_err().code(), Some(Code::RootSig));
    assert_eq!(first.accept_next(first.as_bytes()).unwrap_err().code(), Some(Code::RootGap));
    let elsewhere = SiteRootSpec { id: "plant-8".parse().unwrap(), ..spec(&new, &site_keys) };
    assert_eq!(first.rotate(&elsewhere, &both).unwrap_err().code(), Some(Code::Subject));

    let folder = tempfile::tempdir().unwrap();
    let directory = TrustDirectory::open(folder.path()).unwrap();
    assert!(directory.site_root().unwrap().is_none());
    let as_site = |root: &SiteRoot| {
        let key = FileKey::load(&folder.path().join("site.pem"), None).unwrap();
        SiteKeys::new(root.clone(), Box::new(key)).unwrap()
    };
    site_keys[0].save(&folder.path().join("site.pem"), None).unwrap();
    directory.keep_site_root(&as_site(&first)).unwrap();
    directory.keep_site_root(&as_site(&second)).unwrap();
    directory.keep_site_root(&as_site(&second)).unwrap();
    assert_eq!(directory.keep_site_root(&as_site(&first)).unwrap_err().code(), Some(Code::RootGap));
    assert_eq!(directory.site_root().unwrap(), Some(second));
}

#[test]
fn only_a_key_of_the_site_signs_for_it() {
    let (root_keys, mut site_keys, mut others) = (keys(2), keys(1), keys(1));
    let root = SiteRoot::create(&spec(&root_keys, &site_keys), &signers(&root_keys)).unwrap();
    let refused = SiteKeys::new(root.clone(), Box::new(others.remove(0))).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Scope));
    let site = SiteKeys::new(root, Box::new(site_keys.remove(0))).unwrap();
    let signed = receipt().sign(site.signer()).unwrap();
    assert_eq!(Receipt::verify(&signed, site.key_set()).unwrap(), receipt());
}

#[test]
fn a_receipt_of_another_signer_or_of_another_kind_is_refused() {
    let (site_keys, others) = (keys(1), keys(1));
    let signed = receipt().sign(&site_keys[0]).unwrap();
    let refusal = Receipt::verify(&signed, &key_set(&others, 1)).unwrap_err();
    assert_eq!(refusal.code(), Some(Code::Threshold));

    let statement = sealock_trust::dsse::Envelope::from_json(&signed).unwrap();
    let payload = statement.unverified(sealock_trust::receipt::PAYLOAD_TYPE).unwrap();
    let edits: [(&str, Value); 4] = [
        ("predicateType", "https://slsa.dev/provenance/v1".into()),
        ("_type", "https://in-toto.io/Statement/v0.1".into()),
        ("subject", Value::Array(Vec::new())),
        ("extra", 1.into()),
    ];
    for (field, value) in edits {
        let mut edited: Value = serde_json::from_slice(payload).unwrap();
        edited[field] = value;
        let payload = jcs::to_vec(&edited).unwrap();
        let payload_type = sealock_trust::receipt::PAYLOAD_TYPE;
        let envelope = sealock_trust::dsse::Envelope::sign(payload_type, &payload, &signers(&site_keys)).unwrap();
        let refused = Receipt::verify(&envelope.to_json().unwrap(), &key_set(&site_keys, 1)).unwrap_err();
        assert!([Some(Code::Subject), Some(Code::Format)].contains(&refused.code()), "{field}: {refused}");
    }
}

#[test]
fn a_receipt_is_a_statement_that_other_tools_can_read() {
    let key = FileKey::load(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openssl/ed25519.pbkdf2.pem"),
        sealock_trust::Passphrase::new("correct-horse").as_ref(),
    )
    .unwrap();
    let signed = receipt().sign(&key).unwrap();
    let envelope = sealock_trust::dsse::Envelope::from_json(&signed).unwrap();
    let payload = envelope.unverified("application/vnd.in-toto+json").unwrap();
    let statement: Value = serde_json::from_slice(payload).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&statement).unwrap());
}
