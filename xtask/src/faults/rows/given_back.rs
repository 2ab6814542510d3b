//! The end of the suite: what was a cluster, through all that was done to it, is given back.

use anyhow::Result;

use super::{again, bare, with_a_cluster};
use crate::faults::baseline;
use crate::story::Desk;

/// Every host is what it was before the first row, but for its journal and fence; then it is a cluster once more.
pub(in crate::faults) fn hosts(desk: &Desk) -> Result<()> {
    with_a_cluster(desk)?;
    bare(desk)?;
    baseline::compare(desk)?;
    again(desk)
}
