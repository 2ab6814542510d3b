//! The strict reader.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Error, MAX_INTEGER};

/// What one document may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Objects and arrays within one another; at most 100, since the parser itself stops at 127.
    pub depth: usize,
    /// Object members and array elements, counted over the whole document.
    pub entries: usize,
}

impl Limits {
    /// For roots, receipts and the like: 1 MiB, 32 levels, 20 000 entries.
    pub const DOCUMENT: Self = Self { bytes: 1 << 20, depth: 32, entries: 20_000 };
    /// For locks, manifests and releases: 32 MiB, 32 levels, 300 000 entries (some 40 000 blobs). An entry takes up to
    /// some 700 bytes once it is read, so this keeps a hostile manifest within the memory that a transfer may use.
    pub const MANIFEST: Self = Self { bytes: 32 << 20, depth: 32, entries: 300_000 };
}

/// Parses `bytes` strictly (see the module's rules), reading nothing beyond `limits`.
///
/// # Errors
/// Every [`Error`] but [`Error::NotCanonical`] and [`Error::Schema`].
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, Error> {
    if bytes.len() > limits.bytes {
        return Err(Error::Limit { what: "bytes", limit: limits.bytes });
    }
    let walk = Walk { limits, entries: Cell::new(0), fault: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Node { walk: &walk, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (walk.fault.into_inner(), parsed) {
        (Some(fault), _) => Err(fault),
        (None, parsed) => parsed.map_err(Error::Syntax),
    }
}

/// What is known of the document so far. `fault` carries our own error past serde's, which only knows texts.
struct Walk<'a> {
    limits: &'a Limits,
    entries: Cell<usize>,
    fault: RefCell<Option<Error>>,
}

impl Walk<'_> {
    fn refuse<E: serde::de::Error>(&self, fault: Error) -> E {
        let text = E::custom(&fault);
        self.fault.borrow_mut().get_or_insert(fault);
        text
    }

    fn count_entry<E: serde::de::Error>(&self) -> Result<(), E> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > self.limits.entries {
            return Err(self.refuse(Error::Limit { what: "entries", limit: self.limits.entries }));
        }
        Ok(())
    }

    fn check_key<E: serde::de::Error>(&self, key: &str) -> Result<(), E> {
        if key.chars().any(char::is_control) {
            return Err(self.refuse(Error::ControlCharacter(key.to_owned())));
        }
        Ok(())
    }

    fn check_text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err(self.refuse(Error::ControlCharacter(text.chars().take(80).collect())));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    walk: &'a Walk<'a>,
    depth: usize,
}

impl Node<'_> {
    fn child<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > self.walk.limits.depth {
            return Err(self.walk.refuse(Error::Limit { what: "levels", limit: self.walk.limits.depth }));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_INTEGER.unsigned_abs() {
            return Err(self.walk.refuse(Error::Number));
        }
        Ok(Value::from(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value < -MAX_INTEGER {
            return Err(self.walk.refuse(Error::Number));
        }
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(self.walk.refuse(Error::Number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.walk.check_text(text)?;
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(child)? {
            self.walk.count_entry()?;
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            self.walk.count_entry()?;
            self.walk.check_key(&key)?;
            if object.contains_key(&key) {
                return Err(self.walk.refuse(Error::DuplicateKey(key)));
            }
            let value = members.next_value_seed(child)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("depth", &self.depth).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reason::Code;

    const SMALL: Limits = Limits { bytes: 200, depth: 3, entries: 5 };

    fn code(text: &str) -> Code {
        parse(text.as_bytes(), &SMALL).expect_err(text).code()
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        assert_eq!(code(r#"{"a":1,"a":2}"#), Code::Ambiguous);
        assert_eq!(code(r#"{"a":1,"\u0061":2}"#), Code::Ambiguous);
        for number in ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "18446744073709551616"] {
            assert_eq!(code(number), Code::Format, "{number}");
        }
        for text in [r#""\u0000""#, r#""\u001b[31m""#, r#""\u007f""#, r#""\u0085""#, r#"{"a\nb":1}"#] {
            assert_eq!(code(text), Code::Format, "{text}");
        }
        for text in ["", "{", "{}x", "{'a':1}", "\u{feff}{}", "[1,]", "nul", "\"\\ud800\""] {
            assert_eq!(code(text), Code::Format, "{text}");
        }
    }

    #[test]
    fn bytes_levels_and_entries_are_bounded() {
        assert_eq!(code(&" ".repeat(201)), Code::Limit);
        assert_eq!(code("[[[[]]]]"), Code::Limit);
        assert_eq!(code("[1,2,3,4,5,6]"), Code::Limit);
        assert_eq!(code(&"[".repeat(200)), Code::Limit);
        assert!(parse(b"[[[1]],2,3]", &SMALL).is_ok());
    }

    #[test]
    fn the_greatest_integers_and_line_feeds_pass() {
        let value = parse(br#"[9007199254740991,-9007199254740991,"a\nb"]"#, &SMALL).unwrap();
        assert_eq!(value, serde_json::json!([MAX_INTEGER, -MAX_INTEGER, "a\nb"]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = parse(&bytes, &Limits::DOCUMENT) {
                prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
            }
        }

        #[test]
        fn json_like_texts_are_parsed_or_refused(text in r#"[\[\]{}":,0-9eE.\-a-c\\un ]{0,60}"#) {
            if let Ok(value) = parse(text.as_bytes(), &Limits::DOCUMENT) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }
    }
}
