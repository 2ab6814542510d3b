//! Vendors: delegated targets, and what tries to get out of them.

use std::collections::BTreeMap;

use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::request::{SignatureFile, SigningRequest, Subject};
use sealock_trust::tuf::{
    DelegatedRole, Delegations, MetadataSet, StreamState, TargetFile, Terms, TrustError, VendorPlan, VendorWord,
    Verified, Vouch, prepare,
};
use sealock_trust::{Digest, FileKey, RoleName, Signer};
use serde_json::{Value, json};

use crate::world::{MANIFEST, Publisher, keys, signers, terms, time};

const APP: &str = "quay.io/acme/app:v1";

fn role(name: &str) -> RoleName {
    name.parse().unwrap()
}

fn file(content: &[u8]) -> TargetFile {
    let digest = Digest::sha256(content);
    let hashes = BTreeMap::from([("sha256".to_owned(), digest.hex().to_owned())]);
    TargetFile { length: content.len() as u64, hashes, custom: None }
}

fn delegated(name: &str, keys: &[FileKey], paths: &[&str]) -> DelegatedRole {
    DelegatedRole {
        name: role(name),
        keyids: keys.iter().map(|key| key.public_key().id().clone()).collect(),
        threshold: u32::try_from(keys.len()).unwrap(),
        terminating: true,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn delegations(roles: Vec<DelegatedRole>, keys: &[&[FileKey]]) -> Delegations {
    let public = keys.iter().flat_map(|keys| keys.iter()).map(|key| key.public_key().clone());
    Delegations { keys: public.map(|key| (key.id().clone(), key)).collect(), roles }
}

/// A publisher and the vendor `acme` with two keys, both needed, who vouches for one application.
struct World {
    publisher: Publisher,
    acme: Vec<FileKey>,
}

impl World {
    fn new() -> Self {
        Self { publisher: Publisher::new(), acme: keys(2) }
    }

    fn plan(&self, names: &[&str]) -> VendorPlan {
        let targets = names.iter().map(|name| ((*name).to_owned(), file(name.as_bytes()))).collect();
        VendorPlan {
            delegations: delegations(vec![delegated("acme", &self.acme, &["quay.io/acme/*"])], &[&self.acme]),
            targets: BTreeMap::from([(role("acme"), targets)]),
            ..VendorPlan::default()
        }
    }

    fn set(&self, plan: &VendorPlan, terms: &Terms) -> MetadataSet {
        prepare(&self.publisher.roots, MANIFEST, terms, Some(plan)).unwrap()
    }

    fn sign(&self, set: &mut MetadataSet) {
        set.add_vendor_signatures(&role("acme"), &signers(&self.acme)).unwrap();
        set.add_signatures(&signers(&self.publisher.keys)).unwrap();
    }

    fn genuine(&self, sequence: u64) -> MetadataSet {
        let mut set = self.set(&self.plan(&[APP]), &terms(sequence));
        self.sign(&mut set);
        set
    }

    /// Changes what the vendor says, and signs it again with its own keys.
    fn vendor_says(&self, set: &mut MetadataSet, change: impl FnOnce(&mut Value)) {
        let bytes = set.delegated.get_mut(&role("acme")).unwrap();
        edit(bytes, |file| {
            change(&mut file["signed"]);
            file["signatures"] = json!([]);
        });
        set.add_vendor_signatures(&role("acme"), &signers(&self.acme)).unwrap();
    }

    /// Changes what the publisher says in one of the three files, and has all three signed again.
    fn publisher_says(&self, set: &mut MetadataSet, change: impl FnOnce(&mut MetadataSet)) {
        change(set);
        for bytes in [&mut set.targets, &mut set.snapshot, &mut set.timestamp] {
            edit(bytes, |file| file["signatures"] = json!([]));
        }
        set.add_signatures(&signers(&self.publisher.keys)).unwrap();
    }

    fn code(&self, set: &MetadataSet) -> Code {
        self.publisher.verify(set).unwrap_err().code()
    }
}

fn edit(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    *bytes = jcs::to_vec(&value).unwrap();
}

#[test]
fn a_vendor_vouches_for_what_its_delegation_covers_and_for_nothing_else() {
    let world = World::new();
    let verified = world.publisher.verify(&world.genuine(1)).unwrap();
    assert_eq!(verified.vendors()[0].signers.len(), 2);
    let Vouch::Vouched(vendor, target) = verified.vouch(APP) else { panic!("vouched for") };
    assert_eq!((vendor.as_str(), target), ("acme", &file(APP.as_bytes())));
    assert_eq!(verified.vouch("quay.io/acme/other:v1"), Vouch::Unvouched(&role("acme")));
    assert_eq!(verified.vouch("quay.io/else/app:v1"), Vouch::Free);
    assert_eq!(verified.vouch("manifest.json"), Vouch::Free);
}

#[test]
fn files_come_back_under_their_names() {
    let set = World::new().genuine(1);
    let files: Vec<(String, Vec<u8>)> = set.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    assert_eq!(MetadataSet::from_files(files).unwrap(), set);
}

#[test]
fn a_name_outside_of_the_delegation_is_scope() {
    let world = World::new();
    let mut set = world.set(&world.plan(&["quay.io/acme/app:v1", "quay.io/bank/app:v1"]), &terms(1));
    world.sign(&mut set);
    assert_eq!(world.code(&set), Code::Scope);
}

#[test]
fn a_stranger_or_one_key_of_two_does_not_speak_for_the_vendor() {
    let world = World::new();
    let mut set = world.set(&world.plan(&[APP]), &terms(1));
    assert!(set.add_vendor_signatures(&role("acme"), &signers(&world.publisher.keys)).is_err());
    set.add_signatures(&signers(&world.publisher.keys)).unwrap();
    assert_eq!(world.code(&set), Code::Unsigned);
    set.add_vendor_signatures(&role("acme"), &signers(&world.acme[..1])).unwrap();
    assert_eq!(world.code(&set), Code::Threshold);
    set.add_vendor_signatures(&role("acme"), &signers(&world.acme)).unwrap();
    assert!(world.publisher.verify(&set).is_ok());
    edit(set.delegated.get_mut(&role("acme")).unwrap(), |file| {
        file["signatures"].as_array_mut().unwrap().push(json!({"keyid": "00".repeat(32), "sig": "00"}));
    });
    assert_eq!(world.code(&set), Code::Scope);
}

#[test]
fn a_file_that_nobody_delegated_to_or_that_is_missing_is_told() {
    let world = World::new();
    let mut stray = world.genuine(1);
    stray.delegated.insert(role("evil"), stray.delegated[&role("acme")].clone());
    assert_eq!(world.code(&stray), Code::Undeclared);
    let mut missing = world.genuine(1);
    missing.delegated.clear();
    assert_eq!(world.code(&missing), Code::Incomplete);
    let mut unlisted = world.genuine(1);
    world.publisher_says(&mut unlisted, |set| {
        edit(&mut set.snapshot, |file| {
            file["signed"]["meta"].as_object_mut().unwrap().remove("acme.json");
        });
    });
    assert_eq!(world.code(&unlisted), Code::Incomplete);
}

/// CVE-2026-6967: expiry, length, hash and version of delegated metadata are checked like those of the top level.
#[test]
fn expiry_version_length_and_hash_of_a_vendors_file_are_checked() {
    let world = World::new();
    let mut expired = world.genuine(1);
    world.vendor_says(&mut expired, |signed| signed["expires"] = "2026-11-23T12:00:00Z".into());
    assert_eq!(world.code(&expired), Code::Expired);

    let mut other_version = world.genuine(1);
    world.vendor_says(&mut other_version, |signed| signed["version"] = 2.into());
    assert_eq!(world.code(&other_version), Code::Subject);

    let promises = [("length", json!(7), Code::Size), ("hashes", json!({"sha256": "00".repeat(32)}), Code::Digest)];
    for (field, value, code) in promises {
        let mut set = world.genuine(1);
        world.publisher_says(&mut set, |set| {
            edit(&mut set.snapshot, |file| file["signed"]["meta"]["acme.json"][field] = value);
        });
        assert_eq!(world.code(&set), code, "{field}");
    }
}

/// CVE-2025-2887: a vendor's file never goes back, even where the publisher's own go on.
#[test]
fn a_vendors_file_that_goes_back_is_rollback() {
    let world = World::new();
    let accepted: StreamState =
        world.publisher.verify(&world.genuine(5)).unwrap().to_state(&"base".parse().unwrap(), None);
    assert_eq!(accepted.delegated[&role("acme")], 5);
    let mut next = world.genuine(6);
    world.vendor_says(&mut next, |signed| signed["version"] = 4.into());
    world.publisher_says(&mut next, |set| {
        edit(&mut set.snapshot, |file| file["signed"]["meta"]["acme.json"]["version"] = 4.into());
    });
    let error = world.publisher.verify_after(&next, Some(&accepted)).unwrap_err();
    assert_eq!(error.code(), Code::Rollback);
    assert!(matches!(error, TrustError::DelegatedRollback { .. }), "{error}");

    let without = world.publisher.verify_after(&world.publisher.sign(6), Some(&accepted)).unwrap();
    assert_eq!(without.to_state(&"base".parse().unwrap(), Some(&accepted)).delegated[&role("acme")], 5);
}

/// The vendor delegates on: its own file names `roles`.
fn delegating_on(
    world: &World,
    on: &Delegations,
    files: &[(&str, &[FileKey], &[&str])],
) -> Result<Verified, TrustError> {
    let mut set = world.genuine(1);
    let on = serde_json::to_value(on).unwrap();
    world.vendor_says(&mut set, |signed| signed["delegations"] = on);
    world.publisher_says(&mut set, |set| {
        for (name, _, _) in files {
            let file = format!("{name}.json");
            edit(&mut set.snapshot, |snapshot| snapshot["signed"]["meta"][&file] = json!({"version": 1}));
        }
    });
    for (name, keys, names) in files {
        set.delegated.insert(role(name), signed_targets(keys, names));
    }
    world.publisher.verify(&set)
}

/// A vendor's file as a delegate of another would write it.
fn signed_targets(keys: &[FileKey], names: &[&str]) -> Vec<u8> {
    let plan = VendorPlan {
        delegations: delegations(vec![delegated("any", keys, &["*"])], &[keys]),
        targets: BTreeMap::from([(
            role("any"),
            names.iter().map(|name| ((*name).to_owned(), file(name.as_bytes()))).collect(),
        )]),
        ..VendorPlan::default()
    };
    let mut set = prepare(&Publisher::new().roots, MANIFEST, &terms(1), Some(&plan)).unwrap();
    set.add_vendor_signatures(&role("any"), &signers(keys)).unwrap();
    set.delegated.remove(&role("any")).unwrap()
}

#[test]
fn a_vendor_may_delegate_part_of_what_it_has_and_no_more() {
    let world = World::new();
    let team = keys(1);
    let on = delegations(vec![delegated("team", &team, &["quay.io/*/*"])], &[&team]);
    let verified = delegating_on(&world, &on, &[("team", &team, &["quay.io/acme/tool:v1"])]).unwrap();
    assert!(matches!(verified.vouch("quay.io/acme/tool:v1"), Vouch::Vouched(vendor, _) if vendor.as_str() == "team"));

    let error = delegating_on(&world, &on, &[("team", &team, &["quay.io/bank/app:v1"])]).unwrap_err();
    assert_eq!(error.code(), Code::Scope, "its own delegate covers it, the vendor does not");
}

#[test]
fn a_delegation_that_leads_back_is_cycle() {
    let world = World::new();
    let team = keys(1);
    let to_itself = delegations(vec![delegated("acme", &world.acme, &["*"])], &[&world.acme]);
    assert_eq!(delegating_on(&world, &to_itself, &[]).unwrap_err().code(), Code::Cycle);
    let twice =
        delegations(vec![delegated("team", &team, &["*"]), delegated("team", &team, &["quay.io/*/*"])], &[&team]);
    assert_eq!(delegating_on(&world, &twice, &[("team", &team, &[])]).unwrap_err().code(), Code::Cycle);
}

#[test]
fn too_many_roles_or_patterns_are_limit() {
    let world = World::new();
    let patterns = vec!["quay.io/acme/*"; 65];
    let on = delegations(vec![delegated("team", &world.acme, &patterns)], &[&world.acme]);
    assert_eq!(delegating_on(&world, &on, &[("team", &world.acme, &[])]).unwrap_err().code(), Code::Limit);
}

/// CVE-2025-2886: a terminating delegation ends the search, so a later role with a wider pattern does not get its names.
#[test]
fn a_terminating_delegation_ends_the_search() {
    let (publisher, acme, evil) = (Publisher::new(), keys(1), keys(1));
    let roles = |terminating| {
        let first = DelegatedRole { terminating, ..delegated("acme", &acme, &["quay.io/acme/*"]) };
        delegations(vec![first, delegated("evil", &evil, &["quay.io/*/*"])], &[&acme, &evil])
    };
    for terminating in [true, false] {
        let plan = VendorPlan {
            delegations: roles(terminating),
            targets: BTreeMap::from([(role("evil"), BTreeMap::from([(APP.to_owned(), file(b"evil"))]))]),
            ..VendorPlan::default()
        };
        let mut set = prepare(&publisher.roots, MANIFEST, &terms(1), Some(&plan)).unwrap();
        set.add_vendor_signatures(&role("acme"), &signers(&acme)).unwrap();
        set.add_vendor_signatures(&role("evil"), &signers(&evil)).unwrap();
        set.add_signatures(&signers(&publisher.keys)).unwrap();
        let verified = publisher.verify(&set).unwrap();
        let taken = matches!(verified.vouch(APP), Vouch::Vouched(..));
        assert_eq!(taken, !terminating);
    }
}

#[test]
fn names_that_would_be_other_files_are_no_roles() {
    for name in ["root", "targets", "snapshot", "timestamp", "mirrors", "1.root", "../x", "a/b", "A", "", "a_b"] {
        assert!(name.parse::<RoleName>().is_err(), "{name:?}");
    }
}

#[test]
fn the_earliest_expiry_counts() {
    let world = World::new();
    let mut set = world.genuine(1);
    world.vendor_says(&mut set, |signed| signed["expires"] = "2026-12-24T00:00:00Z".into());
    assert_eq!(world.publisher.verify(&set).unwrap().expires(), time("2026-12-24T00:00:00Z"));
}

/// The request that goes to `acme`, as it arrives there.
fn request(set: &MetadataSet) -> SigningRequest {
    SigningRequest::from_bytes(&SigningRequest::for_vendor(set, &role("acme")).unwrap().to_bytes().unwrap()).unwrap()
}

#[test]
fn a_request_goes_to_the_vendor_and_its_signatures_come_back() {
    let world = World::new();
    let mut set = world.set(&world.plan(&[APP]), &terms(3));
    set.add_signatures(&signers(&world.publisher.keys)).unwrap();
    let asked = request(&set);
    let Subject::Vendor { delegation, targets, .. } = asked.subject() else { panic!("a vendor is asked") };
    assert_eq!((delegation.name.as_str(), targets.version, targets.targets.len()), ("acme", 3, 1));
    assert_eq!(asked.root_fingerprint().unwrap(), None, "it is about artifacts, under whichever root");

    let mut signatures = set.vendor_signatures(&role("acme")).unwrap();
    for key in &world.acme {
        let answer = SignatureFile::from_bytes(&asked.sign(key).unwrap().to_bytes().unwrap()).unwrap();
        asked.merge(&mut signatures, &[answer]).unwrap();
        set.set_vendor_signatures(&role("acme"), &signatures).unwrap();
        assert_eq!(request(&set).digest(), asked.digest(), "whoever has signed");
    }
    assert!(asked.tally(&signatures).unwrap()[0].met);
    world.publisher.verify(&set).unwrap();
    let refused = asked.sign(&world.publisher.keys[0]).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Scope), "the publisher does not speak for the vendor");
}

