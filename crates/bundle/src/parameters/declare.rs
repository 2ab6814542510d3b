//! What a spec declares about a parameter, and what a value must be to fit it.

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::ParameterValue;
use crate::document::nearest;

/// Bytes of a compiled pattern at most.
const MAX_PATTERN: usize = 1 << 20;

/// A parameter: a value that a person gives when the spec is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParameterSpec {
    /// What its value is.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// What it is for, for the person who gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value where none is given; a parameter has either this or `required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ParameterValue>,
    /// Whether a value has to be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// A regular expression that the whole of a string must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The values that an enum takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The least value of an integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// The greatest value of an integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
}

/// What the value of a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A text of one line.
    String,
    /// An integer.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of the strings under `values`.
    Enum,
}

impl ParameterType {
    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Enum => "enum",
        }
    }
}

/// What is wrong with a declaration, and in which of its fields.
pub(super) struct Misdeclared {
    /// None where it is the whole.
    pub(super) field: Option<&'static str>,
    pub(super) problem: String,
}

/// Names become parts of placeholders and of arguments.
pub(super) fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(legal)
}

impl ParameterSpec {
    /// What contradicts itself, whatever value is given.
    pub(super) fn check(&self) -> Result<(), Misdeclared> {
        let wrong = |field, problem: &str| Err(Misdeclared { field: Some(field), problem: problem.to_owned() });
        let is = |kind| self.kind == kind;
        match () {
            () if self.required && self.default.is_some() => {
                return wrong("default", "a required parameter has no default: a value is always given");
            }
            () if !self.required && self.default.is_none() => {
                let problem = "it has neither `default` nor `required: true`".to_owned();
                return Err(Misdeclared { field: None, problem });
            }
            () if is(ParameterType::Enum) && self.values.is_empty() => {
                let problem = "an enum needs `values`".to_owned();
                return Err(Misdeclared { field: None, problem });
            }
            () if !is(ParameterType::Enum) && !self.values.is_empty() => {
                return wrong("values", "only an enum has values to choose from");
            }
            () if !is(ParameterType::String) && self.pattern.is_some() => {
                return wrong("pattern", "only a string has a pattern");
            }
            () if !is(ParameterType::Integer) && self.minimum.is_some() => {
                return wrong("minimum", "only an integer has a minimum");
            }
            () if !is(ParameterType::Integer) && self.maximum.is_some() => {
                return wrong("maximum", "only an integer has a maximum");
            }
            () if self.minimum.zip(self.maximum).is_some_and(|(least, most)| least > most) => {
                return wrong("maximum", "it is less than the minimum");
            }
            () => {}
        }
        let in_field = |field| move |problem| Misdeclared { field: Some(field), problem };
        self.regex().map_err(in_field("pattern"))?;
        for value in &self.values {
            let problem = ParameterValue::String(value.clone()).problem();
            problem.map_or(Ok(()), |problem| Err(in_field("values")(problem)))?;
        }
        self.default.iter().try_for_each(|value| self.accept(value)).map_err(in_field("default"))
    }

    /// Whether `value` fits, and in words why not.
    pub(super) fn accept(&self, value: &ParameterValue) -> Result<(), String> {
        value.problem().map_or(Ok(()), Err)?;
        match (self.kind, value) {
            (ParameterType::Boolean, ParameterValue::Boolean(_)) => Ok(()),
            (ParameterType::Integer, ParameterValue::Integer(number)) => self.accept_integer(*number),
            (ParameterType::String, ParameterValue::String(text)) => self.accept_string(text),
            (ParameterType::Enum, ParameterValue::String(text)) => self.accept_choice(text),
            (ParameterType::String | ParameterType::Enum, other) => {
                Err(format!("expected a string, found {}: write it in quotes", other.kind()))
            }
            (kind, other) => Err(format!("expected {}, found {}", an(kind), other.kind())),
        }
    }

