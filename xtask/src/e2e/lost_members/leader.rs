//! The machine of etcd's leader dies while the control planes go to the next version of Kubernetes.

use anyhow::{Result, ensure};

use super::serve;
use crate::e2e::upgrade::{NEXT, NOW, UPGRADE, versions, write_version};
use crate::e2e::{expect, until};
use crate::faults::applying::Applying;
use crate::faults::journal::At::{self, Done, Intent};
use crate::faults::journal::Since;
use crate::faults::members;
use crate::faults::planes::{self, Available};
use crate::story::{self, Desk};

/// First as the snapshot is taken, before the control plane that speaks for the cluster is changed; then that one leads, and dies when it is through
/// and the second one is next. Each time none is changed beside the dead one, the others go on to serve, and with the machine back the same command
/// goes on.
pub(super) fn dies(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    dies_at(desk, "cp3", ("cp1", Intent("etcd/snapshot")), ["cp2", "cp1"])?;
    dies_at(desk, "cp1", ("cp1", Done("uncordon")), ["cp2", "cp3"])?;
    let available = Available::begin(desk)?;
    let upgraded = expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"]);
    let one_at_a_time = available.one_at_a_time(desk);
    upgraded?;
    one_at_a_time?;
    ensure!(versions(desk)? == [NEXT; 3].join(" "), "not all kubelets are new: {}", versions(desk)?);
    members::all_vote(desk)?;
    planes::kept_before(desk, NEXT)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}

/// `leader` loses its power when the upgrade has come to `at` on `speaker`.
fn dies_at(desk: &Desk, leader: &str, (speaker, at): (&str, At), others: [&str; 2]) -> Result<()> {
    members::lead(desk, leader)?;
    let available = Available::begin(desk)?;
    let since = Since::now(desk, speaker)?;
    let mut upgrade = Applying::of(desk, &UPGRADE)?;
    upgrade.until(&since, at)?;
    desk.lab.kill_machine(leader)?;
    println!("      {leader} led and lost its power when {speaker} came to {at:?}");
    let (code, said) = upgrade.end()?;
    let holds = serve(desk, &others);
    println!("      the upgrade ended with {code}; the journal of {speaker} ends with: {}", since.last()?);
    desk.lab.boot_machine(leader)?;
    let one_at_a_time = available.one_at_a_time(desk);
    ensure!(
        matches!(code, 1 | 4),
        "the upgrade ended with {code}, and not with a failure that may be tried again:\n{said}"
    );
    ensure!(
        said.contains("cluster upgrade") || said.contains("same command"),
        "it does not say how it goes on:\n{said}"
    );
    holds?;
    until(&format!("{leader} is Ready again"), || {
        let ready = ["get", "node", leader, "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
        Ok(story::text(&mut desk.kubectl_on(others[0], &ready))? == "True")
    })?;
    members::all_vote(desk)?;
    one_at_a_time
}
