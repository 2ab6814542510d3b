//! Patterns of names: `*` stands for any text without a slash, `**` for any text.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
const LONGEST: usize = 255;

/// Wildcards in one pattern at most: the work of a match grows with them.
const MOST_WILDCARDS: usize = 8;

/// A pattern such as `team/**` or `node-*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Glob {
    text: Box<str>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern: 1 to {LONGEST} printable characters without blanks, of them at most {MOST_WILDCARDS} wildcards"
)]
pub struct ParseGlobError(String);

impl Glob {
    /// The pattern that every text fits.
    pub fn everything() -> Self {
        Self { text: "**".into() }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        &*self.text == "**" || fits(self.text.as_bytes(), text.as_bytes())
    }

    /// How many characters stand in it literally: of two patterns that fit one name, the one with more is narrower.
    pub(crate) fn narrowness(&self) -> usize {
        self.text.bytes().filter(|&byte| byte != b'*').count()
    }

    /// What every text that fits begins with.
    pub(crate) fn literal_prefix(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }
}

/// Whether `text` fits: the literal beginning first, since most patterns differ there, then all ways at once.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else { return pattern == text };
    let (literal, pattern) = pattern.split_at(star);
    match (text.strip_prefix(literal), pattern) {
        (None, _) => false,
        (Some(_), b"**") => true,
        (Some(text), b"*") => !text.contains(&b'/'),
        (Some(text), pattern) => fits_in_every_way(pattern, text),
    }
}

/// Which beginnings of `pattern` fit the text so far, byte by byte: pattern × text steps, whatever stands in either.
fn fits_in_every_way(pattern: &[u8], text: &[u8]) -> bool {
    let pieces = pieces(pattern);
    let mut fitting = vec![false; pieces.len() + 1];
    fitting[0] = true;
    allow_empty(&pieces, &mut fitting);
    for &byte in text {
        let mut next = vec![false; pieces.len() + 1];
        for (at, piece) in pieces.iter().enumerate().filter(|(at, _)| fitting[*at]) {
            match piece {
                Piece::Byte(wanted) => next[at + 1] |= *wanted == byte,
                Piece::Star => next[at] |= byte != b'/',
                Piece::Stars => next[at] = true,
            }
        }
        allow_empty(&pieces, &mut next);
        fitting = next;
    }
    fitting[pieces.len()]
}

/// A wildcard also stands for no text at all.
fn allow_empty(pieces: &[Piece], fitting: &mut [bool]) {
    for (at, piece) in pieces.iter().enumerate() {
        if fitting[at] && !matches!(piece, Piece::Byte(_)) {
            fitting[at + 1] = true;
        }
    }
}

#[derive(Clone, Copy)]
enum Piece {
    Byte(u8),
    Star,
    Stars,
}

fn pieces(mut pattern: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(pattern.len());
    loop {
        let (piece, rest) = match pattern {
            [b'*', b'*', rest @ ..] => (Piece::Stars, rest),
            [b'*', rest @ ..] => (Piece::Star, rest),
            [byte, rest @ ..] => (Piece::Byte(*byte), rest),
            [] => return pieces,
        };
        pieces.push(piece);
        pattern = rest;
    }
}

impl FromStr for Glob {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, ParseGlobError> {
        let error = || ParseGlobError(text.chars().take(80).collect());
        let legal = |c: char| !c.is_control() && !c.is_whitespace();
        let wildcards = text.bytes().filter(|&byte| byte == b'*').count();
        if text.is_empty() || text.len() > LONGEST || wildcards > MOST_WILDCARDS || !text.chars().all(legal) {
            return Err(error());
        }
        // `***` could be read in two ways.
        if text.contains("***") { Err(error()) } else { Ok(Self { text: text.into() }) }
    }
}

impl TryFrom<String> for Glob {
    type Error = ParseGlobError;

    fn try_from(text: String) -> Result<Self, ParseGlobError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text.into()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(text)
    }

    #[test]
    fn one_star_stays_within_a_component_and_two_do_not() {
        for (pattern, text) in [
            ("team/**", "team/a"),
            ("team/**", "team/a/b"),
            ("**", "a/b/c"),
            ("team/*", "team/a"),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("**/app", "x/y/app"),
            ("*/*", "a/b"),
            ("a/**/z", "a/b/c/z"),
            ("node-*", "node-7"),
            ("a*b*c", "a1b2b3c"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("team/**", "team"),
            ("team/**", "teams/a"),
            ("team/*", "team/a/b"),
            ("*", "a/b"),
            ("team", "team/a"),
            ("a*c", "a/c"),
            ("*/*", "a"),
            ("a/**/z", "a/z"),
            ("node-*", "anode-7"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a b", "a\n", "***", "*a*a*a*a*a*a*a*a*a", &"a".repeat(256)] {
            assert!(text.parse::<Glob>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_every_fitting_text_begins_with_is_what_stands_before_the_first_star() {
        assert_eq!("docker.io/team/**".parse::<Glob>().unwrap().literal_prefix(), "docker.io/team/");
        assert_eq!(Glob::everything().literal_prefix(), "");
        assert_eq!("a".parse::<Glob>().unwrap().literal_prefix(), "a");
    }

    proptest! {
        #[test]
        fn a_pattern_without_stars_fits_itself_alone(text in "[a-z/]{1,12}", other in "[a-z/]{1,12}") {
            prop_assert!(matches(&text, &text));
            prop_assert_eq!(matches(&text, &other), text == other);
        }

        #[test]
        fn a_prefix_and_two_stars_fit_what_begins_with_it(prefix in "[a-z/]{0,8}", rest in "[a-z/]{0,8}") {
            let (pattern, text) = (format!("{prefix}**"), format!("{prefix}{rest}"));
            prop_assert!(matches(&pattern, &text));
        }

        #[test]
        fn one_star_never_fits_more_than_two(pattern in "[ab/*]{1,8}", text in "[ab/]{0,10}") {
            if let Ok(narrow) = pattern.parse::<Glob>() {
                let wide = pattern.replace("**", "*").replace('*', "**").parse::<Glob>().unwrap();
                prop_assert!(!narrow.matches(&text) || wide.matches(&text));
            }
        }
    }
}
