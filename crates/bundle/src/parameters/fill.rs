//! Fills placeholders in.
//!
//! The text is parsed, and each scalar in which a placeholder stands is written anew as one scalar. Then the outcome is
//! parsed too and held against what was meant: the same events, but for these scalars. A value that would become anything
//! but one scalar cannot get through, whatever stands in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use granit_parser::{Event, Parser, ScalarStyle};

use super::declare::is_legal_name;
use super::holes::{self, Met, OPENING, Problem, Step};
use super::{ParameterValue, Parameters};
use crate::document::{self, DocumentError, Place};

/// A text whose placeholders are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The text; its lines are where they were.
    pub text: String,
    /// The parameters that stood in it.
    pub used: BTreeSet<String>,
}

/// A part of a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Parameter(String),
}

/// Whether the scalar at these steps may hold these pieces; in words why not.
pub(super) type Rule<'a> = dyn Fn(&[Step], &[Piece]) -> Result<(), String> + 'a;

/// Fills the placeholders of `text`, the content of the YAML or JSON file `path`; none where it has no placeholder.
///
/// # Errors
/// With the place, where the text is not YAML, a placeholder is malformed, names no parameter, or stands in a key.
pub fn fill(path: &Path, text: &str, parameters: &Parameters) -> Result<Option<Filled>, DocumentError> {
    fill_by(path, text, parameters, &|_, _| Ok(()))
}

pub(super) fn fill_by(
    path: &Path,
    text: &str,
    parameters: &Parameters,
    rule: &Rule<'_>,
) -> Result<Option<Filled>, DocumentError> {
    let mut filling = Filling { parameters, rule, scalars: 0, patches: BTreeMap::new(), used: BTreeSet::new() };
    let visited = holes::scalars(text, &mut |met| filling.take(met));
    visited.map_err(|Problem { place, problem }| DocumentError::at(path, place, problem))?;
    let Some(first) = filling.patches.values().next().map(|patch| patch.place) else { return Ok(None) };
    let filled = filling.apply(text);
    if !filling.is_what_was_meant(text, &filled) {
        let problem = "the value cannot be filled in here without changing what stands around it: put it in quotes";
        return Err(DocumentError::other(path, Some(first), problem));
    }
    Ok(Some(Filled { text: filled, used: filling.used }))
}

/// What to say of a name that is not declared.
pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> document::Problem {
    match known {
        [] => document::Problem::Other(format!("unknown parameter {name:?}: the spec declares none")),
        known => document::unknown("parameter", name, known),
    }
}

struct Filling<'a> {
    parameters: &'a Parameters,
    rule: &'a Rule<'a>,
    /// Scalars met so far.
    scalars: usize,
    /// By the number of the scalar, which is their order too.
    patches: BTreeMap<usize, Patch>,
    used: BTreeSet<String>,
}

/// A scalar that is written anew.
struct Patch {
    place: Place,
    span: Range<usize>,
    value: String,
    is_plain: bool,
}

