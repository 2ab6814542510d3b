//! The JSON Canonicalization Scheme (RFC 8785): the form of every document that is ours.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::canonical::{self, Dialect};
use super::{Error, Limits, parse};

const JCS: Dialect = Dialect {
    // RFC 8785, 3.2.3: keys are sorted as arrays of UTF-16 code units.
    compare_keys: |left, right| left.encode_utf16().cmp(right.encode_utf16()),
    write_text,
};

/// `document` in canonical form.
///
/// # Errors
/// [`Error::Number`] for a float or an integer beyond 2^53−1; [`Error::Schema`] where `document` has no JSON form.
pub fn to_vec<T: Serialize + ?Sized>(document: &T) -> Result<Vec<u8>, Error> {
    let value = serde_json::to_value(document).map_err(Error::Schema)?;
    value_to_vec(&value)
}

/// Reads a document that must be in canonical form, byte for byte, and hold nothing that `T` would not write again.
///
/// # Errors
/// Every [`Error`]: an unknown field that `T` lets pass is [`Error::NotCanonical`], since it would be lost.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, Error> {
    let value = parse(bytes, limits)?;
    if value_to_vec(&value)? != bytes {
        return Err(Error::NotCanonical);
    }
    let document: T = serde_json::from_value(value).map_err(Error::Schema)?;
    if to_vec(&document)? != bytes {
        return Err(Error::NotCanonical);
    }
    Ok(document)
}

fn value_to_vec(value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    canonical::write(value, JCS, &mut out)?;
    Ok(out)
}

/// RFC 8785, 3.2.2.2: two-character escapes where JSON has them, `\u00xx` for the other control characters.
fn write_text(text: &str, out: &mut Vec<u8>) {
    canonical::write_quoted(text, escape, out);
}

fn escape(byte: u8, out: &mut Vec<u8>) -> bool {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0x00..=0x1f => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return true;
        }
        _ => return false,
    };
    out.extend_from_slice(&[b'\\', short]);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::reason::Code;

    #[derive(Debug, Serialize, Deserialize)]
    struct Sample {
        a: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        b: Option<String>,
    }

    fn code(text: &str) -> Code {
        from_slice::<Sample>(text.as_bytes(), &Limits::DOCUMENT).expect_err(text).code()
    }

    #[test]
    fn keys_sort_by_utf16_code_units_as_in_rfc_8785_section_3_2_3() {
        let value = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        assert_eq!(text, "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn texts_are_escaped_as_in_rfc_8785_section_3_2_2() {
        let text = "\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{7f}";
        assert_eq!(to_vec(text).unwrap(), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\"".as_bytes());
    }

    #[test]
    fn floats_and_large_integers_cannot_be_written() {
        assert!(matches!(to_vec(&1.5), Err(Error::Number)));
        assert!(matches!(to_vec(&(1_u64 << 53)), Err(Error::Number)));
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(from_slice::<Sample>(br#"{"a":1,"b":"x"}"#, &Limits::DOCUMENT).unwrap().b.as_deref(), Some("x"));
        for other in [r#"{"a": 1}"#, r#"{"b":"x","a":1}"#, "{\"a\":1}\n", r#"{"a":1,"b":null}"#, r#"{"a":1,"c":2}"#] {
            assert_eq!(code(other), Code::Ambiguous, "{other}");
        }
        assert_eq!(code(r#"{"b":"x"}"#), Code::Format);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(map in any::<BTreeMap<u16, i32>>(), text in "[^\\p{Cc}]{0,20}") {
            let document: BTreeMap<String, (i32, String)> =
                map.into_iter().map(|(key, value)| (format!("{key}{text}"), (value, text.clone()))).collect();
            let bytes = to_vec(&document).unwrap();
            let read: BTreeMap<String, (i32, String)> = from_slice(&bytes, &Limits::MANIFEST).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
