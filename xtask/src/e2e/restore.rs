//! A station that is lost, and a cluster whose machines are all lost, made again from backups.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::expect::expect;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::outside::cluster_spec;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "restore",
    upstream: Upstream::One,
    is_long: false,
    nodes: &["cp1", "w1", "cp2", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "restore: a backup of a cluster that runs", run: backed_up },
    Case { name: "restore: a backup that was changed", run: changed },
    Case { name: "restore: a drill, and what stays of it", run: drilled },
    Case { name: "restore: backups by a timetable, and as many as are to be kept", run: by_timetable },
    Case { name: "restore: never over a living cluster", run: over_a_living_one },
    Case { name: "restore: the station is lost, and made again", run: station_lost },
    Case { name: "restore: all machines are lost, and others take their place", run: restored },
    Case { name: "restore: what was held is there, and the lost nodes are not", run: all_is_there },
    Case { name: "restore: reset", run: reset },
];

const BACKUP: &str = "plant-7.backup";
const RESTORED: &str = "restored.yaml";
const KEY: &str = "/root/recovery.key";

/// The story but for its proofs: two machines have no cluster yet.
fn begin(desk: &Desk) -> Result<()> {
    story::up_to_the_application(desk)?;
    note(desk, "before")
}

fn note(desk: &Desk, name: &str) -> Result<()> {
    let note = ["create", "configmap", name, "-n", "demo", "--from-literal=note=kept"];
    story::text(&mut desk.kubectl(&note)).map(drop)
}

fn backed_up(desk: &Desk) -> Result<()> {
    let nobody = ["cluster", "backup", "--to", BACKUP];
    expect(&mut desk.station(&nobody), 1, &["at least one recipient", "recovery-key"])?;
    let key = ["site", "recovery-key", KEY, "--unencrypted"];
    let recipient = story::text(&mut desk.station(&key))?;
    let begun = Instant::now();
    let backup = ["cluster", "backup", "--to", BACKUP, "--recipient", recipient.trim()];
    expect(&mut desk.station(&backup), 0, &["keys in the rehearsal", "sha256:"])?;
    println!("      taken in {:.1} s", begun.elapsed().as_secs_f64());
    let left = story::text(&mut desk.lab.exec("cp1", &["find", "/var/lib/sealock/node/restore"]))?;
    ensure!(left.trim() == "/var/lib/sealock/node/restore", "on the host was left: {left}");
    let check = ["cluster", "backup", "--check", BACKUP];
    expect(&mut desk.station(&check), 0, &["not opened"])?;
    let opened = ["--recovery-key", KEY];
    expect(&mut desk.station(&[&check[..], &opened].concat()), 0, &["all of it is what was signed"])?;
    // What is written from here on is not in it.
    note(desk, "after")
}

/// One byte of what is encrypted, and one of the table of contents.
fn changed(desk: &Desk) -> Result<()> {
    let home = desk.lab.root_of("station").join("root/site");
    let whole = fs::read(home.join(BACKUP))?;
    for (at, said) in [(whole.len() / 2, "error[DIGEST]"), (700, "error[")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(home.join("changed.backup"), bytes)?;
        expect(&mut desk.station(&["cluster", "backup", "--check", "changed.backup"]), 3, &[said])?;
        let restore = ["cluster", "restore", "changed.backup", "--recovery-key", KEY, "--yes"];
        expect(&mut desk.station(&restore), 3, &[said])?;
    }
    Ok(fs::remove_file(home.join("changed.backup"))?)
}

fn over_a_living_one(desk: &Desk) -> Result<()> {
    let digest = digest(desk)?;
    let restore = ["cluster", "restore", BACKUP, "--recovery-key", KEY, "--yes"];
    let living = [&restore[..], &["--digest", &digest]].concat();
    expect(&mut desk.station(&living), 3, &["error[FOREIGN]", "host cp1 is a node already"])?;
    let another = "sha256:".to_owned() + &"0".repeat(64);
    expect(&mut desk.station(&[&restore[..], &["--digest", &another]].concat()), 2, &["was named"]).map(drop)
}

fn drilled(desk: &Desk) -> Result<()> {
    super::drill::drilled(desk, BACKUP, KEY)
}

fn by_timetable(desk: &Desk) -> Result<()> {
    super::kept::by_timetable(desk, KEY)
}

