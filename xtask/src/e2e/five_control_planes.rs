//! Five control planes: two lose their power at once and the others serve; no third one leaves; the two leave together, and come back as new members.

use anyhow::{Result, ensure};

use super::cases::cluster::{is_bare, reset};
use super::expect::expect;
use super::lost_members::{begin, serve};
use super::upgrade::{NEXT, NOW, UPGRADE, next_bundle, versions, write_version};
use super::{Case, Scenario, until};
use crate::faults::members;
use crate::faults::planes::Available;
use crate::lab::Upstream;
use crate::story::Desk;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "five-control-planes",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3", "cp4", "cp5"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "five: two lose their power at once, and one of them led", run: two_lost },
    Case { name: "five: no third one leaves, and the two leave together", run: two_leave },
    Case { name: "five: both come back as new members", run: both_come_back },
    Case { name: "five: the next bundle brings another version", run: next_bundle },
    Case { name: "five: an upgrade takes one at a time", run: upgraded },
    Case { name: "five: reset", run: reset },
];

/// Those that stay.
const OTHERS: [&str; 3] = ["cp1", "cp2", "cp3"];

fn two_lost(desk: &Desk) -> Result<()> {
    members::lead(desk, "cp5")?;
    desk.lab.kill_machine("cp5")?;
    desk.lab.kill_machine("cp4")?;
    serve(desk, &OTHERS)
}

/// What is refused is refused before anything is changed.
fn two_leave(desk: &Desk) -> Result<()> {
    let remove = |hosts: &[&str]| desk.station(&[&["cluster", "remove"], hosts, &["--lost", "--yes"]].concat());
    expect(&mut remove(&["cp3"]), 3, &["error[QUORUM]", "2 of 4 voters would be up, and 3 are needed"])?;
    expect(&mut remove(&["cp4", "cp5", "cp3"]), 3, &["error[QUORUM]"])?;
    expect(&mut remove(&["cp4"]), 4, &["cp5", "name all that are lost"])?;
    count(desk, 5)?;
    expect(&mut remove(&["cp4", "cp5"]), 0, &["the others confirm that", "cp4 and cp5 are out of cluster plant-7"])?;
    count(desk, 3)?;
    serve(desk, &OTHERS)
}

/// They still have all that they had, and would serve old data to whoever asked them.
fn both_come_back(desk: &Desk) -> Result<()> {
    for host in ["cp4", "cp5"] {
        desk.lab.boot_machine(host)?;
    }
    serve(desk, &OTHERS)?;
    let given_back = ["cluster", "remove", "cp4", "cp5", "--yes"];
    expect(&mut desk.station(&given_back), 0, &["cp4 and cp5 are out of cluster plant-7"])?;
    is_bare(desk, "cp4")?;
    is_bare(desk, "cp5")?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    members::all_vote(desk)?;
    members::learned_first(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}

fn upgraded(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    let available = Available::begin(desk)?;
    let upgraded = expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"]);
    let one_at_a_time = available.one_at_a_time(desk);
    upgraded?;
    one_at_a_time?;
    ensure!(versions(desk)? == [NEXT; 5].join(" "), "not all kubelets are new: {}", versions(desk)?);
    members::all_vote(desk)
}

fn count(desk: &Desk, wanted: usize) -> Result<()> {
    until(&format!("etcd has {wanted} members"), || Ok(members::members(desk, "cp1")?.len() == wanted))
}
