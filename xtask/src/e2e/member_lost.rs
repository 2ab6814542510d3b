//! One member of etcd loses its data while the others live: it is taken out, its data stays aside, and it comes back with what the others hold.

use std::process::Output;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::three_control_planes::{begin, etcd_gets_well};
use super::upgrade::application;
use super::watch::Watch;
use super::{Case, Scenario, until};
use crate::faults::applying::Applying;
use crate::faults::journal::At::{Done, Intent};
use crate::faults::journal::Since;
use crate::faults::members;
use crate::faults::planes::Available;
use crate::lab::Upstream;
use crate::story::{self, Desk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "member-lost",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "member: one that is well is left alone", run: well_is_left_alone },
    Case { name: "member: damaged, killed in the middle of coming back, and there again", run: damaged },
    Case { name: "member: its data gone, and its machine without power before it votes", run: powerless },
    Case { name: "member: taken out of etcd, and there again", run: taken_out },
    Case { name: "member: never without a majority", run: without_majority },
    Case { name: "member: reset", run: super::cases::cluster::reset },
];

const ETCD: &str = "exec /opt/sealock/sealock/*/sealock etcd \"$0\" \"$@\" --of-control-plane";
const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
/// Of all containers of etcd, whichever of them runs.
const KILL: &str = "for id in $(ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.container.name\"==etcd'); do \
                    ctr -n k8s.io tasks kill -s SIGKILL $id; done; true";
const CP1: &[&str] = &["cluster", "restore", "--member", "cp1", "--yes"];
const CP2: &[&str] = &["cluster", "restore", "--member", "cp2", "--yes"];
const VOTES: &str = "the member on cp2 votes, and holds what the others hold";
const OPEN: &str = "bringing the member of etcd on host cp2 back was begun and is not finished yet";

fn well_is_left_alone(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(CP2), 0, &["nothing to do: the member of etcd on cp2 serves, votes", "--force"])?;
    let worker = ["cluster", "restore", "--member", "w1", "--yes"];
    expect(&mut desk.station(&worker), 3, &["error[SPEC]", "w1 is no control plane"])?;
    let forced = [CP2, &["--force", "--dry-run"]].concat();
    let shown = [
        "take member",
        "move /var/lib/etcd aside",
        "kubeadm join phase etcd-join",
        "votes, and holds what another one holds",
    ];
    expect(&mut desk.station(&forced), 0, &shown)?;
    let note = ["create", "configmap", "kept", "-n", "demo", "--from-literal=note=before"];
    story::text(&mut desk.kubectl(&note)).map(drop)
}

/// Its database is written over, and etcd does not start any more.
fn damaged(desk: &Desk) -> Result<()> {
    let damage = format!(
        "dd if=/dev/urandom of=/var/lib/etcd/member/snap/db bs=4096 count=256 conv=notrunc && rm -f /var/lib/etcd/member/wal/* && {KILL}"
    );
    let (available, watch) = (Available::begin(desk)?, watched(desk)?);
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", &damage]))?;
    does_not_serve(desk, "cp2")?;
    let since = Since::now(desk, "cp2")?;
    let mut begun = Applying::of(desk, CP2)?;
    begun.until(&since, Done("etcd/aside"))?;
    begun.kill(desk)?;
    // Who began with a cluster of its own would begin another etcd there.
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &[OPEN, "cluster restore --member cp2"])?;
    expect(&mut desk.station(&["cluster", "restore", "--member", "cp3", "--yes"]), 1, &[OPEN])?;
    expect(&mut desk.station(CP2), 0, &[VOTES])?;
    watch.end(desk)?.ensure_answered()?;
    available.one_at_a_time(desk)?;
    is_whole(desk, "cp2")?;
    let kept = "cd /var/lib/etcd.20*/member/snap && test -s db";
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", kept]))?;
    expect(&mut desk.station(CP2), 0, &["nothing to do"]).map(drop)
}

