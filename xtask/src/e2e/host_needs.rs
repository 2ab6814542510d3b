//! Hosts get what they need of the site: programs that they lack, out of the OS packages of the release, and the time, from a real chronyd at
//! the station.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::patch_os::set_name;
use super::upgrade::bring_in;
use super::{Case, Scenario, until};
use crate::faults::applying::Applying;
use crate::faults::baseline;
use crate::faults::journal::{At, Since};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS, proof};
use crate::{repo, tools};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "host-needs",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1"],
    story: until_served,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "host-needs: hosts that lack a program, and a release that has none", run: lacking },
    Case { name: "host-needs: the next bundle brings what they lack", run: next_bundle },
    Case { name: "host-needs: killed in the middle of dpkg", run: killed_in_dpkg },
    Case { name: "host-needs: a time server that does not answer", run: dead_server },
    Case { name: "host-needs: killed while chrony is told, and finished", run: killed_and_finished },
    Case { name: "host-needs: the hosts ask the station and nobody else", run: asked_alone },
    Case { name: "host-needs: what somebody changes is told and repaired", run: drift },
    Case { name: "host-needs: the site's server is silent", run: silent },
    Case { name: "host-needs: a reset gives back what the hosts were", run: reset },
];

const SETTINGS: &str = "etc/chrony/chrony.conf";
/// What a vendor has left on one of the hosts: somebody outside.
const VENDOR: &str = "etc/chrony/conf.d/vendor.conf";
const VENDORS: &str = "server 198.51.100.10 iburst\nmaxslewrate 500\n";
const STATION: &str = "10.77.0.2";
/// What dpkg and those that work for it write down of packages that came and went.
const BOOKS: [&str; 7] =
    ["/var/lib/dpkg", "/var/lib/apt", "/var/lib/ucf", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"];
const APPLY: [&str; 3] = ["cluster", "apply", "--yes"];

/// The control plane has Debian's chrony with Debian's settings, and somebody's besides; the worker has none, and no nft.
fn until_served(desk: &Desk) -> Result<()> {
    for step in STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    for machine in ["station", "cp1", "w1"] {
        // The computer has one clock, which no machine may set: Debian's unit does not start there without being told so.
        let unit = desk.lab.root_of(machine).join("etc/systemd/system/chrony.service.d/lab.conf");
        fs::create_dir_all(unit.parent().context("it has no folder")?)?;
        fs::write(unit, "[Unit]\nConditionCapability=\n[Service]\nExecStart=\nExecStart=!/usr/sbin/chronyd -F 1 -x\n")?;
    }
    for machine in ["station", "cp1"] {
        let deb = debs()?.into_iter().find(|deb| named(deb).starts_with("chrony_")).context("no chrony")?;
        desk.carry(&deb, machine, "/root/chrony.deb")?;
        story::text(&mut desk.lab.exec(machine, &["sh", "-c", "dpkg -i /root/chrony.deb && rm /root/chrony.deb"]))?;
    }
    story::text(&mut desk.lab.exec("w1", &["dpkg", "--purge", "nftables"]))?;
    let served = "local stratum 8\nallow 10.77.0.0/24\ndriftfile /var/lib/chrony/chrony.drift\n";
    fs::write(desk.lab.root_of("station").join(SETTINGS), served)?;
    fs::write(desk.lab.root_of("cp1").join(VENDOR), VENDORS)?;
    for machine in ["station", "cp1"] {
        story::text(&mut desk.lab.exec(machine, &["systemctl", "restart", "chrony"]))?;
        until("chronyd answers", || {
            Ok(story::output(&mut desk.lab.exec(machine, &["chronyc", "tracking"]))?.status.success())
        })?;
    }
    baseline::keep(desk)
}

/// Debian's packages, as files.
fn debs() -> Result<Vec<PathBuf>> {
    let folder = tools::part(&repo::root()?, "debian-packages")?.with_file_name("debs");
    fs::read_dir(folder)?.map(|deb| Ok(deb?.path())).collect()
}

fn named(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn lacking(desk: &Desk) -> Result<()> {
    let said = [
        "error[PREFLIGHT]",
        "w1: it lacks nft",
        "w1: it has neither chrony nor systemd-timesyncd",
        "Install nftables there",
        "or carry a bundle that has nftables in a set",
    ];
    expect(&mut desk.station(&["cluster", "plan"]), 3, &said).map(drop)
}

/// Out of the lab's archive, into which Debian's packages were put; what they depend on is on the hosts.
fn next_bundle(desk: &Desk) -> Result<()> {
    let more = desk.lab.dir().join("outside/www/archive.lab.example/debian/pool/main/more");
    fs::create_dir_all(&more)?;
    for deb in debs()? {
        fs::copy(&deb, more.join(named(&deb)))?;
    }
    desk.lab.publish_packages("1.0")?;
    fs::copy(desk.lab.dir().join("outside/archive.asc"), desk.outside.join("keys/archive.asc"))?;
    let list = ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n"];
    fs::write(desk.outside.join("w1.tsv"), story::text(&mut desk.lab.exec("w1", &list))?)?;
    let spec = fs::read_to_string(desk.written("sealock.yaml"))?;
    let name = set_name(desk)?;
    let set = format!(
        "  osPackages:\n    - name: {name}\n      apt:\n        - uri: https://archive.lab.example/debian\n          suite: lab\n          \
               components: [main]\n          signedBy: keys/archive.asc\n      packages: [chrony, nftables]\n      installed: [w1.tsv]\n"
    );
    bring_in(desk, &format!("{}\n{set}", spec.trim_end()))?;
    rewrite_spec(desk, STATION, "10.77.0.99")?;
    let told = [
        "lay in what the host lacks: chrony 4.",
        "nftables 1.",
        "cp1: /etc/chrony/chrony.conf: pool 2.debian.pool.ntp.org iburst is put out of use, until the host is given back",
        "cp1: /etc/chrony/conf.d/vendor.conf: server 198.51.100.10 iburst is put out of use",
        "take the time from 10.77.0.99 and from nobody else, by chrony",
    ];
    let plan = expect(&mut desk.station(&["cluster", "plan"]), 0, &told)?;
    ensure!(plan.matches("lay in what the host lacks").count() == 1, "cp1 lacks nothing:\n{plan}");
    Ok(())
}

fn killed_in_dpkg(desk: &Desk) -> Result<()> {
    let since = Since::now(desk, "w1")?;
    let mut apply = Applying::begin(desk)?;
    apply.kill_runner(desk, "w1", &since, At::Intent("os-packages/added"))?;
    apply.fails(&["w1"]).map(drop)
}

/// The packages are there whole by then, and nothing of Kubernetes.
fn dead_server(desk: &Desk) -> Result<()> {
    Applying::begin(desk)?.fails(&["step time failed", "no answer to chrony from 10.77.0.99 (UDP port 123)"])?;
    for node in desk.nodes {
        ensure!(!desk.lab.root_of(node).join("usr/bin/kubelet").exists(), "{node} went on without the time");
    }
    let on_w1 = |args: &[&str]| story::text(&mut desk.lab.exec("w1", args));
    ensure!(on_w1(&["dpkg", "--audit"])?.is_empty(), "packages on w1 are half done");
    on_w1(&["nft", "list", "tables"]).map(drop)
}

fn killed_and_finished(desk: &Desk) -> Result<()> {
    rewrite_spec(desk, "10.77.0.99", STATION)?;
    desk.lab.watch_egress()?;
    let since = Since::now(desk, "cp1")?;
    let mut apply = Applying::begin(desk)?;
    apply.kill_runner(desk, "cp1", &since, At::Intent("time"))?;
    apply.fails(&["cp1"])?;
    expect(&mut desk.station(&APPLY), 0, &[])?;
    expect(&mut desk.station(&APPLY), 0, &["nothing to do"]).map(drop)
}

fn asked_alone(desk: &Desk) -> Result<()> {
    let status = status(desk)?;
    for (node, host) in desk.nodes.iter().zip(status["hosts"].as_array().into_iter().flatten()) {
        ensure!(host["time"]["server"] == STATION, "{node}: {}", host["time"]);
        let ahead = host["time"]["ahead-us"].as_i64().context("it does not say by how much it is ahead")?;
        ensure!(ahead.abs() < 1_000_000, "one clock, and {node} is {ahead} us ahead");
        let asked = sources(desk, node)?;
        ensure!(asked == [STATION], "{node} asks {asked:?}");
    }
    proof::gap(desk)?;
    let all = expect(&mut desk.station(&["gap", "check", "--long"]), 0, &["none but the site's own"])?;
    ensure!(!all.contains("pool.ntp.org"), "somebody else is named still:\n{all}");
    // A kernel that comes up may find no way for something of its own: what counts is what went by the cable.
    let left: Vec<String> = desk.lab.egress()?.into_iter().filter(|seen| seen.contains("frames")).collect();
    ensure!(left.is_empty(), "something got out: {}", left.join("; "));
    Ok(())
}

fn drift(desk: &Desk) -> Result<()> {
    let path = desk.lab.root_of("w1").join(SETTINGS);
    let ours = fs::read_to_string(&path)?;
    fs::write(&path, format!("{ours}pool pool.vendor.example iburst\nmaxdistance 16\n"))?;
    expect(&mut desk.station(&["cluster", "status"]), 1, &["w1: /etc/chrony/chrony.conf has changed"])?;
    let differs = ["by /etc/chrony/chrony.conf the time is not from 10.77.0.2 alone", "repairs 1 of them"];
    expect(&mut desk.station(&["cluster", "diff"]), 1, &differs)?;
    let named = ["noted", "/etc/chrony/chrony.conf: pool pool.vendor.example iburst"];
    expect(&mut desk.station(&["gap", "check"]), 0, &named)?;
    expect(&mut desk.station(&APPLY), 0, &[])?;
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains("#sealock# pool pool.vendor.example") && text.contains("\nmaxdistance 16\n"), "{text}");
    // An answer is not waited for on a node.
    until_heard(desk)?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"]).map(drop)
}

/// It is known at once on a host whose chronyd has just begun: another one believes for minutes what it has heard.
fn silent(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "stop", "chrony"]))?;
    story::text(&mut desk.lab.exec("w1", &["systemctl", "restart", "chrony"]))?;
    let silent = "no answer to chrony from 10.77.0.2 (UDP port 123)";
    expect(&mut desk.station(&["cluster", "status"]), 1, &[&format!("w1: {silent}")])?;
    expect(&mut desk.station(&["cluster", "diff"]), 1, &[silent])?;
    // It keeps no apply from anything, and starts nothing anew.
    let before = begun(desk)?;
    expect(&mut desk.station(&APPLY), 0, &[])?;
    ensure!(begun(desk)? == before, "chronyd was started anew");
    story::text(&mut desk.lab.exec("station", &["systemctl", "start", "chrony"]))?;
    story::text(&mut desk.lab.exec("w1", &["systemctl", "restart", "chrony"]))?;
    until_heard(desk)
}

