//! Placeholders in YAML: whatever the text and the value, what is filled in is one scalar, and the rest is what it was.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sealock_bundle::parameters::{ParameterValue, Parameters, fill};

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    let parameters = Parameters::from([
        ("a".to_owned(), ParameterValue::String(value.to_owned())),
        ("b".to_owned(), ParameterValue::Integer(7)),
        ("c".to_owned(), ParameterValue::Boolean(true)),
    ]);
    if let Ok(Some(filled)) = fill(Path::new("x.yaml"), text, &parameters) {
        let lines = |text: &str| text.matches('\n').count();
        assert_eq!(lines(&filled.text), lines(text));
    }
});
