//! Attacks on a bundle's trust metadata: each is refused with its reason code.
//! The numbers are those of the attack list that the project's contract is.

use std::sync::LazyLock;

use proptest::prelude::*;
use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::tuf::{self, MetadataSet, Rules, StreamState, TrustError, Verified, Verifier};
use sealock_trust::{FileKey, Signer};
use serde_json::{Value, json};

use crate::world::{MANIFEST, Publisher, keys, now, root_spec, signers, terms, time};

fn edit(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    *bytes = jcs::to_vec(&value).unwrap();
}

fn each_online_file(set: &MetadataSet, change: impl Fn(&mut Value)) -> Vec<MetadataSet> {
    let mut changed = vec![set.clone(), set.clone(), set.clone()];
    edit(&mut changed[0].targets, &change);
    edit(&mut changed[1].snapshot, &change);
    edit(&mut changed[2].timestamp, &change);
    changed
}

#[test]
fn a_genuine_bundle_is_believed() {
    let publisher = Publisher::new();
    let verified = publisher.verify(&publisher.sign(7)).unwrap();
    assert_eq!((verified.sequence(), verified.root_version()), (7, 1));
    assert_eq!(verified.signers().len(), 2);
    assert_eq!(verified.issued(), Some(terms(7).issued));
    assert_eq!(verified.expires(), terms(7).expires);
    assert!(!verified.is_already_accepted());
}

#[test]
fn a03_a_changed_manifest_is_sig_and_another_length_is_size() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    let verify = |manifest: &[u8]| tuf::verify(publisher.first_root(), &set, manifest, now(), None);
    for place in 0..MANIFEST.len() {
        let mut manifest = MANIFEST.to_vec();
        manifest[place] ^= 1;
        assert_eq!(verify(&manifest).unwrap_err().code(), Code::Sig);
    }
    assert_eq!(verify(&[MANIFEST, b"\n"].concat()).unwrap_err().code(), Code::Size);
    assert_eq!(verify(b"").unwrap_err().code(), Code::Size);
}

#[test]
fn no_byte_of_the_metadata_can_change_unnoticed() {
    let mut publisher = Publisher::new();
    publisher.rotate();
    let set = publisher.sign(1);
    assert!(publisher.verify(&set).is_ok());
    let files: Vec<(String, Vec<u8>)> = set.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    for index in 0..files.len() {
        for place in 0..files[index].1.len() {
            let mut changed = files.clone();
            changed[index].1[place] ^= if place % 2 == 0 { 0x20 } else { 0x01 };
            let set = MetadataSet::from_files(changed).unwrap();
            assert!(publisher.verify(&set).is_err(), "byte {place} of {}", files[index].0);
        }
    }
}

#[test]
fn a06_files_of_two_bundles_put_together_are_refused() {
    let publisher = Publisher::new();
    let (old, new) = (publisher.sign(1), publisher.sign_manifest(2, b"{}"));
    let mixed = [
        MetadataSet { targets: old.targets.clone(), ..new.clone() },
        MetadataSet { snapshot: old.snapshot.clone(), ..new.clone() },
        MetadataSet { timestamp: old.timestamp.clone(), ..new.clone() },
        MetadataSet { timestamp: new.timestamp.clone(), snapshot: new.snapshot.clone(), ..old.clone() },
    ];
    for set in mixed {
        assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Subject);
    }
}

#[test]
fn a12_huge_and_deep_metadata_is_refused_before_it_is_built() {
    let publisher = Publisher::new();
    let deep = [b"[".repeat(100), b"]".repeat(100)].concat();
    for bytes in [vec![b' '; 2 << 20], deep, [b"[0".to_vec(), b",0".repeat(30_000), b"]".to_vec()].concat()] {
        let set = MetadataSet { timestamp: bytes, ..publisher.sign(1) };
        assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Limit);
    }
}

#[test]
fn a14_a_duplicate_key_is_ambiguous() {
    let publisher = Publisher::new();
    let mut set = publisher.sign(1);
    let text = String::from_utf8(set.targets).unwrap();
    set.targets = text.replacen(r#""version":1"#, r#""version":1,"version":2"#, 1).into_bytes();
    assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Ambiguous);
}