#[test]
fn a_request_that_shows_less_than_it_asks_to_sign_is_refused() {
    let world = World::new();
    let set = world.set(&world.plan(&[APP]), &terms(1));
    let bytes = SigningRequest::for_vendor(&set, &role("acme")).unwrap().to_bytes().unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bytes = bytes.clone();
        edit(&mut bytes, |value| change(value));
        SigningRequest::from_bytes(&bytes).unwrap_err().code()
    };
    let elsewhere = json!({"length": 1, "hashes": {"sha256": "00".repeat(32)}});
    assert_eq!(
        changed(&|value| value["signed"]["acme.json"]["targets"]["quay.io/bank/app:v1"] = elsewhere.clone()),
        Some(Code::Scope)
    );
    assert_eq!(changed(&|value| value["signed"]["acme.json"]["x-more"] = 1.into()), Some(Code::Format));
    assert_eq!(
        changed(&|value| value["signed"]["acme.json"]["targets"][APP]["custom"] = json!({})),
        Some(Code::Format)
    );
    assert_eq!(
        changed(&|value| value["signed"]["acme.json"]["targets"][APP]["hashes"] = json!({})),
        Some(Code::Format)
    );
    assert_eq!(changed(&|value| value["vendor"]["roles"][0]["x-more"] = 1.into()), Some(Code::Format));
    assert_eq!(changed(&|value| value["vendor"]["roles"] = json!([])), Some(Code::Format));
    assert_eq!(changed(&|value| value["manifest"] = json!({})), Some(Code::Format));
    let on = json!({"keys": {}, "roles": []});
    assert_eq!(changed(&|value| value["signed"]["acme.json"]["delegations"] = on.clone()), Some(Code::Format));
}

