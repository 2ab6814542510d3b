//! A fault: where it is set, how it has to end, and what shows that.

use std::fmt;

use anyhow::Result;

use crate::story::Desk;

/// One fault.
pub(super) struct Fault {
    /// Which line of the table of the research, [`LINES`](super::table::LINES), it belongs to.
    pub(super) line: &'static str,
    pub(super) name: &'static str,
    /// Where and how it is set.
    pub(super) place: &'static str,
    /// How it has to end.
    pub(super) end: &'static str,
    /// Numbers of the invariants that are looked at afterwards; where a test is named, of those that it is about.
    pub(super) invariants: &'static [u8],
    pub(super) proof: Proof,
}

/// What shows that it ends so.
pub(super) enum Proof {
    /// It is set in the lab, on real nodes.
    Lab(fn(&Desk) -> Result<()>),
    /// Tests that stand elsewhere, and are not repeated here.
    Tests(&'static [Test]),
}

/// A test that stands elsewhere.
#[derive(Clone, Copy)]
pub(super) enum Test {
    /// Of a crate; it is run here.
    Crate { package: &'static str, file: &'static str, name: &'static str },
    /// A case of an end-to-end scenario, which has a lab of its own and runs in `cargo xtask e2e`.
    Case { scenario: &'static str, name: &'static str },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab(_) => write!(f, "the lab"),
            Self::Tests(tests) => {
                let named = tests.iter().map(|test| match test {
                    Test::Crate { name, .. } => (*name).to_owned(),
                    Test::Case { scenario, name } => format!("e2e {scenario}: {name}"),
                });
                write!(f, "{}", named.collect::<Vec<_>>().join(", "))
            }
        }
    }
}
