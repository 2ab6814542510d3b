//! OLPC canonical JSON: the form of TUF metadata (TUF specification 1.0.34, section 4.2.1).

use serde::Serialize;

use super::Error;
use super::canonical::{self, Dialect};

const OLPC: Dialect = Dialect {
    // By code point, which UTF-8 keeps as the order of bytes.
    compare_keys: |left, right| left.cmp(right),
    write_text: |text, out| canonical::write_quoted(text, escape, out),
};

/// `document` in canonical form. A control character stands in it as it is, so not every result is JSON.
///
/// # Errors
/// [`Error::Number`] for a float or an integer beyond 2^53−1; [`Error::Schema`] where `document` has no JSON form.
pub fn to_vec<T: Serialize + ?Sized>(document: &T) -> Result<Vec<u8>, Error> {
    let value = serde_json::to_value(document).map_err(Error::Schema)?;
    let mut out = Vec::new();
    canonical::write(&value, OLPC, &mut out)?;
    Ok(out)
}

/// Only the quote and the backslash are escaped.
fn escape(byte: u8, out: &mut Vec<u8>) -> bool {
    let escaped = matches!(byte, b'"' | b'\\');
    if escaped {
        out.extend_from_slice(&[b'\\', byte]);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_quote_and_backslash_are_escaped_and_keys_sort_by_code_point() {
        let value = json!({"\u{1f600}": "a\nb", "\u{fb33}": "\"\\/", "b": [1, -2, true, null], "a": {}});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        assert_eq!(text, "{\"a\":{},\"b\":[1,-2,true,null],\"\u{fb33}\":\"\\\"\\\\/\",\"\u{1f600}\":\"a\nb\"}");
    }
}
