//! On keys, signatures and roots.

use sealock_trust::{Digest, FileKey, KeySet, PublicKey, Scheme, Signer, tuf};
use serde_json::{Value, json};

use super::forge::{Cargo, Parts, Publisher, TarEntry, days, key, root_spec};
use super::{Attack, Expected, Scene};
use crate::site;

use Expected::{Accepted, Refused, RefusedKeepingRoots};

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 19,
        name: "no signature at all",
        expected: Refused("UNSIGNED"),
        make: |scene| std::fs::read(Cargo::sample(1).write(&scene.path())).expect("a bundle"),
    },
    Attack { number: 20, name: "the signatures of another bundle", expected: Refused("SIG"), make: other_signatures },
    Attack {
        number: 23,
        name: "one signature where two are needed",
        expected: Refused("THRESHOLD"),
        make: |scene| {
            let path = Cargo::sample(1).write(&scene.path());
            sealock_bundle::sign(&path, &scene.publisher.roots, &scene.publisher.signers()[..1]).expect("signed");
            std::fs::read(path).expect("a bundle")
        },
    },
    Attack {
        number: 24,
        name: "one key signs twice",
        expected: Refused("THRESHOLD"),
        make: |scene| {
            resigned(scene, |file| {
                let first = file["signatures"][0].clone();
                file["signatures"] = json!([first, first]);
            })
        },
    },
    Attack { number: 24, name: "one key under two ids", expected: Refused("FORMAT"), make: one_key_two_ids },
    Attack {
        number: 25,
        name: "a signature by an unknown scheme in place of one that is needed",
        expected: Refused("ALG"),
        make: |scene| by_scheme(scene, "ml-dsa-65"),
    },
    Attack {
        number: 25,
        name: "a signature by an empty scheme",
        expected: Refused("ALG"),
        make: |scene| by_scheme(scene, ""),
    },
    Attack {
        number: 27,
        name: "a signature by a key that has no say",
        expected: Refused("SCOPE"),
        make: |scene| {
            resigned(scene, |file| {
                file["signatures"]
                    .as_array_mut()
                    .expect("signatures")
                    .push(json!({"keyid": "00".repeat(32), "sig": "00"}));
            })
        },
    },
    Attack {
        number: 27,
        name: "another publisher's root under the same version",
        expected: Refused("EQUIVOCATION"),
        make: |scene| scene.signed_by(&Publisher::new(), &Cargo::sample(1)),
    },
    Attack {
        number: 33,
        name: "a root whose predecessor is missing",
        expected: Refused("ROOT_GAP"),
        make: |scene| {
            let first = &scene.publisher.roots[0];
            let (second, second_key) = successor(scene, first, Some(&scene.publisher.root_key));
            let (third, _) = successor(scene, &second, Some(&second_key));
            with_roots(scene, &[(1, first.clone()), (3, third)])
        },
    },
    Attack {
        number: 34,
        name: "a root that only its own keys signed",
        expected: Refused("ROOT_SIG"),
        make: |scene| {
            let first = &scene.publisher.roots[0];
            with_roots(scene, &[(1, first.clone()), (2, successor(scene, first, None).0)])
        },
    },
    Attack {
        number: 35,
        name: "a root that has expired",
        expected: RefusedKeepingRoots("EXPIRED"),
        make: |scene| {
            let Publisher { root_key, keys, roots, .. } = scene.publisher;
            let second =
                tuf::rotate_root(&roots[0], &root_spec(root_key, keys, 2, days(-1)), &[root_key]).expect("a root");
            signed_under(scene, &[roots[0].clone(), second])
        },
    },
    Attack {
        number: 36,
        name: "good bundle after a bad one (harmless)",
        expected: Accepted,
        make: |scene| {
            let mut bad = scene.honest(&Cargo::sample(1));
            let length = bad.len();
            bad[length - 2000] ^= 1;
            let verdict = scene.import(&bad);
            assert!(verdict.exit == 3 && verdict.changed.is_empty(), "{}", verdict.seen);
            scene.honest(&Cargo::sample(1))
        },
    },
];

/// What timestamp, snapshot and targets are called in the archive.
const METADATA: [&str; 3] = ["tuf/metadata/snapshot.json", "tuf/metadata/targets.json", "tuf/metadata/timestamp.json"];

/// The honest bundle with changed signatures in all three metadata files.
fn resigned(scene: &Scene<'_>, edit: impl Fn(&mut Value)) -> Vec<u8> {
    changed(Parts::of(&scene.honest(&Cargo::sample(1))), edit)
}

fn changed(mut parts: Parts, edit: impl Fn(&mut Value)) -> Vec<u8> {
    for name in METADATA {
        let mut file: Value = serde_json::from_slice(parts.content(name)).expect("JSON");
        edit(&mut file);
        parts.set(name, &serde_json::to_vec(&file).expect("JSON"));
    }
    parts.to_bytes()
}

