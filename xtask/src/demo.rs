//! `cargo xtask demo`: the main job, told step by step. Leaves the lab up.

use anyhow::Result;

use crate::lab::{Lab, become_root};
use crate::repo;
use crate::story::{Desk, STEPS, Teller};

/// The demo's lab.
const LAB: &str = "demo";

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Remove what the demo left
    #[arg(long)]
    down: bool,
}

/// Runs the demo, or removes what it left.
pub fn command(args: &DemoArgs) -> Result<()> {
    let lab = Lab::open(LAB)?;
    if args.down {
        return lab.down();
    }
    become_root()?;
    let mut teller = Teller::new(STEPS.len() + 1);
    let desk = teller.step("lab", "an outside with real software, a sealed station and two bare nodes", || {
        lab.down()?;
        lab.up(&["cp1", "w1"])?;
        Desk::set_up(lab.clone(), "across-the-gap")
    })?;
    for step in STEPS {
        teller.step(step.name, step.what, || (step.run)(&desk))?;
    }
    crate::story::report(&desk, teller.report())?;
    teller.finish(&repo::root()?.join("target/demo/report.json"))?;
    println!("\nlook around:  cargo xtask lab shell cp1 --id {LAB}   (or station, w1)");
    println!("remove it:    make demo-down");
    Ok(())
}
