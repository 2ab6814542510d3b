//! A thousand hosts over SSH: what it costs the station to ask all of them, and to change something on each.
//!
//! The station is a machine of the lab. The hosts are another one, which is many (`lab/fan-out/set-up.sh`): one real sshd answers a thousand
//! addresses, and each session ends in a file tree of its own, with the real `sealock node` in it. Only systemd and the cable of each host are
//! scripted. What drives them is the code that `cluster plan` and `cluster apply` are made of, in a test of that crate: a whole cluster of a
//! thousand nodes has no room on one computer.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::environment;
use crate::lab::{Accounts, Lab, become_root};
use crate::registries::Build;
use crate::story::{self, executable};

const LAB: &str = "fanout";
/// The machine that is all hosts.
const CROWD: &str = "w1";
const FOLDER: &str = "/usr/local/lib/fan-out";
const SHIMS: [(&str, &str); 4] = [
    ("sudo", include_str!("../../../lab/fan-out/shims/sudo.sh")),
    ("ip", include_str!("../../../lab/fan-out/shims/ip.sh")),
    ("systemctl", include_str!("../../../lab/fan-out/shims/systemctl.sh")),
    ("systemd-run", include_str!("../../../lab/fan-out/shims/systemd-run.sh")),
];
const SCRIPTS: [(&str, &str); 3] = [
    ("set-up.sh", include_str!("../../../lab/fan-out/set-up.sh")),
    ("session.sh", include_str!("../../../lab/fan-out/session.sh")),
    ("enter.sh", include_str!("../../../lab/fan-out/enter.sh")),
];

/// As the test says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Phase {
    phase: String,
    wall: f64,
    /// Processor time of the station's own process so far.
    ticks: u64,
    descriptors: usize,
    peak_kib: u64,
}

/// What the change was, in the end.
#[derive(Debug, Deserialize)]
struct Change {
    steps: usize,
    /// Bytes of the operator's journal.
    journal: u64,
    /// Bytes of the plan for bare hosts.
    plan: u64,
}

/// In a process of its own, for it becomes root, and the other rows do not.
pub(super) fn apart() -> Result<()> {
    super::apart("--fan-out")
}

pub(super) fn run(root: &Path, hosts: u16) -> Result<()> {
    let programs = build(root)?;
    let lab = Lab::open(LAB)?;
    lab.build_parts()?;
    become_root()?;
    lab.down()?;
    let outcome = measure(&lab, hosts, &programs);
    lab.down()?;
    outcome
}

/// What runs at the station, and on every host.
struct Programs {
    station: PathBuf,
    sealock: PathBuf,
}

/// Both as they are shipped. Behind sudo, what the person who called has built is taken.
fn build(root: &Path) -> Result<Programs> {
    let folder = root.join("target/story/fan-out");
    let programs = Programs { station: folder.join("station"), sealock: folder.join("sealock") };
    if rustix::process::geteuid().is_root() && environment::variable("SUDO_UID").is_some() {
        return Ok(programs);
    }
    let what = ["test", "--no-run", "--quiet", "--release", "--package", "sealock-cluster", "--test", "it"];
    let mut command = Command::new("cargo");
    command.args(what).args(["--message-format", "json-render-diagnostics"]).current_dir(root);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the tests of sealock-cluster do not build");
    let test = executable(&String::from_utf8(output.stdout)?).context("cargo built no executable")?;
    story::copy(Path::new(&test), &programs.station)?;
    story::copy(&Build::Release.program(root)?, &programs.sealock)?;
    Ok(programs)
}