#[test]
fn a14_another_spelling_of_the_same_content_is_ambiguous() {
    let publisher = Publisher::new();
    let mut set = publisher.sign(1);
    let value: Value = serde_json::from_slice(&set.timestamp).unwrap();
    set.timestamp = serde_json::to_vec_pretty(&value).unwrap();
    assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Ambiguous);
}

#[test]
fn unsigned_metadata_is_unsigned() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    for set in each_online_file(&set, |file| file["signatures"] = json!([])) {
        assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Unsigned);
    }
}

#[test]
fn a23_below_the_threshold_and_by_an_unknown_key_is_threshold() {
    let publisher = Publisher::new();
    let partly = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms(1), &signers(&publisher.keys[..1])).unwrap();
    assert_eq!(publisher.verify(&partly).unwrap_err().code(), Code::Threshold);

    let stranger = Publisher::new();
    let foreign = MetadataSet { roots: publisher.sign(1).roots, ..stranger.sign(1) };
    assert_eq!(publisher.verify(&foreign).unwrap_err().code(), Code::Threshold);
}

#[test]
fn a24_the_same_signature_twice_counts_once() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    for set in each_online_file(&set, |file| {
        let first = file["signatures"][0].clone();
        file["signatures"] = json!([first, first]);
    }) {
        assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Threshold);
    }
}

#[test]
fn a25_an_unknown_scheme_does_not_count() {
    let known = keys(1);
    let unknown: sealock_trust::PublicKey =
        serde_json::from_value(json!({"keytype": "none", "scheme": "none", "keyval": {"public": ""}})).unwrap();
    let unknown_id = unknown.id().to_string();
    let root_keys = keys(2);
    let mut spec = root_spec(&root_keys, &keys(2));
    let both = [known[0].public_key(), &unknown].map(Clone::clone);
    spec.publisher = sealock_trust::KeySet::new(both, 2).unwrap();
    let root = tuf::create_root(&spec, &signers(&root_keys)).unwrap();
    let set = tuf::sign_manifest(std::slice::from_ref(&root), MANIFEST, &terms(1), &signers(&known)).unwrap();
    for set in each_online_file(&set, |file| {
        let signatures = file["signatures"].as_array_mut().unwrap();
        signatures.push(json!({"keyid": unknown_id, "sig": ""}));
    }) {
        let error = tuf::verify(&root, &set, MANIFEST, now(), None).unwrap_err();
        assert!([Code::Alg, Code::Threshold].contains(&error.code()), "{error}");
    }
    let mut all = set.clone();
    for file in [&mut all.targets, &mut all.snapshot, &mut all.timestamp] {
        edit(file, |file| {
            let signatures = file["signatures"].as_array_mut().unwrap();
            signatures.push(json!({"keyid": unknown_id, "sig": ""}));
        });
    }
    assert_eq!(tuf::verify(&root, &all, MANIFEST, now(), None).unwrap_err().code(), Code::Alg);
}

#[test]
fn a27_a_signature_by_a_key_without_a_say_is_scope() {
    let publisher = Publisher::new();
    let stranger = publisher.root_keys[0].public_key().id().to_string();
    let set = publisher.sign(1);
    for set in each_online_file(&set, |file| {
        file["signatures"].as_array_mut().unwrap().push(json!({"keyid": stranger, "sig": "00"}));
    }) {
        assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Scope);
    }
}

#[test]
fn a28_an_older_sequence_is_rollback() {
    let publisher = Publisher::new();
    let state = publisher.accepted(5);
    let error = publisher.verify_after(&publisher.sign(4), Some(&state)).unwrap_err();
    assert_eq!(error.code(), Code::Rollback);
}

#[test]
fn a29_another_manifest_under_the_same_sequence_is_equivocation() {
    let publisher = Publisher::new();
    let state = publisher.accepted(5);
    let other = b"{}";
    let set = publisher.sign_manifest(5, other);
    let error = tuf::verify(publisher.first_root(), &set, other, now(), Some(&state)).unwrap_err();
    assert_eq!(error.code(), Code::Equivocation);
}

#[test]
fn a30_an_exact_replay_is_known_as_such() {
    let publisher = Publisher::new();
    let state = publisher.accepted(5);
    assert!(publisher.verify_after(&publisher.sign(5), Some(&state)).unwrap().is_already_accepted());
}

