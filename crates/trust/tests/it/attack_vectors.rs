//! The attacks as files: `testdata/attacks/<name>/`, for any second implementation to be held against.
//!
//! `expected.json` names the reason code (none: the bundle is genuine) and the time; `trusted-root.json` and
//! `state.json` are what the site knows; `metadata/` and `manifest.json` are what came.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sealock_trust::json::{Limits, jcs};
use sealock_trust::reason::{self, Code};
use sealock_trust::tuf::{self, Delegations, MetadataSet, StreamState, TargetFile, Terms, VendorPlan};
use sealock_trust::{Digest, FileKey, KeySet, Passphrase, RoleName, Signer};
use serde_json::{Value, json};

use crate::vectors::{check, testdata};
use crate::world::{MANIFEST, Publisher, now, root_spec, signers, terms, time};

/// What a site is shown, and what it must say.
struct Attack {
    code: Option<Code>,
    now: jiff::Timestamp,
    trusted_root: Vec<u8>,
    state: Option<StreamState>,
    set: MetadataSet,
    manifest: Vec<u8>,
}

fn key(name: &str) -> FileKey {
    FileKey::load(&testdata(&format!("keys/{name}.pem")), Passphrase::new("correct-horse").as_ref()).unwrap()
}

fn pair(name: &str) -> Vec<FileKey> {
    vec![key(&format!("{name}-1")), key(&format!("{name}-2"))]
}

/// Two roots; the second one keeps the publisher's keys.
fn publisher() -> Publisher {
    let (root_keys, keys) = (pair("root"), pair("publisher"));
    let root = tuf::create_root(&root_spec(&root_keys, &keys), &signers(&root_keys)).unwrap();
    let mut publisher = Publisher { root_keys, keys, roots: vec![root] };
    publisher.rotate_to(pair("root"), pair("publisher"));
    publisher
}

fn edit(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    *bytes = jcs::to_vec(&value).unwrap();
}

fn attacks() -> BTreeMap<&'static str, Attack> {
    let publisher = publisher();
    let mut attacks = BTreeMap::new();
    let genuine = || Attack {
        code: None,
        now: now(),
        trusted_root: publisher.first_root().to_vec(),
        state: None,
        set: publisher.sign(5),
        manifest: MANIFEST.to_vec(),
    };
    let mut add = |name, code, change: &dyn Fn(&mut Attack)| {
        let mut attack = Attack { code, ..genuine() };
        change(&mut attack);
        attacks.insert(name, attack);
    };
    add("genuine", None, &|_| {});
    on_content(&publisher, &mut add);
    on_signatures(&publisher, &mut add);
    on_roots(&publisher, &mut add);
    on_time(&publisher, &mut add);
    on_order(&publisher, &mut add);
    on_vendors(&publisher, &mut add);
    attacks
}

type Add<'a> = dyn FnMut(&'static str, Option<Code>, &dyn Fn(&mut Attack)) + 'a;

