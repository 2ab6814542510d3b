//! Signatures of people and machines that never meet: a request goes out, signature files come back.

use sealock_trust::reason::Code;
use sealock_trust::request::{RequestError, RootDraft, SignatureFile, SigningRequest, Subject};
use sealock_trust::tuf::{MetadataSet, Terms, open_root, sign_manifest};
use sealock_trust::{FileKey, KeySet, Scheme, Signer};

use crate::world::{MANIFEST, Publisher, key_set, keys, root_spec, signers, terms, time};

fn unsigned(publisher: &Publisher, terms: &Terms) -> MetadataSet {
    sign_manifest(&publisher.roots, MANIFEST, terms, &[]).unwrap()
}

fn request(publisher: &Publisher) -> SigningRequest {
    SigningRequest::for_bundle(&unsigned(publisher, &terms(1)), MANIFEST).unwrap()
}

/// The signature as it comes back: through a file.
fn answer(request: &SigningRequest, key: &FileKey) -> SignatureFile {
    let carried = SigningRequest::from_bytes(&request.to_bytes().unwrap()).unwrap();
    SignatureFile::from_bytes(&carried.sign(key).unwrap().to_bytes().unwrap()).unwrap()
}

fn merge(set: &mut MetadataSet, files: &[SignatureFile]) -> Result<(), RequestError> {
    let request = SigningRequest::for_bundle(set, MANIFEST)?;
    let mut signatures = set.signatures()?;
    request.merge(&mut signatures, files)?;
    set.set_signatures(&signatures)?;
    Ok(())
}

fn code(error: &RequestError) -> Code {
    assert!(error.is_refusal());
    error.code().unwrap()
}

#[test]
fn two_keyholders_who_never_meet_sign_one_bundle() {
    let publisher = Publisher::new();
    let request = request(&publisher);
    let mut set = unsigned(&publisher, &terms(1));
    merge(&mut set, &[answer(&request, &publisher.keys[1])]).unwrap();
    assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Threshold);
    let tally = &request.tally(&set.signatures().unwrap()).unwrap()[0];
    assert!(!tally.met);
    assert_eq!(tally.signed, [publisher.keys[1].public_key().id().clone()]);
    assert_eq!(tally.missing, [publisher.keys[0].public_key().id().clone()]);

    merge(&mut set, &[answer(&request, &publisher.keys[0])]).unwrap();
    assert_eq!(publisher.verify(&set).unwrap().signers().len(), 2);
    assert!(request.tally(&set.signatures().unwrap()).unwrap()[0].met);
}

#[test]
fn a_request_is_the_same_whoever_has_signed_meanwhile() {
    let publisher = Publisher::new();
    let first = request(&publisher);
    let signed = SigningRequest::for_bundle(&publisher.sign(1), MANIFEST).unwrap();
    assert_eq!(first.to_bytes().unwrap(), signed.to_bytes().unwrap());
    assert_eq!(first.digest(), signed.digest());
}

