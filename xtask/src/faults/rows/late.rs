//! Plans that were reviewed, and are carried out when something else is so.

use anyhow::Result;

use super::{again, without_the_joiner};
use crate::e2e::expect;
use crate::faults::stale;
use crate::story::Desk;

/// One operator saves a plan, another one carries out his: the first comes too late, and nothing at all is written.
pub(in crate::faults) fn plan(desk: &Desk) -> Result<()> {
    without_the_joiner(desk)?;
    expect(&mut desk.station(&["cluster", "plan", "--save", "late.json"]), 0, &[])?;
    again(desk)?;
    let before = stale::files(desk)?;
    let late = ["cluster", "apply", "--plan", "late.json", "--yes"];
    expect(&mut desk.station(&late), 3, &["error[STALE_PLAN]", "the plan is stale"])?;
    stale::unchanged(desk, &before)
}
