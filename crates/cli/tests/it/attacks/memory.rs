//! On what a site remembers: revocations, and its own state.

use std::fs;

use sealock_trust::{Digest, Signer as _};

use super::forge::{Cargo, Parts};
use super::scene::{Scene, Verdict};
use super::{Attempt, Expected};

use Expected::{Refused, RefusedAndFrozen};

pub const ATTEMPTS: &[Attempt] = &[
    Attempt { number: 26, name: "a bundle that was revoked", expected: Refused("REVOKED"), run: revoked_bundle },
    Attempt { number: 26, name: "a bundle by a key that was revoked", expected: Refused("REVOKED"), run: revoked_key },
    Attempt {
        number: 26,
        name: "an older revocation list",
        expected: Refused("ROLLBACK_RL"),
        run: |scene| {
            let first = revoke(scene, &["--digest", &Digest::sha256(b"x").to_string()]);
            revoke(scene, &["--renew"]);
            scene.sandbox.must(&["import", "revocations.json"]);
            scene.sandbox.write("older.json", first);
            scene.attempt(&["import", "older.json"])
        },
    },
    Attempt {
        number: 26,
        name: "a revocation list that a publisher's key signed",
        expected: Refused("THRESHOLD"),
        run: |scene| {
            let list = revoke(scene, &["--digest", &Digest::sha256(b"x").to_string()]);
            let (root, stranger) =
                (scene.publisher.root_key.public_key().id(), scene.publisher.keys[0].public_key().id());
            let text = String::from_utf8(list).expect("text").replace(&root.to_string(), &stranger.to_string());
            scene.sandbox.write("forged.json", text);
            scene.attempt(&["import", "forged.json"])
        },
    },
    Attempt {
        number: 40,
        name: "the station's memory, put back to what it was before",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        run: |scene| {
            scene.accept(1);
            let state = scene.sandbox.join("state/trust/state.json");
            let before = fs::read(&state).expect("a state");
            scene.accept(2);
            fs::write(&state, before).expect("an older state");
            let next = scene.honest(&Cargo::sample(3));
            scene.import(&next)
        },
    },
    Attempt {
        number: 40,
        name: "the station's memory, written anew",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        run: |scene| {
            scene.accept(1);
            let state = scene.sandbox.join("state/trust/state.json");
            fs::remove_file(&state).expect("a state");
            let next = scene.honest(&Cargo::sample(2));
            scene.import(&next)
        },
    },
];

/// The publisher's next revocation list, signed by the root's own key.
fn revoke(scene: &Scene<'_>, what: &[&str]) -> Vec<u8> {
    scene.sandbox.write("root.json", &scene.publisher.roots[0]);
    let key = scene.sandbox.join("root.pem");
    if !key.exists() {
        scene.publisher.root_key.save(&key, None).expect("a key file");
    }
    let list = ["trust", "revoke", "--list", "revocations.json", "--root", "root.json", "--key", "root.pem"];
    let reason: &[&str] = if what.contains(&"--renew") { &[] } else { &["--reason", "a test"] };
    scene.sandbox.must(&[&list[..], what, reason].concat());
    fs::read(scene.sandbox.join("revocations.json")).expect("a list")
}

fn revoked_bundle(scene: &Scene<'_>) -> Verdict {
    let bundle = scene.honest(&Cargo::sample(1));
    let manifest = Digest::sha256(Parts::of(&bundle).content("tuf/targets/manifest.json"));
    revoke(scene, &["--digest", &manifest.to_string()]);
    scene.sandbox.must(&["import", "revocations.json"]);
    scene.import(&bundle)
}

fn revoked_key(scene: &Scene<'_>) -> Verdict {
    revoke(scene, &["--key-id", &scene.publisher.keys[0].public_key().id().to_string()]);
    scene.sandbox.must(&["import", "revocations.json"]);
    let bundle = scene.honest(&Cargo::sample(1));
    scene.import(&bundle)
}
