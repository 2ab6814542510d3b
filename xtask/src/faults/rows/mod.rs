//! The faults that are set on real nodes.

pub(super) mod broken;
pub(super) mod content;
pub(super) mod cut;
pub(super) mod disk;
pub(super) mod given_back;
pub(super) mod killed;
pub(super) mod late;
pub(super) mod pressure;
pub(super) mod token;

use anyhow::Result;

use super::applying::Applying;
use super::journal::Since;
use crate::e2e::expect;
use crate::story::{self, Desk};

/// The node that joins again and again.
pub(super) const JOINER: &str = "w1";

/// Where a row begins at which one node is out of the cluster, and in again at its end: an apply that goes on, and what the joiner's
/// journal holds.
fn joining(desk: &Desk) -> Result<(Applying, Since)> {
    without_the_joiner(desk)?;
    let since = Since::now(desk, JOINER)?;
    Ok((Applying::begin(desk)?, since))
}

/// A cluster that lacks the joiner, which is bare.
fn without_the_joiner(desk: &Desk) -> Result<()> {
    with_a_cluster(desk)?;
    let remove = ["cluster", "remove", JOINER, "--yes", "--delete-emptydir-data"];
    expect(&mut desk.station(&remove), 0, &["w1 is out of cluster plant-7"])?;
    crate::e2e::cases::cluster::is_bare(desk, JOINER)
}

/// The cluster that the rows before have left, or a new one.
fn with_a_cluster(desk: &Desk) -> Result<()> {
    let there = desk.lab.root_of("cp1").join("etc/kubernetes/admin.conf").exists()
        && desk.lab.root_of(JOINER).join("etc/kubernetes/kubelet.conf").exists();
    if there { Ok(()) } else { again(desk) }
}

/// Hosts without a cluster.
fn bare(desk: &Desk) -> Result<()> {
    if desk.lab.root_of("cp1").join("var/lib/sealock/node/claim.json").exists() {
        expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    }
    Ok(())
}

/// The same command again, to its end.
fn again(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7"]).map(drop)
}

/// After a row that failed: whatever it left is taken away, so that the next one is judged by itself.
pub(super) fn recover(desk: &Desk) -> Result<()> {
    for node in desk.nodes {
        desk.lab.plug(node)?;
        desk.lab.boot_machine(node)?;
        let away = "umount /opt/sealock 2>/dev/null; if [ -e /home/sudo-rule ]; then mv /home/sudo-rule /etc/sudoers.d/ops; fi; true";
        story::text(&mut desk.lab.exec(node, &["sh", "-c", away]))?;
    }
    disk::give_back_state(desk)?;
    // What stays in the way is told by the next row itself.
    let _ = again(desk);
    Ok(())
}

/// `sh -c` in a machine, which must succeed.
fn shell(desk: &Desk, machine: &str, script: &str) -> Result<String> {
    story::text(&mut desk.lab.exec(machine, &["sh", "-c", script]))
}
