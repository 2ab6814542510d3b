//! The authorities of a cluster are replaced by new ones while it serves.

use std::process::Stdio;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::three_control_planes::{etcd_gets_well, is_ready};
use super::upgrade::application;
use super::watch::Watch;
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "authorities",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "authorities: nothing comes before its time", run: not_yet },
    Case { name: "authorities: new ones are believed, killed in the middle and finished", run: trusted },
    Case { name: "authorities: pods that read the old one are named", run: old_readers },
    Case { name: "authorities: certificates are renewed while two are believed", run: renewed },
    Case { name: "authorities: a worker joins while two are believed", run: worker_joins },
    Case { name: "authorities: the new ones issue, cut off before certificates are made and finished", run: issued },
    Case { name: "authorities: the old ones are dropped", run: dropped },
    Case { name: "authorities: a worker joins afterwards", run: worker_joins },
    Case { name: "authorities: certificates are renewed afterwards", run: renewed },
    Case { name: "authorities: they are replaced a second time, and who is held back is told", run: a_second_time },
    Case { name: "authorities: a control plane is lost in the middle, and replaced", run: lost_in_the_middle },
    Case { name: "authorities: reset", run: super::cases::cluster::reset },
];

/// A copy that somebody took before, and nobody brings up to date.
const OLD: &str = "/root/old.kubeconfig";
const ROTATE: [&str; 4] = ["cluster", "renew", "--yes", "--authorities"];

fn begin(desk: &Desk) -> Result<()> {
    story::up_to_the_application(desk)?;
    etcd_gets_well(desk)?;
    let kubeconfig = story::text(&mut desk.station(&["cluster", "kubeconfig"]))?;
    let copy = "umask 077; printf '%s\\n' \"$1\" > \"$2\"";
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", copy, "sh", &kubeconfig, OLD])).map(drop)
}

fn stage<'a>(stage: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&ROTATE[..], &[stage], more].concat()
}

fn not_yet(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&stage("issue", &[])), 1, &["does not believe the new authorities", "trust"])?;
    expect(&mut desk.station(&stage("drop", &[])), 1, &["has no old authorities to drop"])?;
    let shown = ["make 3 new authorities", "believe the new authorities beside the old ones"];
    expect(&mut desk.station(&["cluster", "renew", "--authorities", "trust", "--dry-run"]), 0, &shown)?;
    ensure!(authorities(desk)?.iter().all(|one| one["issues"] == true), "a look has changed something");
    Ok(())
}

fn trusted(desk: &Desk) -> Result<()> {
    while_asked(desk, |desk| {
        killed_at_cp2(desk, "test -e /var/lib/sealock/node/authorities.json")?;
        expect(&mut desk.station(&["cluster", "renew", "--yes"]), 1, &["begun and not finished: trust"])?;
        expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &["begun and not finished: trust"])?;
        expect(&mut desk.station(&stage("trust", &[])), 0, &["believes new authorities beside the old ones"]).map(drop)
    })?;
    expect(&mut desk.station(&stage("trust", &[])), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "certificates"]), 0, &["kubernetes, which does not issue"])?;
    let two = authorities(desk)?;
    ensure!(two.iter().filter(|one| one["path"] == CA).count() == 2 * desk.nodes.len(), "not two everywhere: {two:?}");
    old_kubeconfig(desk, &[], true)?;
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 1, &["are being replaced"])?;
    expect(&mut desk.station(&stage("drop", &[])), 1, &["still issued by the old authority"]).map(drop)
}

/// Begins to have new ones believed, and kills that once what `seen` says holds on cp2.
fn killed_at_cp2(desk: &Desk, seen: &str) -> Result<()> {
    let mut child = desk.station(&stage("trust", &[]));
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let seen = ["sh", "-c", seen];
    until("cp2 is being started anew", || Ok(story::output(&mut desk.lab.exec("cp2", &seen))?.status.success()))?;
    let kill = "for p in $(pgrep -xf 'sealock cluster renew --yes --authorities trust'); do kill -KILL $p; done";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", kill]))?;
    ensure!(!child.wait()?.success(), "it was through before it was killed");
    Ok(())
}

