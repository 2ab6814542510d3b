//! On the station's memory: an older copy of the trust folder, and what tells it from the newest.

use std::fs;

use super::forge::Cargo;
use super::{Attack, Expected};

use Expected::RefusedAndFrozen;

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 40,
        name: "a trust folder that was put back, told by the newest release",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        make: |scene| {
            scene.accept(1);
            scene.put_back(&["trust"], || scene.accept(2));
            scene.honest(&Cargo::sample(3))
        },
    },
    Attack {
        number: 40,
        name: "trust folder and store put back, told by a receipt given out",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        make: |scene| {
            scene.accept(1);
            scene.put_back(&["trust", "store"], || {
                scene.accept(2);
                scene.sandbox.must(&["release", "receipt"]);
            });
            scene.honest(&Cargo::sample(3))
        },
    },
    Attack {
        number: 40,
        name: "trust folder and store put back, told by what a cluster keeps",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        make: |scene| {
            scene.accept(1);
            scene.put_back(&["trust", "store"], || {
                scene.accept(2);
                // As `cluster apply` leaves it, in the cluster's folder and on its nodes.
                scene.sandbox.must(&["site", "state", "--export", "mirror.json"]);
                let folder = scene.sandbox.join("state/clusters/plant-7");
                fs::create_dir_all(&folder).expect("a folder");
                fs::copy(scene.sandbox.join("mirror.json"), folder.join("trust-mirror.json")).expect("a mirror");
            });
            scene.honest(&Cargo::sample(3))
        },
    },
    Attack {
        number: 40,
        name: "an older memory that went on to the same count",
        expected: RefusedAndFrozen("STATE_REGRESSION"),
        make: |scene| {
            scene.accept(1);
            scene.put_back(&["trust", "store"], || {
                scene.accept(2);
                scene.sandbox.must(&["site", "state", "--export", "mirror.json"]);
            });
            // Another second bundle, as somebody would want who puts a memory back.
            scene.take(&scene.honest(&Cargo::of_files(2, &[("x", b"something else")])));
            let folder = scene.sandbox.join("state/clusters/plant-7");
            fs::create_dir_all(&folder).expect("a folder");
            fs::copy(scene.sandbox.join("mirror.json"), folder.join("trust-mirror.json")).expect("a mirror");
            scene.honest(&Cargo::sample(3))
        },
    },
];