fn until_heard(desk: &Desk) -> Result<()> {
    until("every host hears the site's time", || {
        Ok(story::output(&mut desk.station(&["cluster", "status"]))?.status.success())
    })
}

/// Which start of chronyd runs on w1.
fn begun(desk: &Desk) -> Result<String> {
    story::text(&mut desk.lab.exec("w1", &["systemctl", "show", "--property=InvocationID", "--value", "chrony"]))
}

fn reset(desk: &Desk) -> Result<()> {
    super::cases::cluster::reset(desk)?;
    baseline::compare_but(desk, |node, path| node == "w1" && BOOKS.iter().any(|book| path.starts_with(book)))?;
    let cp1 = desk.lab.root_of("cp1");
    ensure!(fs::read_to_string(cp1.join(VENDOR))? == VENDORS, "the vendor's settings are other ones");
    let settings = fs::read_to_string(cp1.join(SETTINGS))?;
    ensure!(settings.contains("\npool 2.debian.pool.ntp.org iburst\n") && !settings.contains("ealock"), "{settings}");
    let asked = sources(desk, "cp1")?;
    ensure!(asked.contains(&"198.51.100.10".to_owned()), "cp1 asks {asked:?}");
    let there = "ls -d /usr/sbin/nft /usr/sbin/chronyd /etc/chrony /var/lib/chrony 2>/dev/null; true";
    let left = story::text(&mut desk.lab.exec("w1", &["sh", "-c", there]))?;
    ensure!(left.trim().is_empty(), "what came to w1 is there still:\n{left}");
    Ok(())
}

/// Whom a node's chronyd asks.
fn sources(desk: &Desk, node: &str) -> Result<Vec<String>> {
    let said = story::text(&mut desk.lab.exec(node, &["chronyc", "-c", "-N", "sources", "-a"]))?;
    Ok(said.lines().filter_map(|line| line.split(',').nth(2)).map(str::to_owned).collect())
}

fn status(desk: &Desk) -> Result<Value> {
    Ok(serde_json::from_str(&story::text(&mut desk.station(&["cluster", "status", "-o", "json"]))?)?)
}

fn rewrite_spec(desk: &Desk, from: &str, to: &str) -> Result<()> {
    let path: PathBuf = desk.lab.root_of("station").join("root/site/cluster.yaml");
    let spec = fs::read_to_string(&path)?;
    let (from, to) = (format!("servers: [{from}]"), format!("servers: [{to}]"));
    ensure!(spec.contains(&from), "the spec does not say {from}");
    fs::write(path, spec.replace(&from, &to)).map_err(Into::into)
}
