//! On what does not travel as one whole file: volumes, deltas, and media that fail.

use std::fs;
use std::path::PathBuf;

use sealock_trust::receipt::Verdict as Acceptance;
use sealock_trust::{Digest, FileKey, Receipt};

use super::forge::{Cargo, Parts, days};
use super::scene::{Scene, Verdict};
use super::{Attempt, Expected};
use crate::strace;

use Expected::{Accepted, Refused};

pub const ATTEMPTS: &[Attempt] = &[
    Attempt { number: 5, name: "a volume is missing", expected: Refused("VOLUME_SET"), run: missing },
    Attempt {
        number: 5,
        name: "a volume stands twice, and another is missing",
        expected: Refused("VOLUME_SET"),
        run: twice,
    },
    Attempt { number: 5, name: "two volumes under each other's name (harmless)", expected: Accepted, run: swapped },
    Attempt { number: 6, name: "a volume of another bundle", expected: Refused("SET_MISMATCH"), run: of_another_set },
    Attempt { number: 6, name: "a volume that is none", expected: Refused("SET_MISMATCH"), run: of_no_set },
    Attempt { number: 38, name: "a delta whose base the site lost", expected: Refused("BASE_MISSING"), run: lost_base },
    Attempt {
        number: 38,
        name: "a delta on a base that was never brought",
        expected: Refused("BASE_MISSING"),
        run: forged_base,
    },
    Attempt { number: 38, name: "a delta with another blob in it", expected: Refused("DIGEST"), run: changed_delta },
    Attempt {
        number: 43,
        name: "a medium that reads differently each time",
        expected: Refused("DIGEST"),
        run: a_medium_that_lies,
    },
];

/// The folder of a medium with the bundle number `sequence` in volumes of 1 MiB.
fn medium(scene: &Scene<'_>, sequence: u64) -> PathBuf {
    let content = (0..2_u32 << 20).map(|at| at.to_le_bytes()[usize::from(at % 2 == 0)]).collect::<Vec<u8>>();
    let bundle = scene.honest(&Cargo::of_files(sequence, &[("large", &content)]));
    let (file, folder) = (format!("base-{sequence}.tar"), format!("medium-{sequence}"));
    scene.sandbox.write(&file, bundle);
    fs::create_dir(scene.sandbox.join(&folder)).expect("a folder");
    scene.sandbox.must(&["send", &file, "--to", &folder, "--volume-size", "1MiB"]);
    scene.sandbox.join(&folder)
}

fn volume(medium: &std::path::Path, sequence: u64, number: u32) -> PathBuf {
    medium.join(format!("base-{sequence}.tar.{number:03}"))
}

fn missing(scene: &Scene<'_>) -> Verdict {
    let medium = medium(scene, 1);
    fs::remove_file(volume(&medium, 1, 2)).expect("a volume");
    scene.attempt(&["import", "medium-1"])
}

fn twice(scene: &Scene<'_>) -> Verdict {
    let medium = medium(scene, 1);
    let first = fs::read(volume(&medium, 1, 1)).expect("a volume");
    fs::write(volume(&medium, 1, 2), first).expect("writable");
    scene.attempt(&["import", "medium-1"])
}

fn swapped(scene: &Scene<'_>) -> Verdict {
    let medium = medium(scene, 1);
    for (from, to) in [("001", "x"), ("002", "001"), ("x", "002")] {
        let path = |name: &str| medium.join(format!("base-1.tar.{name}"));
        fs::rename(path(from), path(to)).expect("a new name");
    }
    scene.attempt(&["import", "medium-1"])
}

fn of_another_set(scene: &Scene<'_>) -> Verdict {
    let (medium, other) = (medium(scene, 1), medium(scene, 2));
    // The first volume differs between the two; all that follow are of the same size.
    fs::copy(volume(&other, 2, 1), volume(&medium, 1, 1)).expect("a copy");
    scene.attempt(&["import", "medium-1"])
}

fn of_no_set(scene: &Scene<'_>) -> Verdict {
    let medium = medium(scene, 1);
    fs::write(volume(&medium, 1, 2), vec![b'#'; 1 << 20]).expect("writable");
    scene.attempt(&["import", "medium-1"])
}

/// The second bundle, as a delta on `base`; `claimed` is what the receipt says the site holds.
fn delta(scene: &Scene<'_>, next: &Cargo, claimed: &[u8]) -> Vec<u8> {
    let (baseline, bases) = scene.baseline(claimed);
    let manifest = baseline.manifest(&next.lock, &bases, None).expect("a delta");
    scene.signed_as(next, &manifest)
}

fn after_the_first(scene: &Scene<'_>) -> Vec<u8> {
    scene.after_the_first(&Cargo::sample(1))
}

fn lost_base(scene: &Scene<'_>) -> Verdict {
    let first = after_the_first(scene);
    let delta = delta(scene, &Cargo::sample(2), &first);
    let lost = Digest::sha256(&[7; 64 << 10]);
    fs::remove_file(scene.sandbox.join("state/store/blobs/sha256").join(lost.hex())).expect("a blob of the base");
    scene.import(&delta)
}

/// The delta leaves out a blob that only a bundle which the site never saw could have brought.
fn forged_base(scene: &Scene<'_>) -> Verdict {
    after_the_first(scene);
    let own: &[u8] = b"never brought";
    let unseen =
        Parts::of(&scene.honest(&Cargo::of_files(1, &[("secret", own)]))).content("tuf/targets/manifest.json").clone();
    forge_receipt(scene, Digest::sha256(&unseen));
    let delta = delta(scene, &Cargo::of_files(2, &[("secret", own), ("small", b"hello\n")]), &unseen);
    scene.import(&delta)
}

/// The site's word, by its own key, that it holds a bundle: what a publisher who lies to themselves goes by.
fn forge_receipt(scene: &Scene<'_>, held: Digest) {
    let key = FileKey::load(&scene.sandbox.join("state/keys/site.pem"), None).expect("the site's key");
    let receipt = Receipt {
        manifest: held.clone(),
        site: "plant-7".parse().expect("a site"),
        stream: "base".parse().expect("a stream"),
        sequence: 1,
        verdict: Acceptance::Accepted,
        code: None,
        held: vec![held],
        issued: days(0),
        generation: None,
        exceptions: Vec::new(),
    };
    scene.sandbox.write("receipt.json", receipt.sign(&key).expect("a receipt"));
}

fn changed_delta(scene: &Scene<'_>) -> Verdict {
    let first = after_the_first(scene);
    let mut delta = delta(scene, &Cargo::sample(2), &first);
    let at = delta.windows(8).rposition(|window| window == b"number 2").expect("its own blob");
    delta[at] ^= 1;
    scene.import(&delta)
}

/// The bytes of the aligned blob are others than those that were there, at the read that brings them in.
fn a_medium_that_lies(scene: &Scene<'_>) -> Verdict {
    let bundle = scene.honest(&Cargo::sample(1));
    let blob = bundle.windows(64).rposition(|window| window == [7; 64]).expect("the aligned blob") as u64 - 100;
    scene.sandbox.write("attack.tar", bundle);
    let honest = scene.sandbox.copy();
    let read = strace::read_of(&honest, &["import", "attack.tar"], ("attack.tar", blob));
    scene.attempt_under(&strace::lying(&read), &["import", "attack.tar"])
}
