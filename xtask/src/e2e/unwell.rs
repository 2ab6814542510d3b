//! A cluster that is not well is not upgraded: what is wrong is told, and nothing is changed.

use anyhow::{Result, ensure};

use super::expect::expect;
use super::three_control_planes::{etcd_gets_well, is_ready};
use super::until;
use super::upgrade::{NEXT, NOW, UPGRADE, versions, write_version};
use crate::story::{self, Desk};

const MEMBER: &str = "/etc/kubernetes/manifests/etcd.yaml";
const ASIDE: &str = "/root/etcd.yaml";

/// A worker whose kubelet is down, and after it a member of etcd that does not run.
pub(super) fn is_refused(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    let outcome = a_node_is_down(desk).and_then(|()| a_member_is_down(desk));
    write_version(desk, NEXT, NOW)?;
    outcome
}

fn a_node_is_down(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("w1", &["systemctl", "stop", "kubelet"]))?;
    until("the cluster sees that w1's kubelet is down", || Ok(!is_ready(desk, "w1")?))?;
    let said = ["error[PREFLIGHT]", "w1: its node is not Ready", "systemctl status kubelet"];
    let refused = refused(desk, &said);
    story::text(&mut desk.lab.exec("w1", &["systemctl", "start", "kubelet"]))?;
    refused?;
    until("w1 is Ready again", || is_ready(desk, "w1"))
}

fn a_member_is_down(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("cp3", &["mv", MEMBER, ASIDE]))?;
    let gone = "! ss -Hltn 'sport = :2379' | grep -q .";
    let stopped = until("cp3's member has ended", || {
        Ok(story::output(&mut desk.lab.exec("cp3", &["sh", "-c", gone]))?.status.success())
    });
    let refused = stopped.and_then(|()| refused(desk, &["not all members of etcd are well", "--lost"]));
    story::text(&mut desk.lab.exec("cp3", &["mv", ASIDE, MEMBER]))?;
    refused?;
    etcd_gets_well(desk)
}

fn refused(desk: &Desk, said: &[&str]) -> Result<()> {
    expect(&mut desk.station(&UPGRADE), 3, said)?;
    ensure!(versions(desk)? == vec![NOW; desk.nodes.len()].join(" "), "something was changed: {}", versions(desk)?);
    let cordoned = ["get", "nodes", "-o=jsonpath={.items[*].spec.unschedulable}"];
    let cordoned = story::text(&mut desk.kubectl(&cordoned))?;
    ensure!(cordoned.is_empty(), "a node takes no new pods: {cordoned}");
    Ok(())
}