#[test]
fn what_a_vendor_signed_once_is_carried_again() {
    let world = World::new();
    let first = world.genuine(5);
    let plan = world.plan(&[APP]);
    let word = VendorWord::open(&first.delegated[&role("acme")], &plan.delegations.roles[0], &plan.delegations.keys);
    let word = word.unwrap();
    assert_eq!((word.version(), word.signers().len(), word.expires()), (5, 2, terms(5).expires));
    assert_eq!(word.target(APP), Some(&file(APP.as_bytes())));

    let again = VendorPlan { words: BTreeMap::from([(role("acme"), word.clone())]), ..plan.clone() };
    let mut set = world.set(&again, &terms(6));
    set.add_signatures(&signers(&world.publisher.keys)).unwrap();
    let accepted = world.publisher.verify(&first).unwrap().to_state(&"base".parse().unwrap(), None);
    let verified = world.publisher.verify_after(&set, Some(&accepted)).unwrap();
    assert_eq!((verified.sequence(), verified.vendors()[0].version), (6, 5));
    set.check_content(MANIFEST, &terms(6)).unwrap();

    // A newer word of exactly the same content is the same word; of another it is not taken in.
    let mut unsigned = world.set(&plan, &terms(5));
    assert!(unsigned.take_word(&word).unwrap());
    assert_eq!(unsigned.delegated, first.delegated);
    assert!(!world.set(&plan, &terms(7)).take_word(&word).unwrap());
}

