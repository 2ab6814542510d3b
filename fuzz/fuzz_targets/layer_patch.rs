//! Layer patches: whatever stands in one, it makes bytes or is refused, within the limits of a segment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::patch::apply;

fuzz_target!(|bytes: &[u8]| {
    let mut layer = Vec::new();
    let base = include_bytes!("../../crates/bundle/testdata/vectors/layer-patch/base.gz");
    let _ = apply(base.as_slice(), bytes, &mut layer);
});
