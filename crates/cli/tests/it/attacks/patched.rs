//! On layers that come as patches: the publisher's keys were stolen, and the patch is the thief's.

use std::collections::BTreeMap;

use sealock_bundle::manifest::Patch;
use sealock_bundle::patch::{self, Sketch};
use sealock_testkit::zstd;
use sealock_trust::Digest;

use super::forge::Cargo;
use super::{Attack, Expected, Scene};

use Expected::{Accepted, Refused};

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 38,
        name: "a patch that makes its layer (harmless)",
        expected: Accepted,
        make: |scene| delta(scene, &honest(LAYER)),
    },
    Attack {
        number: 38,
        name: "a patch that makes another layer",
        expected: Refused("PATCH"),
        make: |scene| delta(scene, &honest(OTHER)),
    },
    Attack {
        number: 38,
        name: "a patch that bursts into a gibibyte",
        expected: Refused("PATCH"),
        make: |scene| delta(scene, &text(0, 0, &zstd::bomb())),
    },
    Attack {
        number: 38,
        name: "a patch that reaches beyond its base",
        expected: Refused("PATCH"),
        make: |scene| delta(scene, &text(1 << 40, 1 << 20, &[])),
    },
    Attack {
        number: 38,
        name: "a patch that is none",
        expected: Refused("PATCH"),
        make: |scene| delta(scene, b"none"),
    },
];

const BASE: &[u8] = include_bytes!("../../../../bundle/testdata/vectors/layer-patch/base.gz");
const LAYER: &[u8] = include_bytes!("../../../../bundle/testdata/vectors/layer-patch/layer-go.gz");
const OTHER: &[u8] = include_bytes!("../../../../bundle/testdata/vectors/layer-patch/layer-zlib-6.gz");

/// The site has the base; the second bundle brings the layer as `content`.
fn delta(scene: &Scene<'_>, content: &[u8]) -> Vec<u8> {
    let first = scene.after_the_first(&Cargo::of_files(1, &[("app", BASE)]));
    let mut next = Cargo::of_files(2, &[("app", LAYER)]);
    next.bring(content);
    let (baseline, bases) = scene.baseline(&first);
    let unpatched = baseline.unpatched(&next.lock, &bases, None).expect("a delta");
    let patched = BTreeMap::from([(Digest::sha256(LAYER), claim(content))]);
    let manifest = baseline.patched(unpatched, patched, &bases).expect("a delta");
    scene.signed_as(&next, &manifest)
}

fn claim(content: &[u8]) -> Patch {
    Patch {
        format: patch::FORMAT.to_owned(),
        tool: "forged".to_owned(),
        digest: Digest::sha256(content),
        size: content.len() as u64,
        offset: 0,
        base: Digest::sha256(BASE),
        base_size: BASE.len() as u64,
    }
}

/// What makes `layer` of the base.
fn honest(layer: &[u8]) -> Vec<u8> {
    let sketch = Sketch::of(BASE).expect("a sketch").expect("a sketch");
    let mut made = Vec::new();
    patch::make(BASE, &sketch, layer, &mut made).expect("a patch");
    made
}

/// A patch whose first segment is this frame, on `length` bytes of the base's text from `from` on
/// (docs/formats/layer-patch.md).
fn text(from: u64, length: u32, frame: &[u8]) -> Vec<u8> {
    let segment = 1_u32.to_le_bytes();
    let frame_length = u32::try_from(frame.len()).expect("a length").to_le_bytes();
    let fields = [&[2][..], &from.to_le_bytes(), &length.to_le_bytes(), &segment, &frame_length];
    [b"sealock-patch/1\n\x01", &fields.concat()[..], frame].concat()
}