const CA: &str = "/etc/kubernetes/pki/ca.crt";

fn old_readers(desk: &Desk) -> Result<()> {
    let said = ["error[PREFLIGHT]", "demo/podinfo-", "--restart-workloads"];
    expect(&mut desk.station(&stage("issue", &[])), 3, &said).map(drop)
}

fn renewed(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 0, &["serves new certificates: 3 control planes"])?;
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshots.contains("-before-renewal.db"), "no snapshot was taken before: {snapshots}");
    etcd_gets_well(desk)?;
    desk_works(desk)
}

/// It is given back, and the next apply takes it in again, with the pins of that moment.
fn worker_joins(desk: &Desk) -> Result<()> {
    let remove = ["cluster", "remove", "w1", "--yes", "--delete-emptydir-data"];
    expect(&mut desk.station(&remove), 0, &["w1 is out of cluster plant-7"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    until("w1 is Ready again", || is_ready(desk, "w1"))?;
    until("the application answers", || Ok(proof::application_answers(desk).is_ok()))
}

fn issued(desk: &Desk) -> Result<()> {
    let before = leaves(desk)?;
    while_asked(desk, |desk| {
        cut_off_before_certificates(desk)?;
        let done = ["serves certificates of its new authorities"];
        expect(&mut desk.station(&stage("issue", &["--restart-workloads", "--leave-workloads"])), 0, &done).map(drop)
    })?;
    let after = leaves(desk)?;
    ensure!(before.len() == after.len() && before.len() >= 30, "{} certificates, and {}", before.len(), after.len());
    for leaf in &after {
        ensure!(!leaf["issuedBy"].is_null(), "nobody has issued {leaf}");
        let same = before.iter().any(|one| one["issuedBy"] == leaf["issuedBy"]);
        ensure!(!same, "the old authority has issued {leaf}");
    }
    ensure!(shows_new(desk)?, "an API server shows a certificate of the old authority");
    desk_works(desk)?;
    // It does not believe the servers any more; whoever looks away is still somebody.
    old_kubeconfig(desk, &[], false)?;
    old_kubeconfig(desk, &["--insecure-skip-tls-verify"], true)?;
    expect(&mut desk.station(&stage("issue", &[])), 0, &["nothing to do"]).map(drop)
}

/// kubeadm fails on cp2 where it is to make certificates, as it does on a full disk: the new authorities stand first there by then, and what
/// is shown is still issued by the old ones.
fn cut_off_before_certificates(desk: &Desk) -> Result<()> {
    let fails = "cat > /usr/local/bin/kubeadm <<'END'
#!/bin/sh
case \"$1 $2\" in 'certs renew') echo 'no space left on device' >&2; exit 1;; esac
exec /usr/bin/kubeadm \"$@\"
END
chmod 0755 /usr/local/bin/kubeadm";
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", fails]))?;
    let issue = stage("issue", &["--restart-workloads", "--leave-workloads"]);
    expect(&mut desk.station(&issue), 4, &["no space left on device"])?;
    let of_cp2 = |one: &&Value| one["host"] == "cp2" && one["path"] == CA && one["issues"] == true;
    let first = authorities(desk)?.iter().find(of_cp2).map(|one| one["digest"].clone());
    let shown = leaves(desk)?.into_iter().find(|one| one["host"] == "cp2" && one["path"] == APISERVER);
    ensure!(
        first.is_some() && shown.is_some_and(|leaf| Some(&leaf["issuedBy"]) != first.as_ref()),
        "it was not in between"
    );
    let open = ["begun and not finished: issue", "sealock cluster remove HOST --lost"];
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 1, &open)?;
    // What starts by itself in between comes up: nothing of it waits for the rest of the stage.
    until("the control plane of cp2 goes on", || is_ready(desk, "cp2"))?;
    story::text(&mut desk.lab.exec("cp2", &["rm", "/usr/local/bin/kubeadm"])).map(drop)
}

const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

/// What reads its authority at its start alone is started anew this time, too, but for whom somebody has told not to.
fn a_second_time(desk: &Desk) -> Result<()> {
    let before = add_ons(desk)?;
    expect(&mut desk.station(&stage("trust", &[])), 0, &["believes new authorities beside the old ones"])?;
    let after = add_ons(desk)?;
    ensure!(before.len() >= 5 && before.iter().all(|pod| !after.contains(pod)), "{before:?} became {after:?}");
    story::text(&mut desk.kubectl(&["-n", "demo", "rollout", "pause", "deployment/podinfo"]))?;
    let said = ["error[PREFLIGHT]", "demo/podinfo-", "(Deployment podinfo: it is paused)"];
    expect(&mut desk.station(&stage("issue", &["--restart-workloads"])), 3, &said)?;
    let issue = stage("issue", &["--restart-workloads", "--leave-workloads"]);
    expect(&mut desk.station(&issue), 0, &["serves certificates of its new authorities"])?;
    story::text(&mut desk.kubectl(&["-n", "demo", "rollout", "resume", "deployment/podinfo"]))?;
    expect(&mut desk.station(&stage("drop", &[])), 0, &["believes its new authorities alone"])?;
    ensure!(authorities(desk)?.iter().all(|one| one["issues"] == true), "an authority is left that does not issue");
    desk_works(desk)?;
    etcd_gets_well(desk)
}

/// The one that speaks for the cluster, and made the new ones: whoever has their keys goes on with them, and gives them to who comes in its place.
fn lost_in_the_middle(desk: &Desk) -> Result<()> {
    killed_at_cp2(desk, &format!("test $(grep -c BEGIN {CA}) = 2"))?;
    // cp2 goes on to the end of its part.
    etcd_gets_well(desk)?;
    desk.lab.kill_machine("cp1")?;
    until("the cluster sees that it is gone", || Ok(!is_ready(desk, "cp1")?))?;
    expect(&mut desk.station(&stage("trust", &[])), 4, &["cp1"])?;
    let lost = ["cluster", "remove", "cp1", "--lost", "--yes"];
    expect(&mut desk.station(&lost), 0, &["the others confirm that", "cp1 is out of cluster plant-7"])?;
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 1, &["begun and not finished: trust"])?;
    let without = "cd /root/site && sed '/- name: cp1/,/hostKey/d' cluster.yaml > without-cp1.yaml";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", without]))?;
    let trust = stage("trust", &["-f", "without-cp1.yaml"]);
    expect(&mut desk.station(&trust), 0, &["believes new authorities beside the old ones"])?;
    desk.lab.boot_machine("cp1")?;
    expect(&mut desk.station(&["cluster", "remove", "cp1", "--yes"]), 0, &["cp1 is out of cluster plant-7"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    etcd_gets_well(desk)?;
    let issue = stage("issue", &["--restart-workloads", "--leave-workloads"]);
    expect(&mut desk.station(&issue), 0, &["serves certificates of its new authorities"])?;
    expect(&mut desk.station(&stage("drop", &[])), 0, &["believes its new authorities alone"])?;
    ensure!(shows_new(desk)?, "an API server shows a certificate of the old authority");
    desk_works(desk)?;
    etcd_gets_well(desk)
}

/// The pods of kube-proxy and CoreDNS, by their ids.
fn add_ons(desk: &Desk) -> Result<Vec<String>> {
    let ids = "jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}";
    let selector = "k8s-app in (kube-proxy,kube-dns)";
    let listed = story::text(&mut desk.kubectl(&["-n", "kube-system", "get", "pods", "-l", selector, "-o", ids]))?;
    Ok(listed.lines().map(ToOwned::to_owned).collect())
}

fn dropped(desk: &Desk) -> Result<()> {
    old_kubeconfig(desk, &["--insecure-skip-tls-verify"], true)?;
    while_asked(desk, |desk| {
        expect(&mut desk.station(&stage("drop", &[])), 0, &["believes its new authorities alone"]).map(drop)
    })?;
    old_kubeconfig(desk, &["--insecure-skip-tls-verify"], false)?;
    let left = authorities(desk)?;
    ensure!(left.iter().all(|one| one["issues"] == true), "an authority is left that does not issue: {left:?}");
    let kept =
        ["sh", "-c", "test ! -e /var/lib/sealock/node/authorities && test ! -e /etc/kubernetes/pki/ca-signer.crt"];
    for plane in ["cp1", "cp2", "cp3"] {
        story::text(&mut desk.lab.exec(plane, &kept))?;
    }
    desk_works(desk)?;
    etcd_gets_well(desk)?;
    expect(&mut desk.station(&stage("drop", &[])), 1, &["has no old authorities to drop"]).map(drop)
}

/// The operator's own kubeconfig, the application, and a plan that finds nothing to do.
fn desk_works(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "status"]), 0, &["w1"])?;
    until("the station finds nothing to do", || {
        let plan = story::output(&mut desk.station(&["cluster", "plan"]))?;
        Ok(String::from_utf8_lossy(&plan.stdout).contains("\n0 of "))
    })?;
    proof::application_answers(desk)
}