fn on_content(publisher: &Publisher, add: &mut Add<'_>) {
    add("manifest-bit-flip", Some(Code::Sig), &|attack| attack.manifest[10] ^= 1);
    add("manifest-longer", Some(Code::Size), &|attack| attack.manifest.push(b'\n'));
    add("mix-and-match", Some(Code::Subject), &|attack| attack.set.targets = publisher.sign(4).targets);
    add("roles-swapped", Some(Code::Format), &|attack| {
        std::mem::swap(&mut attack.set.snapshot, &mut attack.set.timestamp);
    });
    add("duplicate-json-key", Some(Code::Ambiguous), &|attack| {
        let text = String::from_utf8(attack.set.targets.clone()).unwrap();
        attack.set.targets = text.replacen(r#""version":5"#, r#""version":5,"version":6"#, 1).into_bytes();
    });
    add("deep-json", Some(Code::Limit), &|attack| attack.set.timestamp = b"[".repeat(100));
}

fn on_signatures(publisher: &Publisher, add: &mut Add<'_>) {
    add("unsigned", Some(Code::Unsigned), &|attack| {
        edit(&mut attack.set.timestamp, |file| file["signatures"] = json!([]));
    });
    add("below-threshold", Some(Code::Threshold), &|attack| {
        let one = signers(&publisher.keys[..1]);
        attack.set = tuf::sign_manifest(&publisher.roots, MANIFEST, &terms(5), &one).unwrap();
    });
    add("same-key-twice", Some(Code::Threshold), &|attack| {
        edit(&mut attack.set.timestamp, |file| {
            let first = file["signatures"][0].clone();
            file["signatures"] = json!([first, first]);
        });
    });
    add("unknown-key", Some(Code::Threshold), &|attack| {
        let strangers = pair("stranger");
        let root = tuf::create_root(&root_spec(&strangers, &strangers), &signers(&strangers)).unwrap();
        let foreign = tuf::sign_manifest(&[root], MANIFEST, &terms(5), &signers(&strangers)).unwrap();
        attack.set = MetadataSet { roots: attack.set.roots.clone(), ..foreign };
    });
    add("signature-bit-flip", Some(Code::Sig), &|attack| {
        edit(&mut attack.set.snapshot, |file| {
            let signature = file["signatures"][1]["sig"].as_str().unwrap();
            let flipped = if signature.starts_with('0') { "1" } else { "0" };
            file["signatures"][1]["sig"] = format!("{flipped}{}", &signature[1..]).into();
        });
    });
    add("signer-without-a-say", Some(Code::Scope), &|attack| {
        edit(&mut attack.set.targets, |file| {
            file["signatures"].as_array_mut().unwrap().push(json!({"keyid": "00".repeat(32), "sig": "00"}));
        });
    });
}

fn on_roots(publisher: &Publisher, add: &mut Add<'_>) {
    let rotated_by = |new: &str, by: &str| {
        let spec = root_spec(&pair(new), &publisher.keys);
        tuf::rotate_root(publisher.first_root(), &spec, &signers(&pair(by))).unwrap()
    };
    add("root-skipped", Some(Code::RootGap), &|attack| {
        let third = tuf::rotate_root(
            &publisher.roots[1],
            &root_spec(&publisher.root_keys, &publisher.keys),
            &signers(&publisher.root_keys),
        );
        attack.set.roots.insert(3, third.unwrap());
        attack.set.roots.remove(&2);
    });
    add("root-without-old-threshold", Some(Code::RootSig), &|attack| {
        attack.set.roots.insert(2, rotated_by("stranger", "stranger"));
    });
    add("root-without-own-threshold", Some(Code::RootSig), &|attack| {
        attack.set.roots.insert(2, rotated_by("stranger", "root"));
    });
    add("root-forked", Some(Code::Equivocation), &|attack| {
        let spec = root_spec(&publisher.root_keys, &pair("stranger"));
        attack.set.roots.insert(1, tuf::create_root(&spec, &signers(&publisher.root_keys)).unwrap());
    });
}

fn on_time(publisher: &Publisher, add: &mut Add<'_>) {
    add("expired", Some(Code::Expired), &|attack| attack.now = terms(5).expires);
    add("root-expired", Some(Code::Expired), &|attack| {
        let late = Terms { expires: time("2035-01-01T00:00:00Z"), ..terms(5) };
        attack.set = tuf::sign_manifest(&publisher.roots, MANIFEST, &late, &signers(&publisher.keys)).unwrap();
        attack.now = time("2030-01-01T00:00:00Z");
    });
    add("issued-in-the-future", Some(Code::Clock), &|attack| {
        let ahead = Terms { issued: time("2026-11-24T12:00:01Z"), ..terms(5) };
        attack.set = tuf::sign_manifest(&publisher.roots, MANIFEST, &ahead, &signers(&publisher.keys)).unwrap();
    });
    add("clock-set-back", Some(Code::Expired), &|attack| {
        let mut state = publisher.accepted(4);
        state.issued = time("2027-12-01T00:00:00Z");
        (attack.state, attack.now) = (Some(state), time("1970-01-01T00:00:00Z"));
    });
}

fn on_order(publisher: &Publisher, add: &mut Add<'_>) {
    let after = |sequence| Some(publisher.accepted(sequence));
    add("rollback", Some(Code::Rollback), &|attack| attack.state = after(6));
    add("gap", Some(Code::Gap), &|attack| attack.state = after(3));
    add("jump", Some(Code::Jump), &|attack| {
        (attack.state, attack.set) = (after(5), publisher.sign((1 << 53) - 1));
    });
    add("jump-of-the-first", Some(Code::Jump), &|attack| attack.set = publisher.sign(1001));
    add("equivocation", Some(Code::Equivocation), &|attack| {
        (attack.state, attack.set, attack.manifest) = (after(5), publisher.sign_manifest(5, b"{}"), b"{}".to_vec());
    });
}

const APP: &str = "quay.io/acme/app:v1";

fn acme() -> RoleName {
    "acme".parse().unwrap()
}

/// The vendor `acme` with two keys, both needed, who has everything below `quay.io/acme` and vouches for `names`.
fn plan(names: &[&str]) -> VendorPlan {
    let keys = pair("stranger");
    let keys = KeySet::new(keys.iter().map(|key| key.public_key().clone()), 2).unwrap();
    let mut delegations = Delegations::default();
    delegations.delegate(&acme(), &keys, &["quay.io/acme".parse().unwrap()]).unwrap();
    let target = |name: &&str| {
        let hashes = BTreeMap::from([("sha256".to_owned(), Digest::sha256(name.as_bytes()).hex().to_owned())]);
        ((*name).to_owned(), TargetFile { length: name.len() as u64, hashes, custom: None })
    };
    let targets = BTreeMap::from([(acme(), names.iter().map(target).collect())]);
    VendorPlan { delegations, targets, ..VendorPlan::default() }
}

/// What comes under `plan`, signed by the publisher, and by the vendor's `keys` after `change` to what it says.
fn delegated(publisher: &Publisher, plan: &VendorPlan, keys: &[FileKey], change: &dyn Fn(&mut Value)) -> MetadataSet {
    let mut set = tuf::prepare(&publisher.roots, MANIFEST, &terms(5), Some(plan)).unwrap();
    edit(set.delegated.get_mut(&acme()).unwrap(), |file| change(&mut file["signed"]));
    set.add_vendor_signatures(&acme(), &signers(keys)).unwrap();
    set.add_signatures(&signers(&publisher.keys)).unwrap();
    set
}

fn on_vendors(publisher: &Publisher, add: &mut Add<'_>) {
    let (plan, both) = (plan(&[APP]), pair("stranger"));
    let as_it_is = |_: &mut Value| {};
    add("vendor-genuine", None, &|attack| attack.set = delegated(publisher, &plan, &both, &as_it_is));
    add("vendor-unsigned", Some(Code::Unsigned), &|attack| {
        attack.set = delegated(publisher, &plan, &[], &as_it_is);
    });
    add("vendor-below-threshold", Some(Code::Threshold), &|attack| {
        attack.set = delegated(publisher, &plan, &both[..1], &as_it_is);
    });
    add("vendor-out-of-scope", Some(Code::Scope), &|attack| {
        let wider = self::plan(&[APP, "quay.io/bank/app:v1"]);
        attack.set = delegated(publisher, &wider, &both, &as_it_is);
    });
    add("vendor-missing", Some(Code::Incomplete), &|attack| {
        attack.set = delegated(publisher, &plan, &both, &as_it_is);
        attack.set.delegated.clear();
    });
    add("vendor-nobody-delegates-to", Some(Code::Undeclared), &|attack| {
        attack.set = delegated(publisher, &plan, &both, &as_it_is);
        let stray = attack.set.delegated[&acme()].clone();
        attack.set.delegated.insert("evil".parse().unwrap(), stray);
    });
    add("vendor-expired", Some(Code::Expired), &|attack| {
        attack.set = delegated(publisher, &plan, &both, &|signed| signed["expires"] = "2026-11-23T12:00:00Z".into());
    });
    add("vendor-rollback", Some(Code::Rollback), &|attack| {
        let mut state = publisher.accepted(4);
        state.delegated.insert(acme(), 6);
        (attack.state, attack.set) = (Some(state), delegated(publisher, &plan, &both, &as_it_is));
    });
    add("vendor-cycle", Some(Code::Cycle), &|attack| {
        let own = serde_json::to_value(&plan.delegations).unwrap();
        attack.set = delegated(publisher, &plan, &both, &|signed| signed["delegations"] = own.clone());
    });
}

#[test]
fn the_published_attacks_are_as_they_are_made_here() {
    for (name, attack) in attacks() {
        let folder = format!("attacks/{name}");
        let code = attack.code.map(Code::as_str);
        let expected = json!({"code": code, "now": attack.now.to_string()});
        check(&format!("{folder}/expected.json"), &jcs::to_vec(&expected).unwrap());
        check(&format!("{folder}/trusted-root.json"), &attack.trusted_root);
        check(&format!("{folder}/manifest.json"), &attack.manifest);
        if let Some(state) = &attack.state {
            check(&format!("{folder}/state.json"), &jcs::to_vec(state).unwrap());
        }
        for (file, bytes) in attack.set.files() {
            check(&format!("{folder}/metadata/{file}"), bytes);
        }
    }
}

#[test]
fn every_published_attack_is_refused_with_its_reason_code() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(testdata("attacks")).unwrap() {
        let folder = entry.unwrap().path();
        let expected: Value = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let code = expected["code"].as_str().map(|code| reason::find(code).unwrap());
        let verdict = judge(&folder, time(expected["now"].as_str().unwrap()));
        assert_eq!(verdict.err(), code, "{}", folder.display());
        seen.push(folder);
    }
    assert_eq!(seen.len(), attacks().len());
}

fn judge(folder: &Path, now: jiff::Timestamp) -> Result<(), Code> {
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let files = fs::read_dir(folder.join("metadata")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    });
    let set = MetadataSet::from_files(files).map_err(|error| error.code())?;
    let state = fs::read(folder.join("state.json")).ok();
    let state: Option<StreamState> = state.map(|bytes| jcs::from_slice(&bytes, &Limits::DOCUMENT).unwrap());
    let verdict = tuf::verify(&read("trusted-root.json"), &set, &read("manifest.json"), now, state.as_ref());
    verdict.map(|_| ()).map_err(|error| error.code())
}

#[test]
fn a_person_is_told_what_was_wrong() {
    let mut told = String::new();
    for (name, attack) in attacks() {
        let Attack { now, trusted_root, state, set, manifest, .. } = &attack;
        if let Err(error) = tuf::verify(trusted_root, set, manifest, *now, state.as_ref()) {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let lines: Vec<_> = causes.map(|error| format!("    {error}\n")).collect();
            told.push_str(&format!("{name}: {}\n{}", error.code(), lines.concat()));
        }
    }
    insta::assert_snapshot!(told);
}
