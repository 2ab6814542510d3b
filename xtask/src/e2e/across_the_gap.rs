//! The main job, and what bad input gets: one control plane, one worker.

use anyhow::Result;

use super::{Case, Scenario};
use crate::story::{Desk, STEPS};

pub(super) const SCENARIO: Scenario =
    Scenario { name: "across-the-gap", nodes: &["cp1", "w1"], story: run_story, cases: CASES };

const CASES: &[Case] = &[];

fn run_story(desk: &Desk) -> Result<()> {
    for step in STEPS {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    Ok(())
}
