//! Three control planes lose one of them: a third is cut off from all others at each step of its join, and etcd's leader dies while they go to the
//! next version of Kubernetes.

mod joiner;
mod leader;

use anyhow::{Context, Result, ensure};

use super::{Case, Scenario, until, upgrade};
use crate::faults::members;
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lost-members",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "lost-members: a joiner is cut off at each step", run: joiner::at_each_step },
    Case { name: "lost-members: a joiner is cut off for good, and replaced", run: joiner::for_good },
    Case { name: "lost-members: the next bundle brings another version", run: upgrade::next_bundle },
    Case { name: "lost-members: the leader dies in an upgrade, twice", run: leader::dies },
    Case { name: "lost-members: reset", run: super::cases::cluster::reset },
];

pub(super) fn begin(desk: &Desk) -> Result<()> {
    for step in STEPS.iter().take_while(|step| step.name != "app apply") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    members::all_vote(desk)
}

/// The API servers of `planes` are ready, and etcd takes what is written, with no more members than are intended.
pub(super) fn serve(desk: &Desk, planes: &[&str]) -> Result<()> {
    for plane in planes {
        until(&format!("the API server of {plane} is ready"), || {
            let ready = ["get", "--raw=/readyz", "--request-timeout=5s"];
            Ok(story::output(&mut desk.kubectl_on(plane, &ready))?.status.success())
        })?;
    }
    let map = ["configmap", "-n", "default", "quorum", "--request-timeout=10s"];
    let write = [&["create"], &map[..], &["--from-literal=held=yes"]].concat();
    story::text(&mut desk.kubectl_on(planes[1], &write)).context("etcd takes no writes")?;
    story::text(&mut desk.kubectl_on(planes[0], &[&["delete"], &map[..]].concat()))?;
    let members = members::members(desk, planes[0])?;
    let learners = members.iter().filter(|member| members::is_learner(member)).count();
    ensure!(
        members.len() <= desk.nodes.len() && learners <= 1,
        "etcd has {} members, {learners} of them learners",
        members.len()
    );
    println!("      etcd has {} members, {learners} of them learners, and takes writes", members.len());
    Ok(())
}
