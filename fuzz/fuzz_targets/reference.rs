//! Names of images and artifacts: what is read is read alike from its own text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::{ArtifactName, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().expect("its own text"), reference);
    }
    if let Ok(name) = text.parse::<ArtifactName>() {
        assert_eq!(name.as_str(), text);
    }
});
