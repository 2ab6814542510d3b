//! What a person types who makes and upgrades a cluster with kubeadm alone, by its documentation: as fast as it can be typed, and with
//! all that can be done at the same time done at the same time.

use std::fs;

use anyhow::{Context, Result};

use super::cluster::NEXT;
use crate::e2e::until;
use crate::story::{self, Desk};

const ADMIN: &str = "--kubeconfig=/etc/kubernetes/admin.conf";

/// `configurations` by host, the control plane first.
pub(super) fn made(desk: &Desk, configurations: &[(String, String)]) -> Result<()> {
    let ((plane, init), workers) = configurations.split_first().context("no host")?;
    write(desk, plane, init)?;
    sh(desk, plane, "kubeadm init --config /root/kubeadm.yaml")?;
    let said = sh(desk, plane, &format!("kubeadm token create --print-join-command {ADMIN}"))?;
    let word = |flag: &str| {
        let mut words = said.split_whitespace().skip_while(|word| *word != flag);
        words.nth(1).with_context(|| format!("kubeadm says no {flag}: {said}"))
    };
    let (token, hash) = (word("--token")?, word("--discovery-token-ca-cert-hash")?);
    for (worker, join) in workers {
        let join = join.replace("${secret:bootstrap-token}", token).replace("${secret:ca-hash}", hash);
        write(desk, worker, &join)?;
    }
    std::thread::scope(|scope| {
        let join = |worker| move || sh(desk, worker, "kubeadm join --config /root/kubeadm.yaml");
        let joins: Vec<_> = workers.iter().map(|(worker, _)| scope.spawn(join(worker.as_str()))).collect();
        joins.into_iter().try_for_each(|one| one.join().expect("a join does not panic").map(drop))
    })?;
    sh(desk, plane, &format!("kubectl {ADMIN} wait --for=condition=Ready node --all --timeout=240s"))?;
    plane_is_ready(desk, plane)
}

fn plane_is_ready(desk: &Desk, plane: &str) -> Result<()> {
    let pods = "pod -n kube-system -l tier=control-plane";
    sh(desk, plane, &format!("kubectl {ADMIN} wait --for=condition=Ready {pods} --timeout=240s")).map(drop)
}

/// Programs of the next version are linked where the old ones are, as a package would do it.
pub(super) fn upgraded(desk: &Desk) -> Result<()> {
    let ignored = "--ignore-preflight-errors=SystemVerification";
    program(desk, "cp1", "kubeadm")?;
    sh(desk, "cp1", &format!("kubeadm upgrade apply {NEXT} --yes {ignored}"))?;
    kubelet(desk, "cp1")?;
    for worker in ["w1", "w2"] {
        program(desk, worker, "kubeadm")?;
        sh(desk, worker, &format!("kubeadm upgrade node {ignored}"))?;
        kubelet(desk, worker)?;
    }
    for workload in ["daemonset/kube-proxy", "deployment/coredns"] {
        sh(desk, "cp1", &format!("kubectl {ADMIN} rollout status -n kube-system {workload} --timeout=240s"))?;
    }
    plane_is_ready(desk, "cp1")
}

fn kubelet(desk: &Desk, node: &str) -> Result<()> {
    let drain = format!("kubectl {ADMIN} drain {node} --ignore-daemonsets --delete-emptydir-data --timeout=300s");
    // The API server of the only control plane was started anew a moment ago: whoever is refused types it again.
    until(&format!("{node} is emptied"), || Ok(sh(desk, "cp1", &drain).is_ok()))?;
    program(desk, node, "kubelet")?;
    sh(desk, node, "systemctl daemon-reload && systemctl restart kubelet")?;
    let look = r#"-o=jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}"#;
    until(&format!("{node} is Ready as {NEXT}"), || {
        Ok(story::text(&mut desk.kubectl(&["get", "node", node, look]))? == format!("{NEXT} True"))
    })?;
    sh(desk, "cp1", &format!("kubectl {ADMIN} uncordon {node}")).map(drop)
}

fn program(desk: &Desk, node: &str, name: &str) -> Result<()> {
    sh(desk, node, &format!("ln -sfn \"$(ls /opt/sealock/{name}/{NEXT}/{name})\" /usr/bin/{name}")).map(drop)
}

fn write(desk: &Desk, node: &str, configuration: &str) -> Result<()> {
    let path = desk.lab.root_of(node).join("root/kubeadm.yaml");
    fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))
}

fn sh(desk: &Desk, node: &str, line: &str) -> Result<String> {
    println!("      {node} $ {line}");
    story::text(&mut desk.lab.exec(node, &["sh", "-c", line]))
}
