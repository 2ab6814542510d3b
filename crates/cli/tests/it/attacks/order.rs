//! On sequence and time.

use std::fs;

use sealock_trust::Digest;

use super::forge::{Cargo, days};
use super::{Attack, Expected};

use Expected::{Accepted, NoEffect, Refused};

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 28,
        name: "an older bundle again",
        expected: Refused("ROLLBACK"),
        make: |scene| {
            let first = scene.honest(&Cargo::sample(1));
            scene.accept(1);
            scene.accept(2);
            first
        },
    },
    Attack {
        number: 29,
        name: "two contents under one sequence",
        expected: Refused("EQUIVOCATION"),
        make: |scene| {
            scene.accept(1);
            scene.honest(&Cargo::of_files(1, &[("x", b"something else")]))
        },
    },
    Attack {
        number: 30,
        name: "the same bundle again (harmless)",
        expected: NoEffect,
        make: |scene| {
            let first = scene.honest(&Cargo::sample(1));
            let verdict = scene.import(&first);
            assert_eq!(verdict.exit, 0, "{}", verdict.seen);
            first
        },
    },
    Attack {
        number: 31,
        name: "a bundle held back on the way",
        expected: Refused("GAP"),
        make: |scene| {
            scene.accept(1);
            scene.honest(&Cargo::sample(3))
        },
    },
    Attack {
        number: 32,
        name: "a sequence near the end of all numbers",
        expected: Refused("JUMP"),
        make: |scene| {
            scene.accept(1);
            scene.honest(&Cargo::sample((1 << 53) - 1))
        },
    },
    Attack {
        number: 35,
        name: "a bundle that has expired",
        expected: Refused("EXPIRED"),
        make: |scene| {
            let mut cargo = Cargo::sample(1);
            (cargo.lock.issued, cargo.lock.soft_expiry, cargo.lock.expires) = (days(-30), days(-20), days(-1));
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 31,
        name: "the next bundle (harmless)",
        expected: Accepted,
        make: |scene| {
            scene.accept(1);
            scene.honest(&Cargo::sample(2))
        },
    },
    Attack {
        number: 29,
        name: "a bundle that follows another one than was accepted",
        expected: Refused("EQUIVOCATION"),
        make: |scene| {
            scene.accept(1);
            let mut cargo = Cargo::sample(2);
            cargo.lock.previous = Some(Digest::sha256(b"the other bundle number 1"));
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 32,
        name: "a first bundle far ahead",
        expected: Refused("JUMP"),
        make: |scene| scene.honest(&Cargo::sample(5000)),
    },
    Attack {
        number: 35,
        name: "a bundle far beyond its soft expiry",
        expected: Refused("STALE"),
        make: |scene| {
            let mut cargo = Cargo::sample(1);
            (cargo.lock.issued, cargo.lock.soft_expiry) = (days(-100), days(-90));
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 39,
        name: "a bundle from the future, to set the time floor",
        expected: Refused("CLOCK"),
        make: |scene| {
            let mut cargo = Cargo::sample(1);
            (cargo.lock.issued, cargo.lock.soft_expiry, cargo.lock.expires) = (days(30), days(100), days(300));
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 51,
        name: "what a refused import leaves behind",
        expected: Refused("DIGEST"),
        make: |scene| {
            scene.accept(1);
            let mut bundle = scene.honest(&Cargo::sample(2));
            let at = bundle.windows(8).rposition(|window| window == b"number 2").expect("its own blob");
            bundle[at] ^= 1;
            let verdict = scene.import(&bundle);
            let staging = fs::read_dir(scene.sandbox.join("state/store/staging")).expect("staging").count();
            assert_eq!((verdict.exit, staging), (3, 0), "{}", verdict.seen);
            bundle
        },
    },
];
