//! One thing that could not be carried over.

use std::fmt;

/// One thing that could not be carried over: of which host, and why. Values of variables that may be secret do not stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    host: String,
    what: String,
}

impl Problem {
    pub(super) fn new(host: &str, what: impl Into<String>) -> Self {
        Self { host: shown(host), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.what)
    }
}

/// A text of the inventory as it may be shown: not too long, and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
