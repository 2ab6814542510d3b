//! Connections that are cut in the middle of a step: SSH, the right to become root, the cable.

use anyhow::{Result, ensure};

use super::{JOINER, again, joining, shell};
use crate::e2e::cases::cluster::drop_connections;
use crate::e2e::{expect, until};
use crate::faults::journal::At::{Begun, Done, Intent};
use crate::story::Desk;

/// The unit goes on, and the same command follows it again: nothing is begun twice.
pub(in crate::faults) fn ssh(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    for at in [Intent("images"), Intent("kubeadm/join/kubelet-start")] {
        apply.until(&since, at)?;
        drop_connections(desk, JOINER)?;
    }
    apply.ends_well()?;
    let runs = since.count(Begun)?;
    ensure!(runs == 2, "{runs} runs have begun for the two tasks of {JOINER}");
    Ok(())
}

/// Who comes back may not become root any more: that is told, and the unit goes on meanwhile.
pub(in crate::faults) fn sudo(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.until(&since, Intent("images"))?;
    shell(desk, JOINER, "mv /etc/sudoers.d/ops /home/sudo-rule")?;
    apply.kill(desk)?;
    let said = ["ops may not become root on host w1", "NOPASSWD"];
    let told = expect(&mut desk.station(&["cluster", "apply", "--yes"]), 4, &said);
    let goes_on = until("the unit has gone on", || since.has(Done("images")));
    shell(desk, JOINER, "mv /home/sudo-rule /etc/sudoers.d/ops")?;
    told?;
    goes_on?;
    again(desk)
}

/// The joiner is cut off from registry, control plane and an operator who was killed: who asks for it is told, and it has not got further than it could.
pub(in crate::faults) fn cable(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.until(&since, Intent("images"))?;
    desk.lab.unplug(JOINER)?;
    apply.kill(desk)?;
    let said = ["host w1 (10.77.0.21, port 22) cannot be reached"];
    let told = expect(&mut desk.station(&["cluster", "apply", "--yes"]), 4, &said);
    let alone = since.has(Intent("kubeadm/join/preflight"));
    desk.lab.plug(JOINER)?;
    told?;
    ensure!(!alone?, "a node that nobody can reach has begun to join");
    again(desk)
}

/// The cable comes back before anybody gives up: one command comes through, whatever it has to do twice.
pub(in crate::faults) fn cable_for_a_while(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.until(&since, Intent("kubeadm/join/kubelet-wait-bootstrap"))?;
    desk.lab.unplug(JOINER)?;
    // As long as SSH takes to notice: three questions without an answer.
    until("the station notices", || {
        Ok(shell(desk, "station", "ss -Htn state established dst 10.77.0.21 | wc -l")?.trim() == "0")
    })?;
    desk.lab.plug(JOINER)?;
    apply.ends_well().map(drop)
}