fn old_kubeconfig(desk: &Desk, more: &[&str], works: bool) -> Result<()> {
    let asked = ["kubectl", "--kubeconfig", OLD, "--request-timeout=10s"];
    // With a look away from the server's certificate there may be no authority to look with.
    let drop_ca = format!("sed '/certificate-authority-data/d' {OLD} > {OLD}.blind");
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", &drop_ca]))?;
    let blind = format!("{OLD}.blind");
    let asked: Vec<&str> =
        asked.iter().map(|word| if *word == OLD && !more.is_empty() { &*blind } else { word }).collect();
    let answer = story::output(&mut desk.lab.exec("cp1", &[&asked[..], more, &["get", "nodes"]].concat()))?;
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success() == works, "with the old kubeconfig ({more:?}): {} {said}", answer.status);
    let refused = if more.is_empty() { "x509" } else { "Unauthorized" };
    ensure!(
        works || said.contains(refused) || said.contains("must be logged in"),
        "refused for another reason: {said}"
    );
    Ok(())
}

/// Whether every server of the control planes is believed by whoever knows nothing but the authority that issues there.
fn shows_new(desk: &Desk) -> Result<bool> {
    let ask = "set -e
cd /etc/kubernetes/pki
first() { awk '{print} /END CERTIFICATE/{exit}' \"$1\"; }
first ca.crt > /run/issuer.crt
first etcd/ca.crt > /run/etcd-issuer.crt
curl -sf -m 5 -o /dev/null --cacert /run/issuer.crt --connect-to \"kubernetes:6443:$1:6443\" https://kubernetes:6443/readyz
curl -sf -m 5 -o /dev/null --cacert /run/etcd-issuer.crt --cert etcd/healthcheck-client.crt --key etcd/healthcheck-client.key \
  --connect-to \"localhost:2379:$1:2379\" https://localhost:2379/health";
    for address in ["10.77.0.11", "10.77.0.12", "10.77.0.13"] {
        if !story::output(&mut desk.lab.exec("cp1", &["sh", "-c", ask, "sh", address]))?.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn certificates(desk: &Desk) -> Result<Vec<Value>> {
    let list = story::text(&mut desk.station(&["cluster", "certificates", "-o", "json"]))?;
    Ok(serde_json::from_str(&list)?)
}

fn authorities(desk: &Desk) -> Result<Vec<Value>> {
    Ok(certificates(desk)?.into_iter().filter(|one| one["authority"] == true).collect())
}

fn leaves(desk: &Desk) -> Result<Vec<Value>> {
    Ok(certificates(desk)?.into_iter().filter(|one| one["authority"] == false).collect())
}

/// Does `what` while the application and the API are asked all the time: neither may be silent for long.
fn while_asked(desk: &Desk, what: fn(&Desk) -> Result<()>) -> Result<()> {
    let watches = [
        Watch::begin(desk, "w1", "application", &application(desk)?)?,
        Watch::begin(desk, "w1", "api", "https://api.plant-7.internal:7443/readyz")?,
    ];
    let outcome = what(desk);
    let mut seen = Vec::new();
    for watch in watches {
        seen.push(watch.end(desk)?);
    }
    outcome?;
    for seen in seen {
        seen.ensure_answered()?;
    }
    Ok(())
}