#[test]
fn a31_a_skipped_sequence_is_a_gap_unless_a_person_accepts_that_one() {
    let publisher = Publisher::new();
    let state = publisher.accepted(5);
    let set = publisher.sign(9);
    let verify = |accept_gap| {
        let rules = Rules::default();
        Verifier { trusted_root: publisher.first_root(), now: now(), state: Some(&state), accept_gap, rules }
            .verify(&set, MANIFEST)
    };
    assert_eq!(verify(None).unwrap_err().code(), Code::Gap);
    assert_eq!(verify(Some(6..=7)).unwrap_err().code(), Code::Gap);
    assert_eq!(verify(Some(7..=8)).unwrap_err().code(), Code::Gap);
    assert_eq!(verify(Some(6..=8)).unwrap().missing(), Some(6..=8));
}

#[test]
fn a32_a_leap_to_the_end_of_all_numbers_is_jump() {
    let publisher = Publisher::new();
    let state = publisher.accepted(5);
    for sequence in [1006, (1 << 53) - 1] {
        let set = publisher.sign(sequence);
        let everything = Some(0..=u64::MAX);
        let verifier = Verifier {
            trusted_root: publisher.first_root(),
            now: now(),
            state: Some(&state),
            accept_gap: everything,
            rules: Rules::default(),
        };
        assert_eq!(verifier.verify(&set, MANIFEST).unwrap_err().code(), Code::Jump);
    }
    let beyond = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms(1 << 53), &signers(&publisher.keys));
    assert!(beyond.is_err());
}

fn verify_under(
    publisher: &Publisher,
    set: &MetadataSet,
    state: Option<&StreamState>,
    rules: Rules<'_>,
) -> Result<Verified, TrustError> {
    Verifier { trusted_root: publisher.first_root(), now: now(), state, accept_gap: None, rules }.verify(set, MANIFEST)
}

#[test]
fn a32_the_first_bundle_of_a_stream_leaps_no_further_than_any_other() {
    let publisher = Publisher::new();
    assert!(publisher.verify(&publisher.sign(1000)).is_ok());
    for sequence in [1001, (1 << 53) - 1] {
        assert_eq!(publisher.verify(&publisher.sign(sequence)).unwrap_err().code(), Code::Jump);
    }
}

#[test]
fn a32_an_enrolment_that_names_the_first_sequence_moves_the_bounds() {
    let publisher = Publisher::new();
    let rules = Rules { from_sequence: Some(5000), ..Rules::default() };
    let code = |sequence| {
        verify_under(&publisher, &publisher.sign(sequence), None, rules).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(code(4999), Err(Code::Rollback));
    assert_eq!((code(5000), code(5999)), (Ok(()), Ok(())));
    assert_eq!(code(6000), Err(Code::Jump));
}

#[test]
fn a32_rotated_keys_leap_no_further_than_any_other() {
    let mut publisher = Publisher::new();
    let state = publisher.accepted(900);
    publisher.rotate();
    assert_eq!(publisher.verify_after(&publisher.sign(1901), Some(&state)).unwrap_err().code(), Code::Jump);
}

/// Its issue time would become the site's time floor, from which all that comes after looks expired.
#[test]
fn a39_a_bundle_issued_in_the_future_does_not_poison_the_clock() {
    let publisher = Publisher::new();
    let issued_at = |issued| {
        let terms = tuf::Terms { issued: time(issued), expires: time("2099-01-01T00:00:00Z"), ..terms(1) };
        let set = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms, &signers(&publisher.keys)).unwrap();
        publisher.verify(&set).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(issued_at("2026-11-24T12:00:00Z"), Ok(()));
    assert_eq!(issued_at("2026-11-24T12:00:01Z"), Err(Code::Clock));
    assert_eq!(issued_at("2098-01-01T00:00:00Z"), Err(Code::Clock));
}

#[test]
fn a26_a_revoked_key_does_not_count() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    let revoked = |key: &FileKey| std::collections::BTreeSet::from([key.public_key().id().clone()]);
    let under = |key: &FileKey| {
        let revoked = revoked(key);
        verify_under(&publisher, &set, None, Rules { revoked: Some(&revoked), ..Rules::default() })
    };
    assert_eq!(under(&publisher.keys[1]).unwrap_err().code(), Code::Revoked);
    // Another role's key has no say here, revoked or not.
    assert!(under(&publisher.root_keys[0]).is_ok());
}