impl Filling<'_> {
    fn take(&mut self, met: &Met<'_>) -> Result<(), Problem> {
        let number = self.scalars;
        self.scalars += 1;
        let wrong = |problem: String| Problem::at(met.place, problem);
        let Some(pieces) = pieces(met.text).map_err(wrong)? else { return Ok(()) };
        if met.is_key {
            return Err(wrong("a parameter stands in a key, and keys are not for parameters".to_owned()));
        }
        for piece in &pieces {
            let Piece::Parameter(name) = piece else { continue };
            if !self.parameters.contains_key(name) {
                let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                return Err(Problem { place: met.place, problem: unknown_parameter(name, &known) });
            }
            self.used.insert(name.clone());
        }
        (self.rule)(met.path, &pieces).map_err(wrong)?;
        let (value, is_plain) = self.value_of(&pieces, met.is_plain);
        self.patches.insert(number, Patch { place: met.place, span: met.span.clone(), value, is_plain });
        Ok(())
    }

    /// What the scalar comes to: an integer or boolean stays one where it stands alone and without quotes.
    fn value_of(&self, pieces: &[Piece], is_plain: bool) -> (String, bool) {
        if let [Piece::Parameter(name)] = pieces
            && let Some(value) = self.parameters.get(name)
        {
            return (value.to_string(), is_plain && value.is_plain());
        }
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Parameter(name) => self.parameters.get(name).map(ParameterValue::to_string).unwrap_or_default(),
        };
        (pieces.iter().map(text).collect(), false)
    }

    fn apply(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut at = 0;
        for Patch { span, value, is_plain, .. } in self.patches.values() {
            filled.push_str(text.get(at..span.start).unwrap_or_default());
            filled.push_str(&if *is_plain { value.clone() } else { quoted(value) });
            // What is behind stays on its line.
            let lines = text.get(span.clone()).unwrap_or_default().matches('\n').count();
            filled.push_str(&"\n".repeat(lines));
            at = span.end;
        }
        filled.push_str(text.get(at..).unwrap_or_default());
        filled
    }

    /// Whether both texts parse to the same, but for the patches, which are what they shall be.
    fn is_what_was_meant(&self, text: &str, filled: &str) -> bool {
        let (mut before, mut after) = (Parser::new_from_str(text), Parser::new_from_str(filled));
        let mut number = 0;
        loop {
            let (old, new) = match (next_event(&mut before), next_event(&mut after)) {
                (Ok(None), Ok(None)) => return number == self.scalars,
                (Ok(Some(old)), Ok(Some(new))) => (old, new),
                _ => return false,
            };
            let is_same = match (&old, &new) {
                (Event::Scalar(_, _, old_anchor, old_tag), Event::Scalar(value, style, anchor, tag)) => {
                    let patch = self.patches.get(&number);
                    number += 1;
                    patch.map_or(old == new, |patch| {
                        let is_plain = *style == ScalarStyle::Plain;
                        let same_node = old_anchor == anchor && old_tag == tag;
                        same_node && *value == patch.value && is_plain == patch.is_plain
                    })
                }
                (old, new) => old == new,
            };
            if !is_same {
                return false;
            }
        }
    }
}

