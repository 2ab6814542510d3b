//! What a parameter can stand for: one scalar, never a list or a mapping.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes of one value at most.
pub(super) const MAX_TEXT: usize = 4096;

/// The largest integer that canonical JSON carries without loss (RFC 7493, section 2.2).
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ParameterValue {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer, from −(2^53−1) to 2^53−1.
    Integer(i64),
    /// A text of one line.
    String(String),
}

impl ParameterValue {
    /// What kind of value it is, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
        }
    }

    /// What is wrong with it, whatever is declared: texts travel in signed JSON and are shown on terminals.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Boolean(_) => None,
            Self::Integer(number) => (number.unsigned_abs() > MAX_INTEGER.unsigned_abs())
                .then(|| format!("an integer is at most {MAX_INTEGER}, and at least its negative")),
            Self::String(text) if text.len() > MAX_TEXT => {
                Some(format!("it has {} bytes, and at most {MAX_TEXT} are taken", text.len()))
            }
            Self::String(text) => text
                .chars()
                .any(char::is_control)
                .then(|| "it holds a line break or another control character".to_owned()),
        }
    }
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::String(value) => value.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl Visitor<'_> for AnyScalar {
    type Value = ParameterValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string (in quotes where it looks like a number), an integer, true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ParameterValue, E> {
        let value = i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))?;
        Ok(ParameterValue::Integer(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ParameterValue, E> {
        Ok(ParameterValue::String(value.to_owned()))
    }
}