#[test]
fn a26_enough_other_keys_make_up_for_a_revoked_one() {
    let mut publisher = Publisher::new();
    publisher.rotate_to(keys(2), keys(3));
    let gone = std::collections::BTreeSet::from([publisher.keys[0].public_key().id().clone()]);
    let rules = Rules { revoked: Some(&gone), ..Rules::default() };
    let verified = verify_under(&publisher, &publisher.sign(1), None, rules).unwrap();
    assert!(verified.signers().len() == 2 && verified.signers().iter().all(|keyid| !gone.contains(keyid)));
    let two = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms(1), &signers(&publisher.keys[..2])).unwrap();
    assert_eq!(verify_under(&publisher, &two, None, rules).unwrap_err().code(), Code::Revoked);
}

#[test]
fn a_broken_glass_waives_expiry_and_gaps_and_nothing_else() {
    let publisher = Publisher::new();
    let waive = Rules { waive: true, ..Rules::default() };
    let late = |state: Option<&StreamState>, set: &MetadataSet, manifest: &[u8], rules| {
        let now = time("2035-01-01T00:00:00Z");
        let verifier = Verifier { trusted_root: publisher.first_root(), now, state, accept_gap: None, rules };
        verifier.verify(set, manifest).map_err(|error| error.code())
    };
    let state = publisher.accepted(5);
    let set = publisher.sign(9);
    assert_eq!(late(Some(&state), &set, MANIFEST, Rules::default()), Err(Code::Expired));
    let verified = late(Some(&state), &set, MANIFEST, waive).unwrap();
    assert_eq!((verified.missing(), verified.expires()), (Some(6..=8), terms(9).expires));
    assert_eq!(late(Some(&state), &publisher.sign(4), MANIFEST, waive), Err(Code::Rollback));
    assert_eq!(late(Some(&state), &publisher.sign(5000), MANIFEST, waive), Err(Code::Jump));
    assert_eq!(late(None, &set, b"{}", waive), Err(Code::Size));
    let partly = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms(9), &signers(&publisher.keys[..1])).unwrap();
    assert_eq!(late(None, &partly, MANIFEST, waive), Err(Code::Threshold));
}

#[test]
fn a32_rotated_keys_take_their_leap_with_them() {
    let mut publisher = Publisher::new();
    let state = publisher.accepted(900);
    publisher.rotate();
    let verified = publisher.verify_after(&publisher.sign(6), Some(&state)).unwrap();
    assert_eq!((verified.sequence(), verified.root_version()), (6, 2));
}

#[test]
fn a32_a_rotation_that_keeps_the_keys_keeps_the_sequence() {
    let mut publisher = Publisher::new();
    let state = publisher.accepted(900);
    let same = std::mem::take(&mut publisher.keys);
    publisher.rotate_to(keys(2), same);
    assert_eq!(publisher.verify_after(&publisher.sign(6), Some(&state)).unwrap_err().code(), Code::Rollback);
}

/// Two of three keys are needed. The site accepted what the first two signed, and then the first is rotated away: an older
/// bundle by the two that stay is signed well enough still.
#[test]
fn a28_a_rotation_of_some_keys_revives_nothing_that_the_others_signed_before() {
    let mut publisher = Publisher::new();
    publisher.rotate_to(keys(2), keys(3));
    let sign = |publisher: &Publisher, sequence, issued, keys: &[FileKey]| {
        let terms = tuf::Terms { issued: time(issued), ..terms(sequence) };
        tuf::sign_manifest(&publisher.roots, MANIFEST, &terms, &signers(keys)).unwrap()
    };
    let accepted = sign(&publisher, 5, "2026-11-20T00:00:00Z", &publisher.keys[..2]);
    let state = publisher.verify(&accepted).unwrap().to_state(&"base".parse().unwrap(), None);

    let stay = publisher.keys.split_off(1);
    publisher.rotate_to(keys(2), stay);
    let old = sign(&publisher, 3, "2026-11-10T00:00:00Z", &publisher.keys);
    assert_eq!(publisher.verify_after(&old, Some(&state)).unwrap_err().code(), Code::Rollback);
    let new = sign(&publisher, 3, "2026-11-21T00:00:00Z", &publisher.keys);
    assert_eq!(publisher.verify_after(&new, Some(&state)).unwrap().sequence(), 3);
}

