//! An etcd of one's own, run by a real systemd: begun, grown, killed in the middle, a machine lost, restored, taken away.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk};
use crate::{repo, tools};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "own-etcd",
    upstream: Upstream::One,
    is_long: false,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "etcd: a join killed again and again", run: killed_join },
    Case { name: "etcd: a machine is lost and replaced", run: lost_machine },
    Case { name: "etcd: a restore killed again and again", run: killed_restore },
    Case { name: "etcd: a reset killed again and again", run: killed_reset },
];

const BINARY: &[&str] = &["--binary", "/media/etcd", "--yes"];
const FIRST: &str = "10.77.0.11:2379";
/// Seconds after which a command is killed, until one is through before that. No machine is through in the first:
/// a reset takes a quarter of a second on a quick one, a restore many seconds on a slow one. Any is through in the last.
const CUTS: &str = "0.005 0.02 0.04 0.06 0.08 0.1 0.12 0.14 0.16 0.18 0.2 0.23 0.26 0.3 0.35 0.4 0.45 0.5 0.6 0.7 0.8 0.9 1 \
    1.2 1.4 1.7 2 2.5 3 3.5 4 4.5 5 6 7 8 9 10 12 15 20 30 60 900";

/// One member, and a second one.
fn begin(desk: &Desk) -> Result<()> {
    let programs = tools::part(&repo::root()?, "etcd")?;
    for machine in ["cp1", "w1", "w2"] {
        desk.carry(&programs, machine, "/media/etcd")?;
        desk.carry(&desk.binaries.inside, machine, "/usr/local/sbin/sealock")?;
    }
    etcd(desk, "cp1", &[&["init", "--address", "10.77.0.11"], BINARY].concat())?;
    bring_authority(desk, "w1")?;
    join(desk, "w1")?;
    put(desk, "before the crash")?;
    well(desk, 2)
}

/// Wherever it is killed, the cluster goes on, there is one learner at most, and the last run ends as if there had been no other.
fn killed_join(desk: &Desk) -> Result<()> {
    bring_authority(desk, "w2")?;
    let join = "sealock etcd join 10.77.0.11:2379 --address 10.77.0.22 --binary /media/etcd --yes --set-data-aside";
    let kills = until_through(desk, "w2", join, |desk| {
        // Another leader may have to be elected first.
        until(desk, "the cluster goes on", |status| status["agreed"] == true)?;
        let status = status(desk, "cp1")?;
        let learners = members(&status).iter().filter(|member| member["learner"] == true).count();
        ensure!(learners <= 1, "the cluster suffers: {status}");
        Ok(())
    })?;
    ensure!(kills > 0, "it was never killed");
    join_changes_nothing(desk, "w2")?;
    well(desk, 3)
}

fn join_changes_nothing(desk: &Desk, machine: &str) -> Result<()> {
    let again = [&["join", FIRST, "--address", address(machine)], BINARY].concat();
    let said = etcd(desk, machine, &again)?;
    ensure!(said.contains("nothing was to be changed"), "it changed something: {said}");
    Ok(())
}

/// Power is cut. What is left refuses to lose its quorum, removes the dead one, and takes it up again when it comes back.
fn lost_machine(desk: &Desk) -> Result<()> {
    desk.lab.kill_machine("w2")?;
    until(desk, "one is seen to be down", |status| status["agreed"] == true && down(status) == 1)?;
    let refused = expect(&mut command(desk, "cp1", &["remove", "w1", "--yes"]), 3, &["error[QUORUM]"])?;
    ensure!(refused.contains("1 of 2 voters would be up"), "{refused}");
    etcd(desk, "cp1", &["remove", "w2", "--yes"])?;
    desk.lab.boot_machine("w2")?;
    let again = [&["join", FIRST, "--address", address("w2")], BINARY].concat();
    expect(&mut command(desk, "w2", &again), 3, &["error[FOREIGN]", "--set-data-aside"])?;
    etcd(desk, "w2", &[&again[..], &["--set-data-aside"]].concat())?;
    well(desk, 3)
}

/// The others are reset and join again. Whatever was there stays aside, once for each time.
fn killed_restore(desk: &Desk) -> Result<()> {
    etcd(desk, "cp1", &["snapshot", "/root/one.db"])?;
    put(desk, "after the snapshot")?;
    let kills = until_through(desk, "cp1", "sealock etcd restore /root/one.db --yes", |_| Ok(()))?;
    ensure!(kills > 0, "it was never killed");
    ensure!(value(desk)? == "before the crash", "the cluster holds {}", value(desk)?);
    let left = names(desk, "cp1", "var/tmp")?;
    ensure!(!left.iter().any(|name| name.starts_with(".sealock")), "rehearsals were left: {left:?}");
    for machine in ["w1", "w2"] {
        etcd(desk, machine, &["reset", "--skip-remove-member", "--yes"])?;
        bring_authority(desk, machine)?;
        join(desk, machine)?;
    }
    well(desk, 3)
}

