//! A cluster whose authorities keep their keys elsewhere: what is asked for, what is signed, what is refused, and where no key is.

mod later;
mod office;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::office::{AUTHORITIES, Signing, list, sign_all};
use super::cases::cluster::is_bare;
use super::expect::expect;
use super::upgrade::{NEXT, NOW};
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "external-authority",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "cp2", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "external: the cluster stands, and asks for nothing more", run: stands },
    Case { name: "external: no key of an authority is on any machine", run: is_nowhere },
    Case { name: "external: another version of Kubernetes, and the same certificates", run: later::upgraded },
    Case { name: "external: a further control plane comes by requests of its own", run: another_plane },
    Case { name: "external: certificates are made anew by requests", run: renewed },
    Case { name: "external: what a worker that was broken into asks for is not written", run: refused::forged },
    Case { name: "external: authorities are not replaced", run: refused::replaced },
    Case { name: "external: all had ended, and what was signed once more brings it back", run: later::rescued },
    Case { name: "external: a backup holds no key of them, and a drill says so", run: backed_up },
    Case { name: "external: given back, and made again from the backup by requests", run: restored },
];

const RECOVERY: &str = "/root/recovery.key";
const BACKUP: &str = "plant-7.backup";
const REQUEST: &[&str] = &["cluster", "certificates", "request", "--yes"];
const APPLY: &[&str] = &["cluster", "apply", "--yes"];

fn begin(desk: &Desk) -> Result<()> {
    for step in story::STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    office::open(desk)?;
    let whole = fs::read_to_string(spec(desk))?;
    fs::write(desk.outside.join("whole.yaml"), &whole)?;
    fs::write(spec(desk), without(&whole, "cp2"))?;
    expect(&mut desk.station(APPLY), 3, &["error[SPEC]", "not asked for yet", "cluster certificates request"])?;
    let said = ["cp1/pki/apiserver.csr", "w1/kubelet.conf.csr", "Plant 7 etcd", "O=system:nodes, CN=system:node:w1"];
    expect(&mut desk.station(REQUEST), 0, &said)?;
    ensure!(list(desk)?.len() == 13, "a control plane and a worker ask for {}", list(desk)?.len());
    expect(&mut desk.station(APPLY), 3, &["error[SPEC]", "13 certificates are not signed yet", "w1/kubelet.conf.crt"])?;
    refused::signed_wrongly(desk)?;
    sign_all(desk)?;
    let plan = ["lay down 12 certificates signed outside", "lay down 1 certificate signed outside"];
    expect(&mut desk.station(&["cluster", "plan"]), 0, &plan)?;
    expect(&mut desk.station(APPLY), 0, &["cluster plant-7 is up"])?;
    let app = story::STEPS.iter().find(|step| step.name == "app apply").context("no step brings the application")?;
    (app.run)(desk)
}

fn spec(desk: &Desk) -> PathBuf {
    desk.lab.root_of("station").join("root/site/cluster.yaml")
}