fn measure(lab: &Lab, hosts: u16, programs: &Programs) -> Result<()> {
    lab.up(&[CROWD])?;
    make_hosts(lab, hosts, &programs.sealock)?;
    let station = lab.root_of("station");
    story::copy(&programs.station, &station.join("usr/local/bin/fan-out"))?;
    story::copy(&programs.sealock, &station.join("usr/local/bin/sealock"))?;
    story::text(&mut lab.exec("station", &["ip", "route", "replace", "10.80.0.0/16", "via", "10.77.0.21"]))?;
    let key = fs::read_to_string(lab.root_of(CROWD).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
    println!("\nfan-out to {hosts} hosts over SSH");
    println!(
        "{:<18} {:>8} {:>10} {:>13} {:>11} {:>12} {:>9}",
        "phase", "wall s", "own CPU s", "station CPU s", "hosts CPU s", "descriptors", "peak MiB"
    );
    let mut child = lab
        .exec(
            "station",
            &[
                // As a unit, for then all that it starts counts as the station's.
                "systemd-run",
                "--quiet",
                "--pipe",
                "--wait",
                "--collect",
                &format!("--setenv=SEALOCK_FAN_OUT_HOSTS={hosts}"),
                &format!("--setenv=SEALOCK_FAN_OUT_HOST_KEY={}", key.trim()),
                "--setenv=SEALOCK_FAN_OUT_BINARY=/usr/local/bin/sealock",
                "--setenv=HOME=/root",
                "/usr/local/bin/fan-out",
                "many_hosts_are_asked_and_changed_over_ssh",
                "--ignored",
                "--nocapture",
            ],
        )
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the station's part")?;
    let outcome = child.stdout.take().context("no output").and_then(|said| follow(lab, BufReader::new(said)));
    let status = child.wait()?;
    ensure!(status.success(), "the station's part ended with {status}");
    outcome
}

/// The machine that is all hosts: its scripts, and `sealock` where the hosts can have it under their own names.
fn make_hosts(lab: &Lab, hosts: u16, sealock: &Path) -> Result<()> {
    let root = lab.root_of(CROWD);
    let folder = root.join(FOLDER.trim_start_matches('/'));
    for (name, script) in SCRIPTS {
        write_program(&folder.join(name), script)?;
    }
    for (name, script) in SHIMS {
        write_program(&folder.join("shims").join(name), script)?;
    }
    story::copy(sealock, &root.join("srv/sealock"))?;
    let set_up = format!("{FOLDER}/set-up.sh");
    let words = [&set_up, &hosts.to_string(), "/srv/sealock", env!("CARGO_PKG_VERSION")].map(ToString::to_string);
    story::text(&mut lab.exec(CROWD, &words.each_ref().map(String::as_str)))?;
    Ok(())
}

fn write_program(path: &Path, script: &str) -> Result<()> {
    let written = fs::create_dir_all(path.with_file_name("")).and_then(|()| {
        fs::write(path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A row for each phase as it ends.
fn follow(lab: &Lab, said: impl BufRead) -> Result<()> {
    let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
    let used = || anyhow::Ok((lab.cpu_of("station")?, lab.cpu_of(CROWD)?));
    let (mut station, mut crowd) = used()?;
    let (mut own, mut held, mut all) = (0.0, Accounts::default(), 0.0);
    for line in said.lines() {
        let line = line?;
        let Some(text) = line.find('{').map(|at| &line[at..]) else { continue };
        let Ok(phase) = serde_json::from_str::<Phase>(text) else {
            let Change { steps, journal, plan } = serde_json::from_str(text).with_context(|| line.clone())?;
            println!(
                "the change: {steps} steps, {journal} bytes in the operator's journal; the plan for bare hosts has {plan} bytes"
            );
            continue;
        };
        let (station_now, crowd_now) = used()?;
        let own_now = phase.ticks as f64 / ticks_a_second;
        println!(
            "{:<18} {:>8.1} {:>10.1} {:>13.1} {:>11.1} {:>12} {:>9}",
            phase.phase,
            phase.wall,
            own_now - own,
            station_now - station,
            crowd_now - crowd,
            phase.descriptors,
            phase.peak_kib >> 10
        );
        (own, station, crowd, all) = (own_now, station_now, crowd_now, all + phase.wall);
        if phase.phase == "connect" {
            held = lab.accounts_of("station")?;
            // Looking took its time from the next phase's.
            (station, crowd) = used()?;
        }
    }
    ensure!(all > 0.0, "the station's part said nothing of what it took");
    println!(
        "while all were connected the station had {} processes with {} MiB in all; {all:.1} s for everything",
        held.processes,
        held.memory >> 20
    );
    Ok(())
}