#[test]
fn a35_expired_metadata_is_expired_to_the_second() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    let verify = |at: &str| tuf::verify(publisher.first_root(), &set, MANIFEST, time(at), None);
    assert!(verify("2027-11-19T23:59:59Z").is_ok());
    assert_eq!(verify("2027-11-20T00:00:00Z").unwrap_err().code(), Code::Expired);
}

#[test]
fn a35_an_expired_root_is_expired_however_fresh_the_rest_is() {
    let publisher = Publisher::new();
    let late = tuf::Terms { expires: time("2035-01-01T00:00:00Z"), ..terms(1) };
    let set = tuf::sign_manifest(&publisher.roots, MANIFEST, &late, &signers(&publisher.keys)).unwrap();
    let error = tuf::verify(publisher.first_root(), &set, MANIFEST, time("2030-01-01T00:00:00Z"), None).unwrap_err();
    assert_eq!(error.code(), Code::Expired);
}

#[test]
fn a39_a_clock_that_was_set_back_revives_nothing() {
    let publisher = Publisher::new();
    let late = tuf::Terms { issued: time("2027-12-01T00:00:00Z"), expires: time("2028-12-01T00:00:00Z"), sequence: 1 };
    let first = tuf::sign_manifest(&publisher.roots, MANIFEST, &late, &signers(&publisher.keys)).unwrap();
    let then = late.issued;
    let verified = tuf::verify(publisher.first_root(), &first, MANIFEST, then, None).unwrap();
    let state = verified.to_state(&"base".parse().unwrap(), None);
    let expired_meanwhile = publisher.sign(2);
    for clock in ["1970-01-01T00:00:00Z", "2026-11-23T12:00:00Z"] {
        let error = tuf::verify(publisher.first_root(), &expired_meanwhile, MANIFEST, time(clock), Some(&state));
        assert_eq!(error.unwrap_err().code(), Code::Expired);
    }
}

#[test]
fn metadata_of_another_role_is_refused_even_though_the_same_keys_sign_it() {
    let publisher = Publisher::new();
    let set = publisher.sign(1);
    let swapped = MetadataSet { timestamp: set.snapshot.clone(), snapshot: set.timestamp.clone(), ..set };
    assert_eq!(publisher.verify(&swapped).unwrap_err().code(), Code::Format);
}

#[test]
fn a_promise_by_no_digest_that_is_known_is_refused() {
    let publisher = Publisher::new();
    let mut set = publisher.sign(1);
    edit(&mut set.targets, |file| {
        file["signed"]["targets"]["manifest.json"]["hashes"] = json!({"md5": "00"});
        file["signatures"] = json!([]);
    });
    set.add_signatures(&signers(&publisher.keys)).unwrap();
    assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Format);
    edit(&mut set.targets, |file| {
        file["signed"]["targets"] = json!({"other.json": {"hashes": {}, "length": 0}});
        file["signatures"] = json!([]);
    });
    set.add_signatures(&signers(&publisher.keys)).unwrap();
    assert_eq!(publisher.verify(&set).unwrap_err().code(), Code::Format);
}

#[test]
fn a_stranger_cannot_sign_in_the_first_place() {
    let publisher = Publisher::new();
    let mut set = publisher.sign(1);
    let before = set.clone();
    assert!(set.add_signatures(&signers(&keys(1))).is_err());
    assert_eq!(set, before);
    assert!(tuf::create_root(&root_spec(&publisher.root_keys, &publisher.keys), &signers(&keys(1))).is_err());
}

proptest! {
    #[test]
    fn any_bytes_in_any_file_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        version in 1_u64..4,
        place in 0..4_usize,
    ) {
        let (root, set) = &*ONE_BUNDLE;
        let mut set = set.clone();
        match place {
            0 => set.targets = bytes,
            1 => set.snapshot = bytes,
            2 => set.timestamp = bytes,
            _ => { set.roots.insert(version, bytes); }
        }
        prop_assert!(tuf::verify(root, &set, MANIFEST, now(), None).is_err());
        prop_assert!(tuf::verify(&set.targets, &set, MANIFEST, now(), None).is_err());
    }
}

static ONE_BUNDLE: LazyLock<(Vec<u8>, MetadataSet)> = LazyLock::new(|| {
    let publisher = Publisher::new();
    (publisher.roots[0].clone(), publisher.sign(1))
});
