//! SBOMs that came with an image: SPDX, CycloneDX, bare or in a statement.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::sbom::Sbom;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sbom) = Sbom::from_bytes(bytes) {
        assert!(sbom.count() >= sbom.packages.len());
    }
});
