//! `cargo xtask e2e`: end-to-end scenarios in a lab of their own.
//!
//! A drill needs no lab: its machines are folders. A scenario brings up its lab, runs the story, and then its cases, each of which breaks one thing and looks at the
//! answer. Whatever fails, the lab is taken down again.

mod across_the_gap;
mod add_ons;
mod adopt;
mod ansible;
mod authorities;
pub(crate) mod cases;
mod components;
mod custody;
mod drill;
mod etcd_static_pod;
mod expect;
mod external_authority;
mod external_etcd;
mod five_control_planes;
mod host_needs;
mod kept;
mod lost_members;
mod machines;
mod member_lost;
mod node_upgrade;
mod one_machine;
mod own_etcd;
mod patch_os;
mod rescue;
mod restore;
mod rollback;
mod station_lost;
mod stolen_key;
mod three_control_planes;
mod two_minors;
mod until;
mod unwell;
mod upgrade;
mod watch;

use std::time::Instant;

use anyhow::{Result, bail};

pub(crate) use self::expect::expect;
use self::machines::Machines;
pub(crate) use self::until::until;
use crate::lab::{Lab, Upstream};
use crate::story::Desk;

/// Which scenarios run.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Scenarios, by the name of their folder in e2e/; all that CI runs where none is named
    scenarios: Vec<String>,
    /// Also those that take too long for CI
    #[arg(long)]
    all: bool,
    /// Leave the lab up afterwards, to look around in it
    #[arg(long)]
    keep: bool,
    /// Go on in the lab that an earlier run of the scenario has left up: only the cases run
    #[arg(long)]
    reuse: bool,
    /// Run only the cases whose name contains this
    #[arg(long)]
    case: Option<String>,
    /// The lab's id
    #[arg(long, default_value = "e2e")]
    id: String,
}

impl Selection {
    /// What CI runs.
    pub fn for_ci() -> Self {
        Self { scenarios: Vec::new(), all: false, keep: false, reuse: false, case: None, id: "ci".into() }
    }
}

struct Scenario {
    name: &'static str,
    /// What the outside has.
    upstream: Upstream,
    /// It takes too long for CI.
    is_long: bool,
    nodes: &'static [&'static str],
    story: fn(&Desk) -> Result<()>,
    cases: &'static [Case],
}

struct Case {
    name: &'static str,
    run: fn(&Desk) -> Result<()>,
}

/// A scenario without a lab.
struct Drill {
    name: &'static str,
    run: fn(&Machines) -> Result<()>,
}

const DRILLS: &[Drill] = &[stolen_key::DRILL];
const SCENARIOS: &[Scenario] = &[
    across_the_gap::SCENARIO,
    three_control_planes::SCENARIO,
    lost_members::SCENARIO,
    member_lost::SCENARIO,
    five_control_planes::SCENARIO,
    own_etcd::SCENARIO,
    etcd_static_pod::SCENARIO,
    external_etcd::SCENARIO,
    one_machine::SCENARIO,
    node_upgrade::SCENARIO,
    upgrade::SCENARIO,
    upgrade::SCENARIO_HA,
    two_minors::SCENARIO,
    components::SCENARIO,
    patch_os::SCENARIO,
    host_needs::SCENARIO,
    rescue::SCENARIO,
    authorities::SCENARIO,
    custody::SCENARIO,
    external_authority::SCENARIO,
    restore::SCENARIO,
    add_ons::SCENARIO,
    ansible::SCENARIO,
    adopt::SCENARIO,
    adopt::SCENARIO_SEVERAL,
];

/// Whether `scenario` has a case of this name.
#[cfg(test)]
pub(crate) fn has_case(scenario: &str, case: &str) -> bool {
    let mut cases = SCENARIOS.iter().filter(|one| one.name == scenario).flat_map(|one| one.cases);
    cases.any(|one| one.name == case)
}

/// Runs the selected scenarios.
pub fn command(selection: &Selection) -> Result<()> {
    let mut failed = Vec::new();
    let mut passed = 0;
    let is_wanted =
        |name: &str| selection.scenarios.is_empty() || selection.scenarios.iter().any(|wanted| wanted == name);
    for drill in DRILLS.iter().filter(|drill| is_wanted(drill.name)) {
        let outcome = in_folders(drill);
        passed += outcome.passed;
        failed.extend(outcome.failed);
    }
    for scenario in SCENARIOS {
        if is_wanted(scenario.name) && (!scenario.is_long || selection.all || !selection.scenarios.is_empty()) {
            let outcome = in_a_lab(scenario, selection)?;
            passed += outcome.passed;
            failed.extend(outcome.failed);
        }
    }
    for name in &failed {
        println!("FAILED {name}");
    }
    println!("end to end: {passed} passed, {} failed", failed.len());
    if passed + failed.len() == 0 {
        bail!("no scenario of that name: look into e2e/");
    }
    if !failed.is_empty() {
        bail!("{} end-to-end case(s) failed", failed.len());
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    passed: usize,
    failed: Vec<String>,
}

fn in_folders(drill: &Drill) -> Outcome {
    // Without what it takes to build.
    let mut begun = Instant::now();
    let result = Machines::set_up(drill.name).and_then(|machines| {
        begun = Instant::now();
        (drill.run)(&machines)?;
        machines.remove()
    });
    let seconds = begun.elapsed().as_secs_f64();
    match result {
        Ok(()) => {
            println!("ok     {} ({seconds:.1} s)", drill.name);
            Outcome { passed: 1, failed: Vec::new() }
        }
        Err(error) => {
            println!("FAILED {} ({seconds:.1} s): {error:#}", drill.name);
            Outcome { passed: 0, failed: vec![drill.name.to_owned()] }
        }
    }
}

fn in_a_lab(scenario: &Scenario, selection: &Selection) -> Result<Outcome> {
    let lab = Lab::open(&selection.id)?.with_upstream(scenario.upstream);
    crate::story::prepare(&lab)?;
    let outcome = run_scenario(scenario, &lab, selection);
    if !selection.keep {
        lab.down()?;
    }
    outcome
}

fn run_scenario(scenario: &Scenario, lab: &Lab, selection: &Selection) -> Result<Outcome> {
    let desk = set_up(scenario, lab, selection.reuse)?;
    let mut outcome = Outcome { passed: 1, failed: Vec::new() };
    for case in scenario.cases {
        if selection.case.as_ref().is_none_or(|part| case.name.contains(part.as_str())) {
            run_case(scenario, case, &desk, &mut outcome);
        }
    }
    Ok(outcome)
}

/// The scenario as its cases find it.
fn set_up(scenario: &Scenario, lab: &Lab, reuse: bool) -> Result<Desk> {
    if reuse {
        return Desk::open(lab.clone(), scenario.name, scenario.nodes);
    }
    lab.down()?;
    lab.up(scenario.nodes)?;
    let desk = Desk::set_up(lab.clone(), scenario.name, scenario.nodes)?;
    (scenario.story)(&desk)?;
    Ok(desk)
}

fn run_case(scenario: &Scenario, case: &Case, desk: &Desk, outcome: &mut Outcome) {
    let begun = Instant::now();
    let result = (case.run)(desk);
    let seconds = begun.elapsed().as_secs_f64();
    match result {
        Ok(()) => {
            println!("ok     {} ({seconds:.1} s)", case.name);
            outcome.passed += 1;
        }
        Err(error) => {
            println!("FAILED {} ({seconds:.1} s): {error:#}", case.name);
            outcome.failed.push(format!("{}/{}", scenario.name, case.name));
        }
    }
}
