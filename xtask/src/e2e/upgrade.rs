//! The cluster goes to the next version of Kubernetes: planned, killed in the middle, and finished by the same command.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::expect::expect;
use super::watch::Watch;
use super::{Case, Scenario, rollback, unwell};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "upgrade",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

pub(super) const SCENARIO_HA: Scenario = Scenario {
    name: "upgrade-ha",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3", "w1"],
    story,
    cases: CASES_HA,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "upgrade: not in the release", run: not_in_the_release },
    Case { name: "upgrade: the next bundle brings it", run: next_bundle },
    Case { name: "upgrade: apply is not the way", run: apply_is_not_the_way },
    Case { name: "upgrade: shown, and nothing done", run: shown },
    Case { name: "upgrade: images and programs are there before its hour", run: staged },
    Case { name: "upgrade: killed in the middle, and finished", run: upgraded },
    Case { name: "upgrade: services, DNS, logs and exec", run: all_works },
    Case { name: "upgrade: nothing is left to do", run: nothing_to_do },
    Case { name: "upgrade: the gap holds", run: proof::gap },
    Case { name: "upgrade: reset", run: super::cases::cluster::reset },
];

const CASES_HA: &[Case] = &[
    Case { name: "upgrade-ha: the next bundle brings it", run: next_bundle },
    Case { name: "upgrade-ha: a cluster that is not well stays as it is", run: unwell::is_refused },
    Case {
        name: "upgrade-ha: the second control plane fails, and becomes again what it was",
        run: rollback::second_fails,
    },
    Case { name: "upgrade-ha: the whole upgrade is taken back", run: rollback::all_is_taken_back },
    Case { name: "upgrade-ha: one control plane after the other", run: upgraded_ha },
    Case { name: "upgrade-ha: services, DNS, logs and exec", run: all_works },
    Case { name: "upgrade-ha: nothing is left to do", run: nothing_to_do },
    Case { name: "upgrade-ha: what is finished does not go back", run: rollback::finished_stays },
    Case { name: "upgrade-ha: reset", run: super::cases::cluster::reset },
];

pub(super) const NOW: &str = "v1.36.3";
pub(super) const NEXT: &str = "v1.37.2";
const BUNDLE: &str = "plant-7-next.tar";
/// What leaves a node with the pods that are evicted there.
pub(super) const UPGRADE: [&str; 4] = ["cluster", "upgrade", "--yes", "--delete-emptydir-data"];

/// The main job, and an application that is not to be without an answer.
pub(super) fn begin(desk: &Desk) -> Result<()> {
    story(desk)?;
    // One of its two pods is to be there at any time.
    let budget = ["create", "poddisruptionbudget", "podinfo", "-n", "demo", "--min-available=1"];
    let selector = ["--selector=app.kubernetes.io/name=podinfo"];
    story::text(&mut desk.kubectl(&[&budget[..], &selector].concat())).map(drop)
}