/// kubeadm has written its manifest, and has come once before on that host: that it is through now is not told by either.
fn powerless(desk: &Desk) -> Result<()> {
    let gone = format!("rm -rf /var/lib/etcd/member && {KILL}");
    let watch = watched(desk)?;
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", &gone]))?;
    does_not_serve(desk, "cp2")?;
    let since = Since::now(desk, "cp2")?;
    let mut begun = Applying::of(desk, CP2)?;
    begun.until(&since, Intent("kubeadm/join/etcd-join"))?;
    let manifest = desk.lab.root_of("cp2").join(&MANIFEST[1..]);
    until("kubeadm has written the manifest", || Ok(manifest.exists()))?;
    desk.lab.kill_machine("cp2")?;
    ensure!(!since.has(Done("kubeadm/join/etcd-join"))?, "kubeadm was through before the machine lost its power");
    begun.kill(desk)?;
    watch.end(desk)?.ensure_answered()?;
    desk.lab.boot_machine("cp2")?;
    // It is not Ready before its member votes: its kubelet asks its own API server.
    until("cp2 answers", || {
        let sshd = ["bash", "-c", "exec 3<>/dev/tcp/10.77.0.12/22"];
        Ok(story::output(&mut desk.lab.exec("station", &sshd))?.status.success())
    })?;
    // An API server that has just begun forbids what it does not know yet: then the same command, said once more, goes on.
    until("the same command goes on to the end", || {
        let restored = story::output(&mut desk.station(CP2))?;
        Ok(restored.status.success() && String::from_utf8_lossy(&restored.stdout).contains(VOTES))
    })?;
    is_whole(desk, "cp2")?;
    members::learned_first(desk)
}

/// Somebody has removed that of the host where the cluster began, by hand: nothing is left to be taken out.
fn taken_out(desk: &Desk) -> Result<()> {
    let watch = watched(desk)?;
    let remove = story::output(&mut desk.lab.exec("cp2", &["sh", "-c", ETCD, "remove", "cp1", "--yes"]))?;
    ensure!(remove.status.success(), "{}", String::from_utf8_lossy(&remove.stderr));
    expect(&mut desk.station(CP1), 0, &["the member on cp1 votes, and holds what the others hold"])?;
    watch.end(desk)?.ensure_answered()?;
    is_whole(desk, "cp1")?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}

fn without_majority(desk: &Desk) -> Result<()> {
    let held = ["cp1", "cp2"].map(|host| move_manifest(desk, host, [MANIFEST, "/root/etcd.yaml"]));
    let refused = held.into_iter().collect::<Result<()>>().and_then(|()| {
        until("etcd has no majority", || {
            let said = status(desk, "cp3", &["-o", "json"])?;
            Ok(serde_json::from_slice::<Value>(&said.stdout).is_ok_and(|said| said["agreed"] == false))
        })?;
        let said = ["error[QUORUM]", "no other control plane speaks for a majority of etcd", "cluster restore BACKUP"];
        expect(&mut desk.station(CP1), 3, &said)
    });
    for host in ["cp1", "cp2"] {
        move_manifest(desk, host, ["/root/etcd.yaml", MANIFEST])?;
    }
    refused?;
    etcd_gets_well(desk)
}

fn move_manifest(desk: &Desk, host: &str, [from, to]: [&str; 2]) -> Result<()> {
    story::text(&mut desk.lab.exec(host, &["mv", from, to])).map(drop)
}

fn watched(desk: &Desk) -> Result<Watch> {
    Watch::begin(desk, "w1", "application", &application(desk)?)
}

/// What another member says of its etcd.
fn status(desk: &Desk, host: &str, more: &[&str]) -> Result<Output> {
    story::output(&mut desk.lab.exec(host, &[&["sh", "-c", ETCD, "status"], more].concat()))
}

fn does_not_serve(desk: &Desk, host: &str) -> Result<()> {
    let other = if host == "cp1" { "cp2" } else { "cp1" };
    until("the others see that its member does not serve", || Ok(!status(desk, other, &[])?.status.success()))
}

/// Three members vote and hold the same, the API server on `host` serves what was written before, and the station finds nothing to do.
fn is_whole(desk: &Desk, host: &str) -> Result<()> {
    etcd_gets_well(desk)?;
    let compared = status(desk, host, &["--hash"])?;
    let said = String::from_utf8_lossy(&compared.stdout).into_owned();
    ensure!(compared.status.success() && said.contains("all 3 members hold the same"), "{said}");
    let own = "kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --tls-server-name=kubernetes \
               get configmap kept -n demo -o 'jsonpath={.data.note}'";
    until("its API server serves what was written before", || {
        Ok(story::text(&mut desk.lab.exec(host, &["sh", "-c", own]))? == "before")
    })?;
    until("the station finds nothing to do", || {
        Ok(story::output(&mut desk.station(&["cluster", "status"]))?.status.success())
    })
}
