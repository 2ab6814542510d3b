//! One member of etcd loses its data while the others live: it is taken out, its data stays aside, and it comes back with what the others hold.

use std::process::Stdio;

use anyhow::{Result, ensure};

use super::expect::expect;
use super::three_control_planes::{begin, etcd_gets_well};
use super::{Case, Scenario, until};
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
    Case { name: "member: taken out of etcd, and there again", run: taken_out },
    Case { name: "member: never without a majority", run: without_majority },
    Case { name: "member: reset", run: super::cases::cluster::reset },
];

const ETCD: &str = "cd /etc/kubernetes/pki/etcd && exec /opt/sealock/sealock/*/sealock etcd $0 $1 --yes --endpoint 127.0.0.1:2379 \
                    --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key";
const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";

fn restore(host: &'static str) -> [&'static str; 5] {
    ["cluster", "restore", "--member", host, "--yes"]
}

fn well_is_left_alone(desk: &Desk) -> Result<()> {
    let well = ["error[SPEC]", "the member of etcd on host cp2 serves, votes, and has raised no alarm", "--force"];
    expect(&mut desk.station(&restore("cp2")), 3, &well)?;
    expect(&mut desk.station(&restore("w1")), 3, &["error[SPEC]", "w1 is no control plane"])?;
    let forced = [&restore("cp2")[..], &["--force", "--dry-run"]].concat();
    let shown = [
        "take member",
        "move /var/lib/etcd aside",
        "kubeadm join phase etcd-join",
        "votes, and all members hold the same",
    ];
    expect(&mut desk.station(&forced), 0, &shown)?;
    let note = ["create", "configmap", "kept", "-n", "demo", "--from-literal=note=before"];
    story::text(&mut desk.kubectl(&note)).map(drop)
}

/// Its database is written over, and etcd does not start any more.
fn damaged(desk: &Desk) -> Result<()> {
    let damage = "dd if=/dev/urandom of=/var/lib/etcd/member/snap/db bs=4096 count=256 conv=notrunc && rm -f /var/lib/etcd/member/wal/* && \
                  for id in $(ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.container.name\"==etcd'); do \
                  ctr -n k8s.io tasks kill -s SIGKILL $id; done; true";
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", damage]))?;
    until("the others see that its member does not serve", || Ok(!status(desk, "cp1")?.status.success()))?;
    let mut begun = desk.station(&restore("cp2"));
    let mut child = begun.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let aside = ["sh", "-c", "test -d /var/lib/etcd.20*/member"];
    until("its data is aside", || Ok(story::output(&mut desk.lab.exec("cp2", &aside))?.status.success()))?;
    let kill = "for p in $(pgrep -xf 'sealock cluster restore --member cp2 --yes'); do kill -KILL $p; done";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", kill]))?;
    child.wait()?;
    expect(&mut desk.station(&restore("cp2")), 0, &["the member on cp2 votes, and holds what the others hold"])?;
    is_whole(desk, "cp2")?;
    let damaged = "cd /var/lib/etcd.20*/member/snap && test -s db";
    story::text(&mut desk.lab.exec("cp2", &["sh", "-c", damaged])).map(drop)
}

/// Somebody has removed that of the host where the cluster began, by hand: nothing is left to be taken out.
fn taken_out(desk: &Desk) -> Result<()> {
    let remove = story::output(&mut desk.lab.exec("cp2", &["sh", "-c", ETCD, "remove", "cp1"]))?;
    ensure!(remove.status.success(), "{}", String::from_utf8_lossy(&remove.stderr));
    expect(&mut desk.station(&restore("cp1")), 0, &["the member on cp1 votes, and holds what the others hold"])?;
    is_whole(desk, "cp1")
}

fn without_majority(desk: &Desk) -> Result<()> {
    for host in ["cp1", "cp2"] {
        story::text(&mut desk.lab.exec(host, &["mv", MANIFEST, "/root/etcd.yaml"]))?;
    }
    until("etcd has no majority", || Ok(!status(desk, "cp3")?.status.success()))?;
    let said = ["error[QUORUM]", "no other control plane speaks for a majority of etcd", "cluster restore BACKUP"];
    let refused = expect(&mut desk.station(&restore("cp1")), 3, &said);
    for host in ["cp1", "cp2"] {
        story::text(&mut desk.lab.exec(host, &["mv", "/root/etcd.yaml", MANIFEST]))?;
    }
    refused?;
    etcd_gets_well(desk)
}

fn status(desk: &Desk, host: &str) -> Result<std::process::Output> {
    story::output(&mut desk.lab.exec(host, &["sh", "-c", ETCD, "status", "--hash"]))
}

/// Three members vote and hold the same, the API server on `host` serves what was written before, and the station finds nothing to do.
fn is_whole(desk: &Desk, host: &str) -> Result<()> {
    etcd_gets_well(desk)?;
    let compared = status(desk, host)?;
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