/// The next event that says something about the content.
fn next_event<'i, I: granit_parser::BorrowedInput<'i>>(parser: &mut Parser<'i, I>) -> Result<Option<Event<'i>>, ()> {
    loop {
        match parser.next_event() {
            None => return Ok(None),
            Some(Err(_)) => return Err(()),
            Some(Ok((Event::Comment(..) | Event::Nothing, _))) => {}
            Some(Ok((event, _))) => return Ok(Some(event)),
        }
    }
}

/// The parts of a scalar; none where there is neither a placeholder nor an escaped one in it.
fn pieces(text: &str) -> Result<Option<Vec<Piece>>, String> {
    if !text.contains(OPENING) {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPENING) {
        let (before, behind) = (rest.get(..at).unwrap_or_default(), rest.get(at + OPENING.len()..).unwrap_or_default());
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str(OPENING);
            rest = behind;
            continue;
        }
        literal.push_str(before);
        let name = behind.split_once(')').filter(|(name, _)| is_legal_name(name));
        let Some((name, behind)) = name else {
            let shown: String = rest.get(at..).unwrap_or_default().chars().take(40).collect();
            return Err(format!(
                "{shown:?} is no placeholder, which is written $(parameters.NAME); $$ in front keeps it as text"
            ));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Parameter(name.to_owned()));
        rest = behind;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(Some(pieces))
}

/// The text as a double-quoted scalar on one line, which is JSON too (YAML 1.2.2, section 5.7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters() -> Parameters {
        Parameters::from([
            ("replicas".to_owned(), ParameterValue::Integer(3)),
            ("debug".to_owned(), ParameterValue::Boolean(false)),
            ("host".to_owned(), ParameterValue::String("app.plant-7.lab".to_owned())),
            ("number".to_owned(), ParameterValue::String("0644".to_owned())),
        ])
    }

    fn filled(text: &str) -> String {
        fill(Path::new("x.yaml"), text, &parameters()).unwrap().unwrap().text
    }

    fn error(text: &str) -> String {
        fill(Path::new("x.yaml"), text, &parameters()).unwrap_err().to_string()
    }

    #[test]
    fn a_value_keeps_its_type_and_everything_else_its_bytes() {
        let text = "# $(parameters.comment) stays
kind: Deployment   # as it was
spec:
  replicas: $(parameters.replicas)
  quoted: \"$(parameters.replicas)\"
  debug: $(parameters.debug)
  mode: 0644
  number: $(parameters.number)
  url: https://$(parameters.host):$(parameters.replicas)/x
  flow: {a: $(parameters.replicas), b: ['$(parameters.host)', yes]}
  escaped: $$(parameters.host)
  kubernetes: $(HOST) $(parameters) ${parameters.host}
  script: |
    echo $(parameters.host)
    exit 0
  folded: >-
    a $(parameters.host)
    b
  last: &anchor $(parameters.host)
  again: *anchor
";
        insta::assert_snapshot!(filled(text));
        assert_eq!(filled(text).lines().count(), text.lines().count());
        assert_eq!(fill(Path::new("x"), "a: $(HOST)\nb: ${parameters.x}\n", &parameters()), Ok(None));
    }

    #[test]
    fn json_stays_json() {
        let text = r#"{"replicas": "$(parameters.replicas)", "text": "a\n\"$(parameters.host)\"\u0001"}"#;
        let value: serde_json::Value = serde_json::from_str(&filled(text)).unwrap();
        assert_eq!(value, serde_json::json!({"replicas": "3", "text": "a\n\"app.plant-7.lab\"\u{1}"}));
    }

    #[test]
    fn errors_say_where_and_what_was_meant() {
        insta::assert_snapshot!(error("a: 1\nb:\n  - x-$(parameters.replica)\n"), @r#"x.yaml:3:5: unknown parameter "replica", did you mean "replicas"?"#);
        insta::assert_snapshot!(error("a: $(parameters.)\n"), @r#"x.yaml:1:4: "$(parameters.)" is no placeholder, which is written $(parameters.NAME); $$ in front keeps it as text"#);
        insta::assert_snapshot!(error("a: $(parameters.host\n"), @r#"x.yaml:1:4: "$(parameters.host" is no placeholder, which is written $(parameters.NAME); $$ in front keeps it as text"#);
        insta::assert_snapshot!(error("$(parameters.host): 1\n"), @"x.yaml:1:1: a parameter stands in a key, and keys are not for parameters");
        assert!(error("a: [1\n").starts_with("x.yaml:"));
        let none = fill(Path::new("x"), "a: $(parameters.host)", &Parameters::new()).unwrap_err().to_string();
        insta::assert_snapshot!(none, @r#"x:1:4: unknown parameter "host": the spec declares none"#);
    }

    /// A value is what an attacker would choose: it must come out as the scalar it went in as.
    fn comes_out(text: &str, value: &str) {
        let parameters = Parameters::from([("host".to_owned(), ParameterValue::String(value.to_owned()))]);
        let filled = fill(Path::new("x"), text, &parameters).unwrap().unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&filled.text).unwrap();
        let wanted = serde_json::json!({"a": value, "b": {"c": [format!("x{value}y")]}, "z": "end"});
        assert_eq!(read, wanted, "{}", filled.text);
    }

    #[test]
    fn a_value_never_becomes_structure() {
        let texts = [
            "a: $(parameters.host)\nb:\n  c:\n    - x$(parameters.host)y\nz: end\n",
            "{a: $(parameters.host), b: {c: [x$(parameters.host)y]}, z: end}\n",
            "a: '$(parameters.host)'\nb: {c: [\"x$(parameters.host)y\"]}\nz: end\n",
            "a: |-\n  $(parameters.host)\nb:\n  c:\n  - >-\n    x$(parameters.host)y\nz: end\n",
        ];
        for value in [
            "x\", \"privileged\": true, \"",
            "' injected: yes",
            "}\nevil: 1",
            "- a",
            "# not a comment",
            "*alias",
            "&anchor",
            "!!int 5",
            "|",
            "> ",
            "null",
            "~",
            "",
            " ",
            "yes",
            "1e3",
            "0x1f",
            "key: value",
            "$(parameters.host)",
            "\\",
            "\"",
            "${IFS}",
            "{{ .Values.x }}",
            "\u{2028}",
            "---",
        ] {
            texts.iter().for_each(|text| comes_out(text, value));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_value_the_structure_stays(value in "\\PC{0,40}") {
            comes_out("a: $(parameters.host)\nb:\n  c:\n    - x$(parameters.host)y\nz: end\n", &value);
            comes_out("{a: \"$(parameters.host)\", b: {c: [x$(parameters.host)y]}, z: end}", &value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s)(\\$\\(parameters\\.(host|replicas|x)\\)|[ \n:\\[\\]{}&*!|>'\"#a-z?,-]){0,40}") {
            drop(fill(Path::new("x"), &text, &parameters()));
        }
    }
}
