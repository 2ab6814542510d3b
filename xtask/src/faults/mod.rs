//! `cargo xtask faults`: the table of faults, each set on real nodes, or in the test that is named in its place.
//!
//! One lab of two nodes serves all rows in sequence: each finds a cluster, or hosts without one, and leaves a cluster of which nothing
//! is to be done. What has to hold afterwards is looked at from outside of the program ([`invariants`]).

pub(crate) mod applying;
pub(crate) mod baseline;
mod fault;
mod invariants;
pub(crate) mod journal;
pub(crate) mod members;
mod named;
pub(crate) mod planes;
mod report;
mod rows;
mod stale;
mod table;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::fault::{Fault, Proof};
use self::report::Line;
use self::table::TABLE;
use crate::lab::{Lab, Upstream};
use crate::story::{self, Desk, STEPS};

/// The nodes of the lab: one that has the control plane, and one that joins it again and again.
const NODES: &[&str] = &["cp1", "w1"];

/// Which faults are set.
#[derive(Debug, clap::Args)]
pub struct FaultsArgs {
    /// Only the rows whose fault contains this
    #[arg(long)]
    row: Option<String>,
    /// Only those that are set in the lab, without the tests that are named
    #[arg(long)]
    lab: bool,
    /// Print the table, and set nothing
    #[arg(long)]
    list: bool,
    /// Leave the lab up afterwards, to look around in it
    #[arg(long)]
    keep: bool,
    /// Go on in the lab that an earlier run has left up
    #[arg(long)]
    reuse: bool,
    /// The lab's id
    #[arg(long, default_value = "faults")]
    id: String,
}

/// Sets the faults that are selected, and prints what came of each.
pub fn command(args: &FaultsArgs) -> Result<()> {
    let is_wanted = |fault: &&Fault| args.row.as_ref().is_none_or(|part| fault.name.contains(part.as_str()));
    let wanted: Vec<&Fault> = TABLE.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no fault of that name: `cargo xtask faults --list` prints all");
    if args.list {
        report::list(&wanted);
        return Ok(());
    }
    // First, as whoever called: the lab needs root, and the tests do not.
    let mut lines = if args.lab { Vec::new() } else { named::run(&wanted)? };
    lines.extend(in_the_lab(&wanted, args)?);
    report::print(&wanted, &lines);
    let failed = lines.iter().filter(|line| line.problem.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} faults do not end as they should", lines.len());
    }
    Ok(())
}

/// Those that are set on real nodes.
fn in_the_lab(wanted: &[&'static Fault], args: &FaultsArgs) -> Result<Vec<Line>> {
    if !wanted.iter().any(|fault| matches!(fault.proof, Proof::Lab(_))) {
        return Ok(Vec::new());
    }
    let lab = Lab::open(&args.id)?.with_upstream(Upstream::One);
    story::prepare(&lab)?;
    let outcome = set_up(&lab, args.reuse).and_then(|desk| run_rows(&desk, wanted));
    if !args.keep {
        lab.down()?;
    }
    outcome
}

/// A site that serves its release, and two nodes with nothing on them.
fn set_up(lab: &Lab, reuse: bool) -> Result<Desk> {
    if reuse {
        lab.watch_egress()?;
        return Desk::open(lab.clone(), "faults", NODES);
    }
    lab.down()?;
    lab.up(NODES)?;
    let desk = Desk::set_up(lab.clone(), "faults", NODES)?;
    for step in STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(&desk)?;
    }
    baseline::keep(&desk)?;
    lab.watch_egress()?;
    Ok(desk)
}

fn run_rows(desk: &Desk, wanted: &[&'static Fault]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for fault in wanted {
        let Proof::Lab(run) = fault.proof else { continue };
        println!("--- {}: {}", fault.name, fault.place);
        let begun = Instant::now();
        let outcome = run(desk).and_then(|()| invariants::check(desk, fault.invariants));
        let line = Line::new(fault, begun.elapsed(), outcome.err());
        println!("{line}");
        let broken = line.problem.is_some();
        lines.push(line);
        if broken {
            rows::recover(desk)?;
        }
    }
    Ok(lines)
}
