//! What somebody does who makes a cluster by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::story::{self, Desk};
use crate::{repo, tools};

/// Which part of the lab's software goes where.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("kubernetes", "kubeadm", "/usr/bin/kubeadm"),
    ("kubernetes", "kubelet", "/usr/bin/kubelet"),
    ("kubernetes", "kubectl", "/usr/bin/kubectl"),
    ("containerd", "containerd", "/usr/bin/containerd"),
    ("containerd", "containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2"),
    ("containerd", "ctr", "/usr/bin/ctr"),
    ("runc", "runc", "/usr/local/sbin/runc"),
    ("cni-plugins", "ptp", "/opt/cni/bin/ptp"),
    ("cni-plugins", "host-local", "/opt/cni/bin/host-local"),
    ("cni-plugins", "loopback", "/opt/cni/bin/loopback"),
    ("cni-plugins", "portmap", "/opt/cni/bin/portmap"),
];
const FILES: &[(&str, &str)] = &[
    ("config.toml", "/etc/containerd/config.toml"),
    ("hosts.toml", "/etc/containerd/certs.d/_default/hosts.toml"),
    ("containerd.service", "/etc/systemd/system/containerd.service"),
    ("kubelet.service", "/etc/systemd/system/kubelet.service"),
    ("10-kubeadm.conf", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"),
];
/// Whose places Sealock's own take.
const REPLACED: &[&str] = &[
    "/usr/bin/kubelet",
    "/usr/bin/kubeadm",
    "/usr/local/sbin/runc",
    "/etc/containerd/config.toml",
    "/etc/containerd/certs.d/_default/hosts.toml",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
];
const NODES: &[(&str, &str, &str)] = &[
    ("cp1", "10.77.0.11", "10.244.0.0/24"),
    ("w1", "10.77.0.21", "10.244.1.0/24"),
    ("w2", "10.77.0.22", "10.244.2.0/24"),
    ("cp2", "10.77.0.12", "10.244.3.0/24"),
    ("cp3", "10.77.0.13", "10.244.4.0/24"),
];
/// What the cluster of one control plane is reached by, and one of several: an address that somebody gave to the first of them.
const ENDPOINT: &str = "10.77.0.11:6443";
pub(super) const VIRTUAL: &str = "10.77.0.10";

/// A control plane, a worker, and an application.
pub(super) fn make(desk: &Desk) -> Result<()> {
    machines(desk, &["cp1", "w1"])?;
    cluster(desk)?;
    application(desk)
}

/// Three control planes, a worker, and an application.
pub(super) fn make_several(desk: &Desk) -> Result<()> {
    machines(desk, &["cp1", "cp2", "cp3", "w1"])?;
    let give =
        format!("ip address add {VIRTUAL}/32 dev $(ip -o route get 10.77.0.2 | sed 's/.* dev \\([^ ]*\\).*/\\1/')");
    sh(desk, "cp1", &give)?;
    let text = fs::read_to_string(own("kubeadm.yaml")?)?;
    let several = text.replace("clusterName:", &format!("controlPlaneEndpoint: {VIRTUAL}:6443\nclusterName:"));
    ensure!(several != text, "kubeadm.yaml names no cluster");
    fs::write(desk.lab.root_of("cp1").join("root/kubeadm.yaml"), several)?;
    sh(desk, "cp1", "kubeadm init --config /root/kubeadm.yaml")?;
    let said = sh(desk, "cp1", "kubeadm init phase upload-certs --upload-certs --config /root/kubeadm.yaml")?;
    let key = said.lines().last().unwrap_or_default().trim();
    for node in ["cp2", "cp3"] {
        let (_, address, _) = place_of(node)?;
        let plane =
            format!("controlPlane: {{localAPIEndpoint: {{advertiseAddress: {address}}}, certificateKey: {key}}}\n");
        join(desk, node, &plane)?;
    }
    join(desk, "w1", "")?;
    application(desk)
}

fn application(desk: &Desk) -> Result<()> {
    for name in ["namespace.yaml", "web.yaml"] {
        desk.carry(&desk.written("manifests").join(name), "cp1", &format!("/root/{name}"))?;
        story::text(&mut desk.kubectl(&["apply", "-f", &format!("/root/{name}")]))?;
    }
    for (namespace, workload) in [("demo", "deployment/web"), ("kube-system", "deployment/coredns")] {
        let wait = ["rollout", "status", "-n", namespace, workload, "--timeout=240s"];
        story::text(&mut desk.kubectl(&wait))?;
    }
    Ok(())
}

fn machines(desk: &Desk, nodes: &[&str]) -> Result<()> {
    for node in nodes {
        software(desk, node)?;
        network(desk, node)?;
        let start = "systemctl daemon-reload && systemctl enable --now containerd && systemctl enable kubelet";
        sh(desk, node, start)?;
    }
    Ok(())
}

/// A control plane and a worker on machines that have all that kubeadm needs.
pub(super) fn cluster(desk: &Desk) -> Result<()> {
    desk.carry(&own("kubeadm.yaml")?, "cp1", "/root/kubeadm.yaml")?;
    sh(desk, "cp1", "kubeadm init --config /root/kubeadm.yaml")?;
    join(desk, "w1", "")
}

/// What somebody wrote who made a cluster by hand, whichever scenario it is for.
fn own(name: &str) -> Result<PathBuf> {
    Ok(repo::root()?.join("e2e/adopt/by-hand").join(name))
}

fn place_of(node: &str) -> Result<(&'static str, &'static str, &'static str)> {
    NODES.iter().find(|(name, ..)| *name == node).copied().context("no such node")
}

/// Everything that kubeadm needs on a machine, in the usual places.
fn software(desk: &Desk, node: &str) -> Result<()> {
    let root = repo::root()?;
    let mut parts = BTreeMap::new();
    for (part, program, place) in PROGRAMS {
        if !parts.contains_key(part) {
            parts.insert(part, tools::part(&root, part)?);
        }
        desk.carry(&parts[part].join(program), node, place)?;
    }
    for (name, place) in FILES {
        desk.carry(&own(name)?, node, place)?;
    }
    sh(desk, node, "sysctl -q -w net.ipv4.ip_forward=1").map(drop)
}

/// A node's own part of the pod network, and the ways to the others.
pub(super) fn network(desk: &Desk, node: &str) -> Result<()> {
    let (_, address, pods) = place_of(node)?;
    let text = fs::read_to_string(own("pod-network.json")?)?.replace("PODS", pods);
    let place = desk.lab.root_of(node).join("etc/cni/net.d/10-own.conflist");
    fs::create_dir_all(place.with_file_name(""))?;
    fs::write(place, text)?;
    let others = NODES.iter().filter(|(name, ..)| *name != node && desk.nodes.contains(name));
    for (other, other_address, other_pods) in others {
        sh(desk, node, &format!("ip route replace {other_pods} via {other_address}"))?;
        sh(desk, other, &format!("ip route replace {pods} via {address}"))?;
    }
    Ok(())
}

/// Joins `node`, with `more` in its configuration.
fn join(desk: &Desk, node: &str, more: &str) -> Result<()> {
    let said = sh(desk, "cp1", "kubeadm token create --print-join-command --kubeconfig /etc/kubernetes/admin.conf")?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let after = |flag: &str| {
        let found = words.iter().position(|word| *word == flag).and_then(|n| words.get(n + 1));
        found.copied().with_context(|| format!("kubeadm says no {flag}: {said}"))
    };
    let (_, address, _) = place_of(node)?;
    let text = fs::read_to_string(own("join.yaml")?)?;
    let text = text.replace("TOKEN", after("--token")?).replace("CA-HASH", after("--discovery-token-ca-cert-hash")?);
    let text = text.replace(ENDPOINT, after("join")?).replace("w1", node).replace("10.77.0.21", address);
    fs::write(desk.lab.root_of(node).join("root/join.yaml"), format!("{text}{more}"))?;
    sh(desk, node, "kubeadm join --config /root/join.yaml").map(drop)
}

/// What somebody wrote once into a configuration, and a unit, and forgot: containerd is started anew with it. The file is touched afterwards.
pub(super) fn forgotten(desk: &Desk, node: &str) -> Result<()> {
    let lines = r"printf '\n[plugins.\047io.containerd.nri.v1.nri\047]\ndisable = true\n' >> /etc/containerd/config.toml
sed -i 's/^LimitNOFILE/Environment=TOKEN=hidden\n&/' /etc/systemd/system/containerd.service
systemctl daemon-reload && systemctl restart containerd && touch -d '+1 minute' /etc/containerd/config.toml";
    sh(desk, node, lines).map(drop)
}

/// As it was.
pub(super) fn put_right(desk: &Desk, node: &str) -> Result<()> {
    for (name, place) in FILES {
        desk.carry(&own(name)?, node, place)?;
    }
    sh(
        desk,
        node,
        "touch -d '-1 minute' /etc/containerd/config.toml && systemctl daemon-reload && systemctl restart containerd",
    )
    .map(drop)
}

/// SHA-256 of what somebody put in the places that Sealock takes.
pub(super) fn digests() -> Result<BTreeMap<String, String>> {
    let root = repo::root()?;
    let mut all = BTreeMap::new();
    for place in REPLACED {
        let program = PROGRAMS.iter().find(|(.., to)| to == place);
        let from = match program {
            Some((part, name, _)) => tools::part(&root, part)?.join(name),
            None => {
                let (name, _) = FILES.iter().find(|(_, to)| to == place).context("no such file")?;
                own(name)?
            }
        };
        all.insert((*place).to_owned(), digest(&from)?);
    }
    Ok(all)
}

fn digest(path: &Path) -> Result<String> {
    Ok(hex::encode(Sha256::digest(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)))
}

fn sh(desk: &Desk, node: &str, line: &str) -> Result<String> {
    story::text(&mut desk.lab.exec(node, &["sh", "-c", line]))
}