fn other_signatures(scene: &Scene<'_>) -> Vec<u8> {
    let mut other = Parts::of(&scene.honest(&Cargo::of_files(1, &[("x", b"something else")])));
    let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
    for name in METADATA {
        parts.set(name, &other.content(name).clone());
    }
    parts.to_bytes()
}

/// A root that names the publisher's first key a second time, under an id of its own.
fn one_key_two_ids(scene: &Scene<'_>) -> Vec<u8> {
    let publisher = scene.publisher;
    let alone = Publisher::with_keys(vec![key(Scheme::Ed25519)], 1);
    let mut root: Value = serde_json::from_slice(&publisher.roots[0]).expect("JSON");
    let id = alone.keys[0].public_key().id().to_string();
    let mut twin: Value = serde_json::to_value(alone.keys[0].public_key()).expect("JSON");
    let object = twin.clone();
    twin["x-comment"] = json!("second");
    let second = serde_json::from_value::<PublicKey>(twin.clone()).expect("a key").id().to_string();
    root["signed"]["version"] = json!(2);
    root["signed"]["keys"][&id] = object;
    root["signed"]["keys"][&second] = twin;
    for role in ["targets", "snapshot", "timestamp"] {
        root["signed"]["roles"][role] = json!({"keyids": [&id, &second], "threshold": 2});
    }
    root["signatures"] = json!([]);
    with_roots(scene, &[(1, publisher.roots[0].clone()), (2, serde_json::to_vec(&root).expect("JSON"))])
}

/// A root in which the second publisher key is of a scheme that nobody knows, and a bundle under it.
fn by_scheme(scene: &Scene<'_>, scheme: &str) -> Vec<u8> {
    let publisher = scene.publisher;
    let stranger: PublicKey =
        serde_json::from_value(json!({"keytype": scheme, "scheme": scheme, "keyval": {"public": "00"}}))
            .expect("a key");
    let id = stranger.id().to_string();
    let first = publisher.keys[0].public_key().clone();
    let set = KeySet::new([first, stranger], 2).expect("a key set");
    let mut spec = root_spec(&publisher.root_key, &publisher.keys, 2, days(365));
    spec.publisher = set;
    let root = tuf::create_root(&spec, &[&publisher.root_key]).expect("a root");
    believe(scene, &root);
    let path = Cargo::sample(1).write(&scene.path());
    sealock_bundle::sign(&path, &[root], &publisher.signers()[..1]).expect("signed");
    changed(Parts::of(&std::fs::read(path).expect("a bundle")), |file| {
        let signatures = file["signatures"].as_array_mut().expect("signatures");
        signatures.push(json!({"keyid": id, "sig": "00"}));
        signatures.sort_by(|a, b| a["keyid"].as_str().cmp(&b["keyid"].as_str()));
    })
}

/// Makes the station anew, with this root enrolled from the start.
fn believe(scene: &Scene<'_>, root: &[u8]) {
    std::fs::remove_dir_all(scene.sandbox.join("state")).expect("state");
    site::spec(&scene.sandbox, "plant-7");
    scene.sandbox.must(&["site", "init", "--unencrypted-keys"]);
    scene.sandbox.write("root.json", root);
    let fingerprint = Digest::sha256(root).to_string();
    scene.sandbox.must(&["trust", "enroll", "root.json", "--fingerprint", &fingerprint]);
}

/// The root after `previous`, with a new root key; signed by `by` and, as it must be, by itself.
fn successor(scene: &Scene<'_>, previous: &[u8], by: Option<&FileKey>) -> (Vec<u8>, FileKey) {
    let own = key(Scheme::Ed25519);
    let spec = root_spec(&own, &scene.publisher.keys, 2, days(365));
    let signers: Vec<&dyn Signer> = by.into_iter().chain([&own]).map(|key| key as &dyn Signer).collect();
    (tuf::rotate_root(previous, &spec, &signers).expect("a root"), own)
}

/// The honest bundle with other roots beside it.
fn with_roots(scene: &Scene<'_>, roots: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
    parts.entries.retain(|entry| !entry.header.windows(10).any(|window| window == b".root.json"));
    let roots =
        roots.iter().map(|(version, bytes)| TarEntry::honest(&format!("tuf/metadata/{version}.root.json"), bytes));
    parts.entries.splice(2..2, roots);
    parts.to_bytes()
}

fn signed_under(scene: &Scene<'_>, roots: &[Vec<u8>]) -> Vec<u8> {
    let path = Cargo::sample(1).write(&scene.path());
    sealock_bundle::sign(&path, roots, &scene.publisher.signers()).expect("signed");
    std::fs::read(path).expect("a bundle")
}
