//! What a person writes: bundle and site specs in YAML.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sealock_bundle::document::load_documents;
use sealock_bundle::{Bundle, Site};

fuzz_target!(|text: &str| {
    let path = Path::new("sealock.yaml");
    let _ = load_documents::<Bundle>(path, text);
    let _ = load_documents::<Site>(path, text);
});
