//! What is wrong with a document, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;

/// Line and column in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Place {
    pub(super) fn first_content(document: &str) -> Self {
        let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '-', '%']);
        let line = document.lines().position(is_content).unwrap_or(0);
        Self { line: line as u64 + 1, column: 1 }
    }

    /// Where the value of the top-level `key` stands.
    pub(super) fn of_key(document: &str, key: &str) -> Self {
        for (index, line) in document.lines().enumerate() {
            if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')) {
                let blanks = value.len() - value.trim_start().len();
                let column = key.chars().count() + 1 + blanks + 1;
                return Self { line: index as u64 + 1, column: column as u64 };
            }
        }
        Self::first_content(document)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A field, kind, or value out of a list that does not exist.
    Unknown {
        /// What it would be: `field`, `kind`, `value`.
        what: &'static str,
        /// As written.
        found: String,
        /// What may stand there.
        known: Vec<String>,
        /// The one of `known` that was probably meant.
        nearest: Option<String>,
    },
    /// A field that must be there is not.
    Missing {
        /// The field.
        field: String,
    },
    /// Anything else, in words.
    Other(String),
}

/// Why a file is not the document it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The file.
    pub path: PathBuf,
    /// Where in the file, if it has a place.
    pub place: Option<Place>,
    /// What is wrong there.
    pub problem: Box<Problem>,
}

impl DocumentError {
    /// The reason code of this refusal: `SPEC`.
    pub fn code(&self) -> Code {
        Code::Spec
    }

    /// True: the same text is refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }

    /// An error that a check made after reading found, such as two values that contradict each other.
    pub fn other(path: &Path, place: Option<Place>, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), place, problem: Box::new(Problem::Other(problem.into())) }
    }

    /// An error at one place.
    pub(crate) fn at(path: &Path, place: Place, problem: Problem) -> Self {
        Self { path: path.to_owned(), place: Some(place), problem: Box::new(problem) }
    }

    pub(super) fn missing(path: &Path, field: &str, place: Place) -> Self {
        let problem = Box::new(Problem::Missing { field: field.to_owned() });
        Self { path: path.to_owned(), place: Some(place), problem }
    }

    pub(super) fn unknown(path: &Path, what: &'static str, found: &str, known: &[&str], place: Place) -> Self {
        let problem = Box::new(unknown(what, found, known));
        Self { path: path.to_owned(), place: Some(place), problem }
    }

    pub(super) fn too_long(path: &Path, length: usize) -> Self {
        let problem = format!("the file has {length} bytes, and at most {} are read", super::MAX_BYTES);
        Self::other(path, None, problem)
    }

    pub(super) fn count(path: &Path, kind: &str, others: usize) -> Self {
        let problem = match others {
            0 => format!("there is no document of kind {kind}"),
            _ => format!("there are {} documents of kind {kind}, and one is wanted", others + 1),
        };
        Self::other(path, None, problem)
    }

    pub(super) fn of_yaml(path: &Path, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let place = error
            .location()
            .filter(|location| location.line() > 0)
            .map(|location| Place { line: location.line(), column: location.column() });
        Self { path: path.to_owned(), place, problem: Box::new(problem_of(error)) }
    }
}

fn problem_of(error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => Problem::Missing { field: (*field).to_owned() },
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            Problem::Other(format!("expected {expected}, found {unexpected}"))
        }
        Error::Unexpected { expected, .. } => Problem::Other(format!("expected {}", in_words(expected))),
        Error::InvalidScalar { ty, .. } => Problem::Other(format!("this is no {ty}")),
        Error::DuplicateMappingKey { key: Some(key), .. } => Problem::Other(format!("the key {key:?} stands twice")),
        other => Problem::Other(without_place(&other.to_string())),
    }
}

/// The library speaks of parser events.
fn in_words(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a mapping of keys to values",
        "scalar" | "string scalar" => "a single value",
        other => other,
    }
}

/// The library ends its sentences with the place, which stands in front of ours.
fn without_place(text: &str) -> String {
    let text = text.lines().next().unwrap_or(text);
    let text = text.strip_prefix("error: ").unwrap_or(text);
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(text).to_owned(),
        None => text.to_owned(),
    }
}

/// The problem of a name that is none of `known`.
pub(crate) fn unknown(what: &'static str, found: &str, known: &[&str]) -> Problem {
    let nearest = nearest(found, known);
    let mut known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    known.sort();
    Problem::Unknown { what, found: found.chars().take(80).collect(), known, nearest }
}

/// The one of `known` that was probably meant.
pub fn nearest(found: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&found.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| (*name).to_owned())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { what, found, nearest: Some(nearest), .. } => {
                write!(f, "unknown {what} {found:?}, did you mean {nearest:?}?")
            }
            Self::Unknown { what, found, known, nearest: None } => {
                write!(f, "unknown {what} {found:?}, known are {}", known.join(", "))
            }
            Self::Missing { field } => write!(f, "the field {field:?} is missing"),
            Self::Other(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for DocumentError {}
