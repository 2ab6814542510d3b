//! `cargo xtask demo`: the main job, told step by step. Leaves the lab up.

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::repo;
use crate::story::{Desk, STEPS, Teller};

/// The demo's lab.
const LAB: &str = "demo";

/// What its people wrote.
const SCENARIO: &str = "across-the-gap";

/// The nodes of its cluster.
const NODES: &[&str] = &["cp1", "w1"];

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Remove what the demo left
    #[arg(long)]
    down: bool,
    /// Go on with a demo that was cut off, from this step
    #[arg(long, value_name = "STEP", conflicts_with = "down")]
    from: Option<String>,
}

/// Runs the demo, or removes what it left.
pub fn command(args: &DemoArgs) -> Result<()> {
    let lab = Lab::open(LAB)?;
    if args.down {
        return lab.down();
    }
    let first = first_step(args.from.as_deref())?;
    crate::story::prepare(&lab)?;
    let mut teller = Teller::new(STEPS.len() - first + 1);
    let desk = teller.step("lab", "an outside with real software, a sealed station and two bare nodes", || {
        if first == 0 {
            lab.down()?;
        }
        lab.up(NODES)?;
        if first == 0 { Desk::set_up(lab.clone(), SCENARIO, NODES) } else { Desk::open(lab.clone(), SCENARIO, NODES) }
    })?;
    for step in &STEPS[first..] {
        teller.step(step.name, step.what, || (step.run)(&desk))?;
    }
    crate::story::report(&desk, teller.report())?;
    teller.finish(&repo::root()?.join("target/demo/report.json"))?;
    println!("\nlook around:  cargo xtask lab shell cp1 --id {LAB}   (or station, w1)");
    println!("remove it:    make demo-down");
    Ok(())
}

fn first_step(name: Option<&str>) -> Result<usize> {
    let Some(name) = name else { return Ok(0) };
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    names.iter().position(|known| *known == name).with_context(|| format!("no step {name:?}: {}", names.join(", ")))
}