pub(super) fn story(desk: &Desk) -> Result<()> {
    for step in STEPS {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    Ok(())
}

fn not_in_the_release(desk: &Desk) -> Result<()> {
    let upgrade = ["cluster", "upgrade", "--yes", "--to", NEXT];
    expect(&mut desk.station(&upgrade), 3, &["error[NOT_IN_RELEASE]", "kubeadm v1.37.2"])?;
    let older = ["cluster", "upgrade", "--yes", "--to", "v1.35.4"];
    expect(&mut desk.station(&older), 3, &["error[SPEC]", "runs Kubernetes v1.36.3"]).map(drop)
}

/// The packager names a second version; all else stays.
pub(super) fn next_bundle(desk: &Desk) -> Result<()> {
    let spec = fs::read_to_string(desk.written("sealock.yaml"))?;
    let spec = spec.replace(&format!("versions: [{NOW}]"), &format!("versions: [{NOW}, {NEXT}]"));
    ensure!(spec.contains(NEXT), "the spec names no {NEXT}");
    bring_in(desk, &spec)
}

/// The next bundle by `spec`, up to the release that it makes.
pub(super) fn bring_in(desk: &Desk, spec: &str) -> Result<()> {
    fs::write(desk.outside.join("sealock.yaml"), spec)?;
    story::text(&mut desk.packager(&["lock"]))?;
    story::text(&mut desk.packager(&["build", "--to", BUNDLE, "--passphrase-file", "passphrase"]))?;
    desk.carry(&desk.outside.join(BUNDLE), "station", &format!("/root/site/{BUNDLE}"))?;
    expect(&mut desk.station(&["import", BUNDLE]), 0, &["release 2"]).map(drop)
}

/// What runs is not made anew by an edited version.
fn apply_is_not_the_way(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    let said = ["error[SPEC]", "runs Kubernetes v1.36.3, and the spec says v1.37.2", "cluster upgrade"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &said).map(drop)
}

fn shown(desk: &Desk) -> Result<()> {
    let plan = ["cluster", "upgrade", "--dry-run", "--delete-emptydir-data"];
    expect(
        &mut desk.station(&plan),
        0,
        &["Kubernetes v1.37.2", "kubeadm upgrade apply phase control-plane", "empty node w1"],
    )?;
    // Its scratch space would be lost with a pod that is evicted.
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 3, &["emptyDir", "--delete-emptydir-data"])?;
    ensure!(versions(desk)? == [NOW; 3].join(" "), "something was changed: {}", versions(desk)?);
    Ok(())
}

/// What an upgrade brings to every host may be brought before: what runs stays, and other commands go on to work.
fn staged(desk: &Desk) -> Result<()> {
    let stage = [&UPGRADE[..], &["--phase", "stage"]].concat();
    expect(&mut desk.station(&stage), 0, &["have what the upgrade to v1.37.2 needs"])?;
    expect(&mut desk.station(&stage), 0, &["nothing to do"])?;
    ensure!(versions(desk)? == [NOW; 3].join(" "), "something else runs: {}", versions(desk)?);
    for node in desk.nodes {
        let images = story::text(&mut desk.lab.exec(node, &["ctr", "-n", "k8s.io", "images", "list", "-q"]))?;
        ensure!(images.contains(&format!("kube-proxy:{NEXT}")), "{node} has no kube-proxy {NEXT}:\n{images}");
    }
    write_version(desk, NEXT, NOW)?;
    let applied = expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]);
    write_version(desk, NOW, NEXT)?;
    applied.map(drop)
}

fn upgraded(desk: &Desk) -> Result<()> {
    let begun = Instant::now();
    while_asked(desk, killed_and_finished)?;
    println!("      from {NOW} to {NEXT} in {:.0} s", begun.elapsed().as_secs_f64());
    ensure!(versions(desk)? == vec![NEXT; desk.nodes.len()].join(" "), "not all kubelets are new: {}", versions(desk)?);
    Ok(())
}

/// Through the proxy of a worker the API goes on to answer.
fn upgraded_ha(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    let watch = Watch::begin(desk, "w1", "api", "https://api.plant-7.internal:7443/readyz")?;
    let begun = Instant::now();
    let outcome = expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"]);
    println!("      {}", watch.end(desk)?);
    outcome?;
    println!("      from {NOW} to {NEXT} in {:.0} s", begun.elapsed().as_secs_f64());
    ensure!(versions(desk)? == vec![NEXT; desk.nodes.len()].join(" "), "not all kubelets are new: {}", versions(desk)?);
    Ok(())
}

/// Does `what` while the application and the API are asked all the time, and prints what came back.
pub(super) fn while_asked(desk: &Desk, what: fn(&Desk) -> Result<()>) -> Result<()> {
    let watches = [
        Watch::begin(desk, "w1", "application", &application(desk)?)?,
        Watch::begin(desk, "w2", "api", "https://10.77.0.11:6443/readyz")?,
    ];
    let outcome = what(desk);
    for watch in watches {
        println!("      {}", watch.end(desk)?);
    }
    outcome
}