#[test]
fn what_is_shown_is_what_is_signed() {
    let publisher = Publisher::new();
    let request = request(&publisher);
    let Subject::Bundle { manifest, terms: shown, root, .. } = request.subject() else { panic!("a bundle") };
    assert_eq!((manifest.as_slice(), *shown, root.version), (MANIFEST, terms(1), 1));

    let text = String::from_utf8(request.to_bytes().unwrap()).unwrap();
    let lies = [
        (r#""stream":"base""#, r#""stream":"apps""#),
        (r#""targets.json":{"version":1}}"#, r#""targets.json":{"version":2}}"#),
        ("2027-11-20", "2037-11-20"),
        (r#""length":41"#, r#""length":42"#),
    ];
    for (truth, lie) in lies {
        let forged = text.replacen(truth, lie, 1);
        assert_ne!(forged, text, "{truth}");
        let error = SigningRequest::from_bytes(forged.as_bytes()).unwrap_err();
        assert_eq!(code(&error), Code::Subject, "{lie}: {error}");
    }
}

#[test]
fn a_key_without_a_say_signs_nothing() {
    let publisher = Publisher::new();
    let error = request(&publisher).sign(&publisher.root_keys[0]).unwrap_err();
    assert_eq!(code(&error), Code::Scope);
}

#[test]
fn foreign_stale_invalid_and_doubled_signatures_are_refused_and_nothing_is_added() {
    let publisher = Publisher::new();
    let asked = request(&publisher);
    let before = unsigned(&publisher, &terms(1));
    let good = answer(&asked, &publisher.keys[0]);
    let text = String::from_utf8(good.to_bytes().unwrap()).unwrap();
    let forged = |from: &str, to: &str| SignatureFile::from_bytes(text.replacen(from, to, 1).as_bytes()).unwrap();

    let other = SigningRequest::for_bundle(&unsigned(&publisher, &terms(2)), MANIFEST).unwrap();
    let stale = answer(&other, &publisher.keys[0]);
    let foreign = forged(good.keyid().as_str(), publisher.root_keys[0].public_key().id().as_str());
    let swapped = forged(good.keyid().as_str(), publisher.keys[1].public_key().id().as_str());
    let renamed = forged("snapshot.json", "mirrors.json");
    for (file, expected) in
        [(stale, Code::Subject), (foreign, Code::Scope), (swapped, Code::Sig), (renamed, Code::Format)]
    {
        let mut set = before.clone();
        let error = merge(&mut set, &[good.clone(), file]).unwrap_err();
        assert_eq!((code(&error), &set), (expected, &before), "{error}");
    }

    // ECDSA signs differently each time, so this is a second signature and no repetition.
    let mut set = before.clone();
    let files = [answer(&asked, &publisher.keys[1]), answer(&asked, &publisher.keys[1])];
    assert_eq!(code(&merge(&mut set, &files).unwrap_err()), Code::Duplicate);
    assert_eq!(set, before);
}

#[test]
fn a_merge_that_was_cut_off_can_be_repeated() {
    let publisher = Publisher::new();
    let asked = request(&publisher);
    let files = [answer(&asked, &publisher.keys[0]), answer(&asked, &publisher.keys[1])];
    let mut set = unsigned(&publisher, &terms(1));
    merge(&mut set, &files).unwrap();
    let once = set.clone();
    merge(&mut set, &files).unwrap();
    assert_eq!(set, once);
}

#[test]
fn no_byte_of_a_request_or_a_signature_can_change_unnoticed() {
    let publisher = Publisher::new();
    let asked = request(&publisher);
    let bytes = asked.to_bytes().unwrap();
    for place in (0..bytes.len()).step_by(5) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let same = SigningRequest::from_bytes(&changed).is_ok_and(|request| request.digest() == asked.digest());
        assert!(!same, "byte {place}");
    }
    let bytes = answer(&asked, &publisher.keys[0]).to_bytes().unwrap();
    // The format's minor version may differ; nothing else may.
    let minor = br#"{"format":"signature/1."#.len();
    for place in (0..bytes.len()).filter(|place| *place != minor) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let mut set = unsigned(&publisher, &terms(1));
        let merged = SignatureFile::from_bytes(&changed).and_then(|file| merge(&mut set, &[file]));
        assert!(merged.is_err(), "byte {place}");
    }
}

#[test]
fn a_draft_becomes_a_root_that_any_client_believes() {
    let (root_keys, publishers) = (keys(3), keys(2));
    let mut spec = root_spec(&root_keys, &publishers);
    spec.revoker = Some(key_set(&publishers[..1], 1));
    let mut draft = RootDraft::new(None, &spec).unwrap();
    assert!(draft.finished().unwrap().is_none());
    for key in &root_keys[..2] {
        draft.merge(&[answer(draft.request(), key)]).unwrap();
        draft = RootDraft::from_bytes(&draft.to_bytes().unwrap()).unwrap();
    }
    let bytes = draft.finished().unwrap().unwrap();
    let root = open_root(&bytes).unwrap();
    assert_eq!((root.version, root.revoker_keys().unwrap()), (1, spec.revoker));

    // A third signature does not change what the root says.
    draft.sign(&signers(&root_keys)).unwrap();
    assert!(draft.is_finished_as(&bytes).unwrap());
    assert_eq!(draft.tally().unwrap()[0].signed.len(), 3);
}

#[test]
fn a_rotation_takes_the_thresholds_of_both_roots() {
    let mut publisher = Publisher::new();
    let (next_root, next_publishers) = (keys(2), keys(2));
    let spec = root_spec(&next_root, &next_publishers);
    let mut draft = RootDraft::new(Some(publisher.first_root()), &spec).unwrap();
    draft.sign(&signers(&next_root)).unwrap();
    assert!(draft.finished().unwrap().is_none());
    let met: Vec<bool> = draft.tally().unwrap().iter().map(|tally| tally.met).collect();
    assert_eq!(met, [false, true], "the old keys have not signed yet");
    for key in &publisher.root_keys {
        draft.merge(&[answer(draft.request(), key)]).unwrap();
    }
    publisher.roots.push(draft.finished().unwrap().unwrap());
    publisher.keys = next_publishers;
    assert_eq!(publisher.verify(&publisher.sign(1)).unwrap().root_version(), 2);
}

#[test]
fn a_draft_that_skips_a_version_or_hides_a_field_is_refused() {
    let publisher = Publisher::new();
    let spec = root_spec(&publisher.root_keys, &publisher.keys);
    let draft = RootDraft::new(Some(publisher.first_root()), &spec).unwrap();
    let text = String::from_utf8(draft.to_bytes().unwrap()).unwrap();
    let skipped = text.replace(r#""version":2}"#, r#""version":3}"#);
    assert_eq!(code(&RootDraft::from_bytes(skipped.as_bytes()).unwrap_err()), Code::RootGap);
    let hidden = text.replace(r#""version":2}"#, r#""version":2,"x-more":1}"#);
    assert_eq!(code(&RootDraft::from_bytes(hidden.as_bytes()).unwrap_err()), Code::Format);
}

#[test]
fn one_key_in_two_roles_signs_once_and_counts_in_both() {
    let shared = keys(1);
    let spec = root_spec_of(&shared, &keys(1));
    let first = RootDraft::new(None, &spec).unwrap();
    let finished = {
        let mut draft = first;
        draft.sign(&signers(&shared)).unwrap();
        draft.finished().unwrap().unwrap()
    };
    let mut next = RootDraft::new(Some(&finished), &root_spec_of(&shared, &keys(1))).unwrap();
    next.merge(&[answer(next.request(), &shared[0])]).unwrap();
    assert!(next.finished().unwrap().is_some());
}

fn root_spec_of(root: &[FileKey], publisher: &[FileKey]) -> sealock_trust::tuf::RootSpec {
    sealock_trust::tuf::RootSpec {
        expires: time("2029-01-01T00:00:00Z"),
        root: key_set(root, 1),
        publisher: key_set(publisher, 1),
        revoker: None,
    }
}

#[test]
fn one_key_under_two_ids_is_one_signer() {
    let key = FileKey::generate(Scheme::EcdsaP256).unwrap();
    let mut object = serde_json::to_value(key.public_key()).unwrap();
    // What securesystemslib wrote for years: another spelling, so another id, of one key.
    object["keytype"] = "ecdsa-sha2-nistp256".into();
    let twin: sealock_trust::PublicKey = serde_json::from_value(object).unwrap();
    assert_ne!(twin.id(), key.public_key().id());
    let other = keys(1);
    let all = [key.public_key().clone(), twin.clone(), other[0].public_key().clone()];
    let root = KeySet::new(all, 2).unwrap();
    let spec = sealock_trust::tuf::RootSpec { root, ..root_spec_of(&other, &other) };
    let mut draft = RootDraft::new(None, &spec).unwrap();
    let answer = answer(draft.request(), &key);
    draft.merge(std::slice::from_ref(&answer)).unwrap();
    let text = String::from_utf8(answer.to_bytes().unwrap()).unwrap();
    let again = text.replace(answer.keyid().as_str(), twin.id().as_str());
    let again = SignatureFile::from_bytes(again.as_bytes()).unwrap();
    assert_eq!(code(&draft.merge(&[again]).unwrap_err()), Code::Duplicate);
    assert!(draft.finished().unwrap().is_none());
}
