//! A hole that is opened on purpose must be seen.

use anyhow::Result;

use crate::e2e::expect::expect;
use crate::story::{Desk, proof};

/// With a way out, `gap check` says leak; without, it does not.
pub fn hole(desk: &Desk) -> Result<()> {
    desk.lab.open_hole()?;
    let leak = expect(&mut desk.station(&["gap", "check"]), 3, &["leak"]);
    desk.lab.close_hole()?;
    leak?;
    proof::gap(desk)
}