fn killed_and_finished(desk: &Desk) -> Result<()> {
    killed_at_a_worker(desk, &UPGRADE)?;
    let others = ["was begun and is not finished", "cluster upgrade"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &others)?;
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 1, &others)?;
    expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"]).map(drop)
}

/// The operator's command is killed while the first worker is emptied.
pub(super) fn killed_at_a_worker(desk: &Desk, command: &[&str]) -> Result<()> {
    let log = fs::File::create(desk.outside.join("upgrade.log"))?;
    let mut upgrade = desk.station(command);
    let mut child = upgrade.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(900);
    let cordoned = ["get", "node", "w1", "-o=jsonpath={.spec.unschedulable}"];
    loop {
        // While the API server goes away a question may fail.
        let answer = story::output(&mut desk.kubectl(&cordoned))?;
        if answer.status.success() && answer.stdout == b"true" {
            break;
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(desk.outside.join("upgrade.log"))?;
            bail!("it ended with {status} before it came to a worker:\n{said}");
        }
        ensure!(Instant::now() < deadline, "after 900 s no worker was emptied");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -KILL $p; done", command.join(" "));
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
    ensure!(!child.wait()?.success(), "it was through before it was killed");
    Ok(())
}

pub(super) fn all_works(desk: &Desk) -> Result<()> {
    proof::application_answers(desk)?;
    for node in desk.nodes {
        let selector = format!("--field-selector=spec.nodeName={node}");
        let pod = ["get", "pods", "-n", "demo", "-l", "app=tools", &selector, "-o=jsonpath={.items[0].metadata.name}"];
        let pod = story::text(&mut desk.kubectl(&pod))?;
        let name = ["exec", "-n", "demo", &pod, "--", "getent", "hosts", "podinfo.demo.svc.cluster.local"];
        story::text(&mut desk.kubectl(&name)).with_context(|| format!("DNS on {node}"))?;
        let proxy = ["get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy", &selector];
        let proxy = story::text(&mut desk.kubectl(&[&proxy[..], &["-o=jsonpath={.items[0].metadata.name}"]].concat()))?;
        let log = story::text(&mut desk.kubectl(&["logs", "-n", "kube-system", &proxy, "--tail=5"]))?;
        ensure!(!log.is_empty(), "no log of {proxy} on {node}");
        let version = ["exec", "-n", "kube-system", &proxy, "--", "/usr/local/bin/kube-proxy", "--version"];
        let version = story::text(&mut desk.kubectl(&version))?;
        ensure!(version.contains(NEXT), "kube-proxy on {node} is {version}");
    }
    Ok(())
}

fn nothing_to_do(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &[NEXT])?;
    let nodes = story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].spec.unschedulable}"]))?;
    ensure!(nodes.is_empty(), "a node takes no new pods: {nodes}");
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshots.contains("-before-v1.37.2.db"), "no snapshot was taken: {snapshots}");
    Ok(())
}

/// The version in the operator's spec.
pub(super) fn write_version(desk: &Desk, from: &str, to: &str) -> Result<()> {
    let path = desk.lab.root_of("station").join("root/site/cluster.yaml");
    let spec = fs::read_to_string(&path)?;
    Ok(fs::write(&path, spec.replace(from, to))?)
}

/// Where the application is asked whether it is well.
pub(super) fn application(desk: &Desk) -> Result<String> {
    let service = ["get", "service", "-n", "demo", "podinfo", "-o=jsonpath={.spec.clusterIP}"];
    Ok(format!("http://{}:9898/healthz", story::text(&mut desk.kubectl(&service))?))
}

/// What the kubelets are.
pub(super) fn versions(desk: &Desk) -> Result<String> {
    story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].status.nodeInfo.kubeletVersion}"]))
}