/// Nothing is left but what is aside, and the others go on.
fn killed_reset(desk: &Desk) -> Result<()> {
    let kills = until_through(desk, "w2", "sealock etcd reset --yes || ! test -e /etc/etcd/etcd.yaml", |_| Ok(()))?;
    ensure!(kills > 0, "it was never killed");
    for (folder, name) in [("var/lib", "etcd"), ("etc/etcd", "pki"), ("etc/etcd", "etcd.yaml"), ("opt", "sealock")] {
        ensure!(!names(desk, "w2", folder)?.contains(name), "{folder}/{name} is left");
    }
    let unit = "systemctl is-active etcd; ls /usr/local/bin; systemctl cat etcd 2>/dev/null; true";
    let said = story::text(&mut desk.lab.exec("w2", &["sh", "-c", unit]))?;
    ensure!(said.trim() == "inactive", "this is left: {said}");
    ensure!(names(desk, "w2", "var/lib")?.iter().any(|name| name.starts_with("etcd.20")), "the data is not aside");
    well(desk, 2)
}

/// Runs `line` on `machine`, killed later each time, until it is through; answers how often it was killed. `holds` is asked after each.
fn until_through(desk: &Desk, machine: &str, line: &str, holds: impl Fn(&Desk) -> Result<()>) -> Result<usize> {
    for (kills, seconds) in CUTS.split(' ').enumerate() {
        let command = ["timeout", "-s", "KILL", seconds, "sh", "-c", line];
        let output = story::output(&mut desk.lab.exec(machine, &command))?;
        // One may have ended by itself in between.
        let all = "for p in $(pgrep -x sealock); do kill -KILL $p 2>/dev/null; done; true";
        story::text(&mut desk.lab.exec(machine, &["sh", "-c", all]))?;
        holds(desk)?;
        match output.status.code() {
            Some(0) => return Ok(kills),
            Some(137) | None => {}
            Some(code) => {
                let said = String::from_utf8_lossy(&output.stderr);
                anyhow::bail!("after {kills} kills `{line}` ended with {code}:\n{said}");
            }
        }
    }
    anyhow::bail!("`{line}` is never through")
}

fn command(desk: &Desk, machine: &str, args: &[&str]) -> std::process::Command {
    desk.lab.exec(machine, &[&["sealock", "etcd"], args].concat())
}

fn etcd(desk: &Desk, machine: &str, args: &[&str]) -> Result<String> {
    story::text(&mut command(desk, machine, args))
}

fn join(desk: &Desk, machine: &str) -> Result<()> {
    etcd(desk, machine, &[&["join", FIRST, "--address", address(machine)], BINARY].concat()).map(drop)
}

fn address(machine: &str) -> &'static str {
    match machine {
        "cp1" => "10.77.0.11",
        "w1" => "10.77.0.21",
        _ => "10.77.0.22",
    }
}

/// As a person carries it on a stick.
fn bring_authority(desk: &Desk, machine: &str) -> Result<()> {
    for file in ["ca.crt", "ca.key"] {
        let path = format!("etc/etcd/pki/{file}");
        desk.carry(&desk.lab.root_of("cp1").join(&path), machine, &path)?;
    }
    Ok(())
}

fn status(desk: &Desk, machine: &str) -> Result<Value> {
    // Its exit code says whether the cluster is well; here the whole answer is looked at.
    let output = story::output(&mut command(desk, machine, &["status", "-o", "json"]))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no status: {}", String::from_utf8_lossy(&output.stderr)))
}

fn members(status: &Value) -> &[Value] {
    status["members"].as_array().map_or(&[], Vec::as_slice)
}

fn down(status: &Value) -> usize {
    status["states"].as_array().map_or(0, |states| states.iter().filter(|state| !state["problem"].is_null()).count())
}

/// Asks until it is so: a member that has just started is not seen at once.
fn until(desk: &Desk, what: &str, enough: impl Fn(&Value) -> bool) -> Result<()> {
    let mut last = Value::Null;
    for _ in 0..60 {
        last = status(desk, "cp1")?;
        if enough(&last) {
            return Ok(());
        }
        story::text(&mut desk.lab.exec("cp1", &["sleep", "1"]))?;
    }
    anyhow::bail!("not so after a minute: {what}: {last}")
}

fn well(desk: &Desk, size: usize) -> Result<()> {
    until(desk, "all are well", |status| status["well"] == true && members(status).len() == size)?;
    etcd(desk, "cp1", &["status", "--hash"]).map(drop)
}

fn etcdctl(desk: &Desk, args: &[&str]) -> Result<String> {
    let pki =
        ["--cacert", "/etc/etcd/pki/ca.crt", "--cert", "/etc/etcd/pki/client.crt", "--key", "/etc/etcd/pki/client.key"];
    story::text(&mut desk.lab.exec("cp1", &[&["etcdctl", "--endpoints", FIRST], &pki[..], args].concat()))
}

fn put(desk: &Desk, value: &str) -> Result<()> {
    etcdctl(desk, &["put", "key", value]).map(drop)
}

fn value(desk: &Desk) -> Result<String> {
    Ok(etcdctl(desk, &["get", "key", "--print-value-only"])?.trim().to_owned())
}

fn names(desk: &Desk, machine: &str, folder: &str) -> Result<BTreeSet<String>> {
    let path = desk.lab.root_of(machine).join(folder);
    let Ok(entries) = fs::read_dir(&path) else { return Ok(BTreeSet::new()) };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