fn station_lost(desk: &Desk) -> Result<()> {
    super::station_lost::lost_and_restored(desk, KEY)
}

fn restored(desk: &Desk) -> Result<()> {
    for node in ["cp1", "w1"] {
        desk.lab.kill_machine(node)?;
    }
    cluster_spec(desk, RESTORED)?;
    let digest = digest(desk)?;
    let restore = ["cluster", "restore", BACKUP, "--recovery-key", KEY, "--file", RESTORED, "--yes"];
    expect(&mut desk.station(&restore), 2, &["which backup is meant", &digest])?;
    let named = [&restore[..], &["--digest", &digest]].concat();
    let plan = ["from a backup", "files of the backup", "restore /var/lib/etcd", "forget the nodes"];
    expect(&mut desk.station(&[&named[..], &["--dry-run"]].concat()), 0, &plan)?;
    killed_when_etcd_is_there(desk, &named)?;
    // Half of it can be given back, and no key stays behind.
    reset(desk)?;
    for node in ["cp2", "w2"] {
        let left =
            story::text(&mut desk.lab.exec(node, &["sh", "-c", "ls -A /var/lib/sealock/node/restore 2>&1; true"]))?;
        ensure!(left.contains("No such file"), "a reset left on {node}: {left}");
    }
    let begun = Instant::now();
    killed_when_etcd_is_there(desk, &named)?;
    // Half of a cluster is not taken for one in the making.
    let apply = ["cluster", "apply", "--file", RESTORED, "--yes"];
    expect(&mut desk.station(&apply), 1, &["a restore of the cluster was begun", "cluster restore"])?;
    expect(&mut desk.station(&named), 0, &["cluster plant-7 is what it was at"])?;
    println!("      the cluster is back in {:.0} s", begun.elapsed().as_secs_f64());
    expect(&mut desk.station(&named), 0, &["nothing to do"])?;
    expect(&mut desk.station(&apply), 0, &["nothing to do"]).map(drop)
}

/// The operator's command is killed once etcd has its data on the new host.
fn killed_when_etcd_is_there(desk: &Desk, restore: &[&str]) -> Result<()> {
    let log = fs::File::create(desk.outside.join("restore.log"))?;
    let mut command = desk.station(restore);
    let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(300);
    while !desk.lab.root_of("cp2").join("var/lib/etcd/member").exists() {
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(desk.outside.join("restore.log"))?;
            bail!("it ended with {status} before etcd had its data:\n{said}");
        }
        ensure!(Instant::now() < deadline, "after 300 s etcd has no data");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -KILL $p; done", restore.join(" "));
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
    ensure!(!child.wait()?.success(), "it was through before it was killed");
    Ok(())
}

fn all_is_there(desk: &Desk) -> Result<()> {
    let nodes = text_there(desk, &["get", "nodes", "-o=jsonpath={.items[*].metadata.name}"])?;
    ensure!(nodes == "cp2 w2", "the nodes are {nodes}");
    let notes = text_there(desk, &["get", "configmaps", "-n", "demo", "-o=jsonpath={.items[*].metadata.name}"])?;
    ensure!(notes.contains("before") && !notes.contains("after"), "the notes are {notes}");
    for node in ["cp2", "w2"] {
        proof::answers_on(desk, "cp2", node)?;
    }
    let left = story::text(&mut desk.lab.exec("cp2", &["find", "/var/lib/sealock/node/restore"]))?;
    ensure!(left.trim() == "/var/lib/sealock/node/restore", "keys were left on the host: {left}");
    Ok(())
}

fn reset(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--file", RESTORED, "--yes"]), 0, &[])?;
    ["cp2", "w2"].into_iter().try_for_each(|node| super::cases::cluster::is_bare(desk, node))
}

/// What names the backup.
fn digest(desk: &Desk) -> Result<String> {
    let said = story::text(&mut desk.station(&["cluster", "backup", "--check", BACKUP, "-o", "json"]))?;
    let said: Value = serde_json::from_str(&said)?;
    said["digest"].as_str().map(ToOwned::to_owned).with_context(|| format!("no digest in {said}"))
}

/// What `kubectl …` says on the control plane host that took the other one's place.
fn text_there(desk: &Desk, args: &[&str]) -> Result<String> {
    story::text(&mut desk.kubectl_on("cp2", args))
}