#[test]
fn a_word_that_the_vendor_did_not_give_is_not_believed() {
    let world = World::new();
    let plan = world.plan(&[APP]);
    let code =
        |bytes: &[u8]| VendorWord::open(bytes, &plan.delegations.roles[0], &plan.delegations.keys).unwrap_err().code();
    let unsigned = world.set(&plan, &terms(1)).delegated[&role("acme")].clone();
    assert_eq!(code(&unsigned), Code::Unsigned);
    let outside = {
        let mut set = world.set(&world.plan(&["quay.io/bank/app:v1"]), &terms(1));
        world.sign(&mut set);
        set.delegated[&role("acme")].clone()
    };
    assert_eq!(code(&outside), Code::Scope);
    let mut on = world.genuine(1);
    world.vendor_says(&mut on, |signed| signed["delegations"] = json!({"keys": {}, "roles": []}));
    assert_eq!(code(&on.delegated[&role("acme")]), Code::Format);
    let genuine = world.genuine(1).delegated[&role("acme")].clone();
    for place in 0..genuine.len() {
        let mut changed = genuine.clone();
        changed[place] ^= 1;
        assert!(
            VendorWord::open(&changed, &plan.delegations.roles[0], &plan.delegations.keys).is_err(),
            "byte {place}"
        );
    }
}
