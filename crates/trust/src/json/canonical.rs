//! The writer behind both canonical forms.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{Error, MAX_INTEGER};

/// Where the two canonical forms differ: the order of keys and the escaping of texts.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    pub(super) compare_keys: fn(&str, &str) -> Ordering,
    pub(super) write_text: fn(&str, &mut Vec<u8>),
}

pub(super) fn write(value: &Value, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_integer(number, out)?,
        Value::String(text) => (dialect.write_text)(text, out),
        Value::Array(elements) => write_array(elements, dialect, out)?,
        Value::Object(members) => write_object(members, dialect, out)?,
    }
    Ok(())
}

fn write_integer(number: &serde_json::Number, out: &mut Vec<u8>) -> Result<(), Error> {
    let integer = number.as_i64().filter(|integer| (-MAX_INTEGER..=MAX_INTEGER).contains(integer));
    let integer = integer.ok_or(Error::Number)?;
    out.extend_from_slice(integer.to_string().as_bytes());
    Ok(())
}

fn write_array(elements: &[Value], dialect: Dialect, out: &mut Vec<u8>) -> Result<(), Error> {
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, dialect, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(members: &Map<String, Value>, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(left, _), (right, _)| (dialect.compare_keys)(left, right));
    out.push(b'{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        (dialect.write_text)(key, out);
        out.push(b':');
        write(value, dialect, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes `text` between quotes, putting a backslash before each character that `escape` names.
pub(super) fn write_quoted(text: &str, escape: impl Fn(u8, &mut Vec<u8>) -> bool, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if !escape(byte, out) {
            out.push(byte);
        }
    }
    out.push(b'"');
}
