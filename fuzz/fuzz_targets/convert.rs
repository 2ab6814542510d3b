//! Other tools' lists of content: whatever is converted is a spec that we read, and holds no control character.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::convert::{ConvertError, Format, Options, convert};

fuzz_target!(|text: &str| {
    for from in [None].into_iter().chain(Format::ALL.map(Some)) {
        match convert("list.yaml", text, &Options { from, ..Options::default() }) {
            Ok(conversion) => {
                let is_safe = |character: char| character == '\n' || !character.is_control();
                assert!(conversion.text.chars().all(is_safe), "{:?}", conversion.text);
            }
            Err(error) => assert!(!matches!(error, ConvertError::Output(_)), "{error:?}"),
        }
    }
});