    /// The value that `text` stands for where it is typed by a person, outside of YAML.
    pub(super) fn read(&self, text: &str) -> Result<ParameterValue, String> {
        let value = match self.kind {
            ParameterType::String | ParameterType::Enum => ParameterValue::String(text.to_owned()),
            ParameterType::Boolean => {
                ParameterValue::Boolean(text.parse().map_err(|_| format!("expected true or false, found {text:?}"))?)
            }
            ParameterType::Integer => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let number = digits.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
                ParameterValue::Integer(number.ok_or_else(|| format!("expected an integer, found {text:?}"))?)
            }
        };
        self.accept(&value)?;
        Ok(value)
    }

    fn accept_integer(&self, number: i64) -> Result<(), String> {
        if let Some(least) = self.minimum.filter(|least| number < *least) {
            return Err(format!("{number} is less than {least}"));
        }
        match self.maximum.filter(|most| number > *most) {
            Some(most) => Err(format!("{number} is more than {most}")),
            None => Ok(()),
        }
    }

    fn accept_string(&self, text: &str) -> Result<(), String> {
        match self.regex()? {
            Some(regex) if !regex.is_match(text) => {
                Err(format!("{text:?} does not fit the pattern {}", self.pattern.as_deref().unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    fn accept_choice(&self, text: &str) -> Result<(), String> {
        if self.values.iter().any(|value| value == text) {
            return Ok(());
        }
        let known: Vec<&str> = self.values.iter().map(String::as_str).collect();
        match nearest(text, &known) {
            Some(nearest) => Err(format!("{text:?} is none of its values, did you mean {nearest:?}?")),
            None => Err(format!("{text:?} is none of its values, which are {}", known.join(", "))),
        }
    }

    /// The pattern, to be met by the whole text.
    fn regex(&self) -> Result<Option<Regex>, String> {
        let Some(pattern) = &self.pattern else { return Ok(None) };
        // By itself first, so that nothing in it closes the group that is put around it.
        let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
        build(pattern)
            .and_then(|_| build(&format!(r"\A(?:{pattern})\z")))
            .map(Some)
            .map_err(|_| format!("{pattern:?} is not a regular expression"))
    }
}

fn an(kind: ParameterType) -> String {
    match kind {
        ParameterType::Boolean => "true or false".to_owned(),
        ParameterType::Integer => "an integer".to_owned(),
        other => format!("a {}", other.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declare(text: &str) -> ParameterSpec {
        serde_saphyr::from_str(text).unwrap()
    }

    fn problem(text: &str) -> String {
        let Misdeclared { field, problem } = declare(text).check().err().unwrap();
        format!("{}: {problem}", field.unwrap_or("-"))
    }

    #[test]
    fn a_declaration_must_make_sense() {
        insta::assert_snapshot!(problem("{type: string}"), @"-: it has neither `default` nor `required: true`");
        insta::assert_snapshot!(problem("{type: string, required: true, default: a}"), @"default: a required parameter has no default: a value is always given");
        insta::assert_snapshot!(problem("{type: enum, required: true}"), @"-: an enum needs `values`");
        insta::assert_snapshot!(problem("{type: string, required: true, values: [a]}"), @"values: only an enum has values to choose from");
        insta::assert_snapshot!(problem("{type: integer, required: true, pattern: a}"), @"pattern: only a string has a pattern");
        insta::assert_snapshot!(problem("{type: integer, required: true, minimum: 2, maximum: 1}"), @"maximum: it is less than the minimum");
        insta::assert_snapshot!(problem("{type: string, required: true, pattern: 'a)|(b'}"), @r#"pattern: "a)|(b" is not a regular expression"#);
        insta::assert_snapshot!(problem("{type: string, default: 17}"), @"default: expected a string, found an integer: write it in quotes");
        insta::assert_snapshot!(problem("{type: integer, default: 9, maximum: 5}"), @"default: 9 is more than 5");
        insta::assert_snapshot!(problem("{type: integer, default: 9007199254740992}"), @"default: an integer is at most 9007199254740991, and at least its negative");
        insta::assert_snapshot!(problem("{type: enum, values: [small, large], default: smal}"), @r#"default: "smal" is none of its values, did you mean "small"?"#);
    }

    #[test]
    fn what_is_typed_becomes_what_is_declared() {
        let read = |spec: &str, text: &str| declare(spec).read(text);
        assert_eq!(read("{type: integer, required: true}", "-3"), Ok(ParameterValue::Integer(-3)));
        assert_eq!(read("{type: boolean, required: true}", "true"), Ok(ParameterValue::Boolean(true)));
        assert_eq!(read("{type: string, required: true}", "true"), Ok(ParameterValue::String("true".into())));
        for (spec, text) in [
            ("{type: integer, required: true}", "+3"),
            ("{type: integer, required: true}", "3.0"),
            ("{type: integer, required: true}", ""),
            ("{type: integer, required: true, minimum: 1}", "0"),
            ("{type: boolean, required: true}", "yes"),
            ("{type: string, required: true}", "two\nlines"),
            ("{type: string, required: true}", "\u{1b}[2J"),
            ("{type: string, required: true, pattern: 'a|b'}", "ab"),
            ("{type: string, required: true, pattern: 'a$'}", "a\n"),
        ] {
            assert!(read(spec, text).is_err(), "{spec} {text:?}");
        }
    }
}