/// The spec without one of its hosts.
fn without(spec: &str, host: &str) -> String {
    let named = format!("    - name: {host}");
    let (mut kept, mut left_out) = (String::new(), false);
    for line in spec.lines() {
        left_out = line == named || (left_out && line.starts_with("      "));
        if !left_out {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn stands(desk: &Desk) -> Result<()> {
    proof::answers_on(desk, "cp1", "w1")?;
    nothing_is_left(desk)?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    let table = ["Plant 7 kubernetes", "your PKI", "cluster certificates request, and cluster renew"];
    expect(&mut desk.station(&["cluster", "certificates"]), 0, &table).map(drop)
}

/// Containers that were started anew are not ready at once, and an apply waits for them.
fn nothing_is_left(desk: &Desk) -> Result<()> {
    until("nothing is left to do", || {
        Ok(story::text(&mut desk.station(APPLY)).is_ok_and(|said| said.contains("nothing to do")))
    })
}

/// Neither where kubeadm would keep one, nor anywhere else.
fn is_nowhere(desk: &Desk) -> Result<()> {
    for name in AUTHORITIES {
        let key = fs::read_to_string(office::keys(desk).join(format!("{name}.key")))?;
        let body = key.rsplit("-----BEGIN").next().unwrap_or_default();
        let line = body.lines().nth(1).context("the key has one line")?;
        let search = format!(
            "ls /etc/kubernetes/pki/ca.key /etc/kubernetes/pki/front-proxy-ca.key /etc/kubernetes/pki/etcd/ca.key 2>/dev/null; \
             grep -rlF -e '{line}' /root /etc /var/lib/sealock /var/log /run /opt/sealock /tmp 2>/dev/null; true"
        );
        for machine in desk.nodes.iter().copied().chain(["station"]) {
            let found = story::text(&mut desk.lab.exec(machine, &["sh", "-c", &search]))?;
            ensure!(found.trim().is_empty(), "a key of {name} is on {machine}: {found}");
        }
    }
    Ok(())
}

fn another_plane(desk: &Desk) -> Result<()> {
    fs::write(spec(desk), fs::read_to_string(desk.outside.join("whole.yaml"))?.replace(NOW, NEXT))?;
    let add = ["cluster", "add", "cp2", "--yes"];
    expect(&mut desk.station(&add), 3, &["error[SPEC]", "/etc/kubernetes/pki/apiserver.crt on host cp2"])?;
    expect(&mut desk.station(REQUEST), 0, &["cp2/pki/etcd/peer.csr", "cp2/pki/etcd/peer.crt"])?;
    ensure!(list(desk)?.iter().all(|one| one["host"] == "cp2"), "others ask again, which have all");
    sign_all(desk)?;
    expect(&mut desk.station(&add), 0, &["cp2 is in cluster plant-7"])?;
    until("cp2 is Ready", || is_ready(desk, "cp2"))?;
    is_nowhere(desk)?;
    nothing_is_left(desk)
}

fn is_ready(desk: &Desk, node: &str) -> Result<bool> {
    let ready = ["get", "node", node, "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
    Ok(story::text(&mut desk.kubectl(&ready))? == "True")
}

/// What is in use stays so until what was signed takes its place; then everything of every host is another one, also on the wire.
fn renewed(desk: &Desk) -> Result<()> {
    let (before, shown) = (serials(desk)?, served(desk)?);
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 1, &["waits for a certificate", "certificates request"])?;
    expect(&mut desk.station(REQUEST), 0, &["cp1/pki/apiserver.csr", "cp2/pki/apiserver.csr", "w1/kubelet.conf.csr"])?;
    ensure!(serials(desk)? == before, "asking has changed what is in use");
    let renew = ["cluster", "renew", "--yes"];
    expect(&mut desk.station(&renew), 3, &["error[SPEC]", "not signed yet", "is the one in use"])?;
    expect(&mut desk.station(APPLY), 0, &["nothing to do"])?;
    sign_all(desk)?;
    expect(&mut desk.station(&renew), 0, &["serves new certificates"])?;
    let after = serials(desk)?;
    ensure!(before.len() == after.len(), "{} certificates, and {}", before.len(), after.len());
    for (certificate, serial) in &before {
        ensure!(after.get(certificate).is_some_and(|new| new != serial), "{certificate} was not made anew");
    }
    ensure!(served(desk)? != shown, "the API server shows the certificate of before");
    for node in desk.nodes {
        until("every node reports", || is_ready(desk, node))?;
    }
    nothing_is_left(desk)?;
    until("the application answers", || Ok(proof::application_answers(desk).is_ok()))
}

/// Serials of what is not an authority, by host and file.
fn serials(desk: &Desk) -> Result<BTreeMap<String, String>> {
    let list = story::text(&mut desk.station(&["cluster", "certificates", "-o", "json"]))?;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let leaves = list.iter().filter(|one| one["authority"] == false);
    Ok(leaves.map(|one| (format!("{} {}", text(&one["host"]), text(&one["path"])), text(&one["serial"]))).collect())
}

/// The serial that the API server of cp1 shows.
fn served(desk: &Desk) -> Result<String> {
    let ask = "openssl s_client -connect 10.77.0.11:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", ask]))
}

fn backed_up(desk: &Desk) -> Result<()> {
    let recipient = story::text(&mut desk.station(&["site", "recovery-key", RECOVERY, "--unencrypted"]))?;
    let backup = ["cluster", "backup", "--to", BACKUP, "--recipient", recipient.trim()];
    expect(&mut desk.station(&backup), 0, &["keys in the rehearsal", "sha256:"])?;
    let drill = ["cluster", "drill", BACKUP, "--recovery-key", RECOVERY];
    expect(&mut desk.station(&drill), 0, &["Plant 7 etcd until", "whose keys stay with somebody else"]).map(drop)
}

fn restored(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    desk.nodes.iter().try_for_each(|node| is_bare(desk, node))?;
    fs::write(spec(desk), without(&fs::read_to_string(spec(desk))?, "cp2"))?;
    let table = story::text(&mut desk.station(&["cluster", "backup", "--check", BACKUP, "-o", "json"]))?;
    let digest = serde_json::from_str::<Value>(&table)?["digest"].as_str().context("no digest")?.to_owned();
    let restore = ["cluster", "restore", BACKUP, "--recovery-key", RECOVERY, "--digest", &digest, "--yes"];
    expect(&mut desk.station(&restore), 3, &["error[SPEC]", "not asked for yet"])?;
    expect(&mut desk.station(REQUEST), 0, &["cp1/pki/apiserver.csr", "w1/kubelet.conf.csr"])?;
    sign_all(desk)?;
    expect(&mut desk.station(&restore), 0, &["cluster plant-7"])?;
    is_nowhere(desk)?;
    nothing_is_left(desk)?;
    // Made again without the second control plane.
    for node in ["cp1", "w1"] {
        proof::answers_on(desk, "cp1", node)?;
    }
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[]).map(drop)
}
