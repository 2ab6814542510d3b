//! On revocation lists, alone and in bundles.

use sealock_trust::Digest;

use super::forge::{Cargo, Parts, Publisher, TarEntry};
use super::{Attack, Expected};

use Expected::{Accepted, Refused, RefusedKeepingList};

const LIST: &str = "tuf/targets/revocations.json";

fn something() -> Digest {
    Digest::sha256(b"what was revoked")
}

fn another() -> Digest {
    Digest::sha256(b"something else")
}

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 26,
        name: "an older revocation list",
        expected: Refused("ROLLBACK_RL"),
        make: |scene| {
            let first = scene.publisher.revoke(None, &[&something()]);
            scene.take(&scene.publisher.revoke(Some(&first), &[]));
            first
        },
    },
    Attack {
        number: 26,
        name: "two revocation lists of one version",
        expected: Refused("EQUIVOCATION"),
        make: |scene| {
            scene.take(&scene.publisher.revoke(None, &[&something()]));
            scene.publisher.revoke(None, &[&another()])
        },
    },
    Attack {
        number: 26,
        name: "a revocation list that a stranger signed",
        expected: Refused("THRESHOLD"),
        make: |scene| {
            let stranger = Publisher { roots: scene.publisher.roots.clone(), ..Publisher::new() };
            stranger.revoke(None, &[&something()])
        },
    },
    Attack {
        number: 26,
        name: "a bundle that holds what its own revocation list names",
        expected: RefusedKeepingList("REVOKED"),
        make: |scene| {
            let cargo = Cargo::sample(1);
            let list = scene.publisher.revoke(None, &[&cargo.lock.references[0].digest]);
            scene.carrying(&cargo, list)
        },
    },
    Attack {
        number: 26,
        name: "a revocation list taken out of a bundle",
        expected: Refused("INCOMPLETE"),
        make: |scene| {
            let list = scene.publisher.revoke(None, &[&something()]);
            let mut parts = Parts::of(&scene.carrying(&Cargo::sample(1), list));
            parts.entries.retain(|entry| !entry.header.starts_with(LIST.as_bytes()));
            parts.to_bytes()
        },
    },
    Attack {
        number: 26,
        name: "an older revocation list in place of the one in a bundle",
        expected: RefusedKeepingList("SIZE"),
        make: |scene| {
            let first = scene.publisher.revoke(None, &[]);
            let second = scene.publisher.revoke(Some(&first), &[&something()]);
            let mut parts = Parts::of(&scene.carrying(&Cargo::sample(1), second));
            parts.set(LIST, &first);
            parts.to_bytes()
        },
    },
    Attack {
        number: 26,
        name: "a revocation list put into a bundle",
        expected: RefusedKeepingList("UNDECLARED"),
        make: |scene| {
            let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
            parts.entries.push(TarEntry::honest(LIST, &scene.publisher.revoke(None, &[&something()])));
            parts.to_bytes()
        },
    },
    Attack {
        number: 26,
        name: "two revocation lists of one version, one in a bundle",
        expected: Refused("EQUIVOCATION"),
        make: |scene| {
            scene.take(&scene.publisher.revoke(None, &[&something()]));
            scene.carrying(&Cargo::sample(1), scene.publisher.revoke(None, &[&another()]))
        },
    },
    Attack {
        number: 26,
        name: "a bundle that was built before the newest list (harmless)",
        expected: Accepted,
        make: |scene| {
            let first = scene.publisher.revoke(None, &[&something()]);
            scene.take(&scene.publisher.revoke(Some(&first), &[&another()]));
            scene.carrying(&Cargo::sample(1), first)
        },
    },
    Attack {
        number: 27,
        name: "the revocation list of a publisher whom nobody enrolled",
        expected: Refused("NOT_ENROLLED"),
        make: |_| Publisher::new().revoke(None, &[&something()]),
    },
    Attack {
        number: 27,
        name: "a bundle with the revocation list of another publisher",
        expected: Refused("SCOPE"),
        make: |scene| scene.carrying(&Cargo::sample(1), Publisher::new().revoke(None, &[&something()])),
    },
    Attack {
        number: 11,
        name: "a revocation list without end in a bundle",
        expected: Refused("LIMIT"),
        make: |scene| {
            let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
            let bent = |header: &mut tar::Header| header.set_size((2 << 20) + 1);
            parts.entries.push(TarEntry::bent(LIST, bent));
            parts.to_bytes()
        },
    },
];
