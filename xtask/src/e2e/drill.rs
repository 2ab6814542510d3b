//! Restore drills, and what stays of them: one more case of the scenario `restore`.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::expect::expect;
use crate::story::{self, Desk};

const STATION: &str = "/root/drilled-station.backup";
const OTHER_KEY: &str = "/root/other.key";
/// Where a drill lays out what it opens: in memory, else in the state folder.
const PLACES: &str = "/dev/shm/sealock-drill-* /var/lib/sealock/sealock-drill-*";

/// The backup `file` of the cluster is drilled, and one of the station; `key` opens both.
pub(super) fn drilled(desk: &Desk, file: &str, key: &str) -> Result<()> {
    let drill = ["cluster", "drill", file, "--recovery-key", key];
    ended_by(desk, &drill, "TERM")?;
    nothing_stays(desk)?;
    ended_by(desk, &drill, "KILL")?;
    let begun = Instant::now();
    let told = json(desk, &[&drill[..], &["-o", "json"]].concat())?;
    println!("      drilled in {:.1} s", begun.elapsed().as_secs_f64());
    ensure!(told["record"]["verdict"] == "passed", "it says {told}");
    let checks = told["record"]["checks"].as_array().context("no checks")?;
    let named = |name: &str| checks.iter().any(|check| check["name"] == name && check["verdict"] == "passed");
    for name in ["signature", "content", "authorities", "service-accounts", "etcd", "state", "objects", "cleared"] {
        ensure!(named(name), "{name} was not passed: {told}");
    }
    let kept = on_station(desk, &["cat", told["kept"].as_str().context("no record")?])?;
    ensure!(kept.contains("application/vnd.in-toto+json"), "the record is {kept}");
    nothing_stays(desk)?;

    let other = ["site", "recovery-key", OTHER_KEY, "--unencrypted"];
    story::text(&mut desk.station(&other))?;
    let closed = ["cluster", "drill", file, "--recovery-key", OTHER_KEY];
    expect(&mut desk.station(&closed), 3, &["error[DRILL]", "FAILED: ", "encrypted for others", "/drills/"])?;
    nothing_stays(desk)?;
    station(desk, key)
}

/// One that gets `signal` while etcd's data lies there leaves no etcd; what one that is killed leaves else, the next one removes.
fn ended_by(desk: &Desk, drill: &[&str], signal: &str) -> Result<()> {
    let mut child = desk.station(drill).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(120);
    let laid = format!("find {PLACES} -path '*/data/member' 2>/dev/null; true");
    while on_station(desk, &["sh", "-c", &laid])?.trim().is_empty() {
        if let Some(status) = child.try_wait()? {
            bail!("the drill ended with {status} before etcd had its data");
        }
        ensure!(Instant::now() < deadline, "after 120 s a drill has laid out nothing");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -{signal} $p; done", drill.join(" "));
    on_station(desk, &["sh", "-c", &kill])?;
    ensure!(!child.wait()?.success(), "it was through before it got SIG{signal}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !on_station(desk, &["sh", "-c", "pgrep etcd; true"])?.trim().is_empty() {
        ensure!(Instant::now() < deadline, "an etcd outlived the drill that got SIG{signal}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

fn station(desk: &Desk, key: &str) -> Result<()> {
    let said = on_station(desk, &["grep", "-o", "age1.*", key])?;
    let recipient = said.lines().next().context("the recovery key names no recipient")?;
    story::text(&mut desk.station(&["site", "backup", "--to", STATION, "--recipient", recipient]))?;
    let drill = ["site", "drill", STATION, "--recovery-key", key];
    expect(&mut desk.station(&drill), 0, &["passed", "files laid out", "/evidence/station/drills/"])?;
    let path = desk.lab.root_of("station").join(STATION.trim_start_matches('/'));
    flip(&path)?;
    expect(&mut desk.station(&drill), 3, &["error[DIGEST]", "failed: DIGEST"])?;
    nothing_stays(desk)?;
    Ok(fs::remove_file(path)?)
}

fn flip(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(path, bytes)?)
}

fn nothing_stays(desk: &Desk) -> Result<()> {
    let look = format!("ls -d {PLACES} 2>/dev/null; true");
    let left = on_station(desk, &["sh", "-c", &look])?;
    ensure!(left.trim().is_empty(), "a drill has left {left}");
    Ok(())
}

fn json(desk: &Desk, words: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&story::text(&mut desk.station(words))?)?)
}

fn on_station(desk: &Desk, words: &[&str]) -> Result<String> {
    story::text(&mut desk.lab.exec("station", words))
}
