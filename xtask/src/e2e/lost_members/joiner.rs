//! A third control plane is cut off from all others at each step of its join.

use anyhow::{Context, Result, ensure};

use super::serve;
use crate::e2e::cases::cluster;
use crate::e2e::expect;
use crate::faults::applying::Applying;
use crate::faults::journal::At::{self, Done, Intent};
use crate::faults::journal::Since;
use crate::faults::members::{self, Data};
use crate::faults::planes::Available;
use crate::story::Desk;

const JOINER: &str = "cp3";
/// What stays.
const OTHERS: [&str; 2] = ["cp1", "cp2"];

/// Before, in and after what makes it a member, and while it becomes a node.
const POINTS: &[At] = &[
    Intent("kubeadm/join/control-plane-prepare-all"),
    Intent("kubeadm/join/etcd-join"),
    Done("kubeadm/join/etcd-join"),
    Intent("kubeadm/join/kubelet-wait-bootstrap"),
    Intent("kubeadm/join/control-plane-join-all"),
];

// The table says how many.
const _: () = assert!(POINTS.len() == 5);

/// The others serve and take writes meanwhile; with the cable back the same command finishes.
pub(super) fn at_each_step(desk: &Desk) -> Result<()> {
    for at in POINTS {
        leave(desk)?;
        let cut = cut_off(desk, *at)?;
        println!("      cut off at {at:?}; its journal ends with: {}", cut.last()?);
        let holds = serve(desk, &OTHERS);
        desk.lab.plug(JOINER)?;
        holds.with_context(|| format!("cut off at {at:?}"))?;
        finish(desk).with_context(|| format!("cut off at {at:?}, and back"))?;
    }
    Ok(())
}

/// It does not come back: what it had begun to be is taken out, and another machine of its name joins.
pub(super) fn for_good(desk: &Desk) -> Result<()> {
    leave(desk)?;
    cut_off(desk, Done("kubeadm/join/etcd-join"))?;
    let lost = ["cluster", "remove", JOINER, "--lost", "--yes"];
    let removed = expect(&mut desk.station(&lost), 0, &["cp3 is out of cluster plant-7"]);
    let left = members::members(desk, OTHERS[0]);
    desk.lab.plug(JOINER)?;
    removed?;
    let left = left?;
    ensure!(left.len() == OTHERS.len(), "etcd has {} members when the third was taken out", left.len());
    serve(desk, &OTHERS)?;
    // It still has all that it had begun to be.
    leave(desk)?;
    finish(desk)
}

/// An apply that lets it join has come to `at` when its cable is pulled out, and its operator is killed.
fn cut_off(desk: &Desk, at: At) -> Result<Since> {
    let since = Since::now(desk, JOINER)?;
    let mut apply = Applying::begin(desk)?;
    apply.until(&since, at)?;
    desk.lab.unplug(JOINER)?;
    apply.kill(desk)?;
    Ok(since)
}

/// It is given back: its data goes when the others know that it is no member any more.
fn leave(desk: &Desk) -> Result<()> {
    let data = Data::watch(desk, JOINER);
    expect(&mut desk.station(&["cluster", "remove", JOINER, "--yes"]), 0, &["cp3 is out of cluster plant-7"])?;
    data.went_after_the_others_knew(desk)?;
    cluster::is_bare(desk, JOINER)
}

fn finish(desk: &Desk) -> Result<()> {
    let available = Available::begin(desk)?;
    let applied = expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7"]);
    let one_at_a_time = available.one_at_a_time(desk);
    applied?;
    one_at_a_time?;
    members::all_vote(desk)?;
    members::learned_first(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}
