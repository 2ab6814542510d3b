//! The invariants of the lifecycle, each looked at with other people's programs: nothing here asks Sealock whether Sealock is right,
//! but for the fifth, which is about what it does.

use anyhow::{Context, Result, bail, ensure};

use super::{members, stale};
use crate::e2e::cases::cluster;
use crate::e2e::until;
use crate::story::{self, Desk, proof};

/// One of the twelve.
pub(super) struct Invariant {
    pub(super) number: u8,
    pub(super) words: &'static str,
    /// How it is looked at on the lab's nodes; where it is not, the tests that are named in the table look.
    pub(super) look: Option<fn(&Desk) -> Result<()>>,
}

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        number: 1,
        words: "no byte executes or is imported before digest and signature match",
        look: Some(programs),
    },
    Invariant {
        number: 2,
        words: "after any crash, voters <= intended and quorum >= before",
        look: Some(members::all_vote),
    },
    Invariant {
        number: 3,
        words: "a voter is only ever a promoted, caught-up learner",
        look: Some(members::learned_first),
    },
    Invariant { number: 4, words: "a data directory goes only after another member confirms", look: None },
    Invariant { number: 5, words: "intent before effect; a second apply changes nothing", look: Some(second_apply) },
    Invariant { number: 6, words: "stale plan or lease: no side effects", look: Some(stale::generation) },
    Invariant { number: 7, words: "no change to a live control plane without a verified snapshot", look: None },
    Invariant { number: 8, words: "at most one control plane is unavailable", look: None },
    Invariant { number: 9, words: "with egress dropped, nothing leaves the allow-list", look: Some(egress) },
    Invariant { number: 10, words: "after a reset the host is what it was", look: None },
    Invariant { number: 11, words: "secrets never enter journal, plan, argv or logs", look: Some(secrets) },
    Invariant {
        number: 12,
        words: "every image that is needed is there, pinned, after containerd restarts",
        look: Some(pins),
    },
];

/// What is looked at whatever was done.
const ALWAYS: u8 = 9;

/// Looks at those of these numbers, and before at what each row has to leave: nodes that are all Ready.
pub(super) fn check(desk: &Desk, numbers: &[u8]) -> Result<()> {
    until("all nodes are Ready", || Ok(ready(desk)? == desk.nodes.len()))?;
    let is_due = |invariant: &&Invariant| invariant.number == ALWAYS || numbers.contains(&invariant.number);
    for invariant in INVARIANTS.iter().filter(is_due) {
        let Invariant { number, words, look } = invariant;
        // The tenth is looked at by its row itself, while there is no cluster.
        let Some(look) = look else { continue };
        look(desk).with_context(|| format!("invariant {number} ({words}) does not hold"))?;
    }
    Ok(())
}

fn ready(desk: &Desk) -> Result<usize> {
    let states = "-o=jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status} {end}";
    let said = story::text(&mut desk.kubectl(&["get", "nodes", "--request-timeout=10s", states]))?;
    Ok(said.split_whitespace().filter(|state| *state == "True").count())
}

/// What stands in the usual places has the digests that the release's artifacts have: on each node the same, and the station's.
fn programs(desk: &Desk) -> Result<()> {
    let list = "cd /opt/sealock && find . -type f -perm /111 -exec sha256sum {} +";
    let mut known: Vec<(String, String)> = Vec::new();
    for node in desk.nodes {
        let said = story::text(&mut desk.lab.exec(node, &["sh", "-c", list]))?;
        for (digest, file) in said.lines().filter_map(|line| line.split_once("  ")) {
            match known.iter().find(|(name, _)| name == file) {
                Some((_, other)) => {
                    ensure!(other == digest, "{file} on {node} is {digest}, and {other} on another node")
                }
                None => known.push((file.to_owned(), digest.to_owned())),
            }
        }
    }
    ensure!(known.len() > 8, "only {} programs", known.len());
    let own = story::text(&mut desk.lab.exec("station", &["sha256sum", "/usr/local/bin/sealock"]))?;
    let own = own.split_whitespace().next().unwrap_or_default();
    ensure!(known.iter().any(|(_, digest)| digest == own), "no node has the station's own program");
    Ok(())
}

/// As the kernels of the machines and the switch between them have counted it since the lab came up.
fn egress(desk: &Desk) -> Result<()> {
    let seen = desk.lab.egress()?;
    ensure!(seen.is_empty(), "{}", seen.join("; "));
    Ok(())
}

fn second_apply(desk: &Desk) -> Result<()> {
    cluster::apply_again(desk)
}

/// Private files are private, and what is written down for people holds neither keys nor tokens.
fn secrets(desk: &Desk) -> Result<()> {
    let open = "find /etc/kubernetes /var/lib/kubelet/pki /var/lib/sealock/node/journal \
                \\( -name '*.key' -o -name '*.conf' -o -name '*-current.pem' -o -path '*/journal/*' \\) -type f -perm /077; \
                ls -d /etc/kubernetes/bootstrap-kubelet.conf /run/sealock/kubeadm-*.yaml /run/sealock/runs/*/secrets 2>/dev/null; true";
    let spoken = "(grep -rlaE \"$1\" /var/lib/sealock/node /run/sealock 2>/dev/null; \
                  journalctl -u 'sealock-*' --no-pager -o cat | grep -aE \"$1\") | head -n 5; true";
    for node in desk.nodes {
        let found = story::text(&mut desk.lab.exec(node, &["sh", "-c", open]))?;
        ensure!(found.trim().is_empty(), "others may read, or should be gone, on {node}:\n{found}");
        let found = story::text(&mut desk.lab.exec(node, &["sh", "-c", spoken, "sh", SECRET]))?;
        ensure!(found.trim().is_empty(), "a secret was written down on {node}:\n{found}");
    }
    let station = "grep -rlaE \"$1\" /var/lib/sealock/clusters/*/plans /var/lib/sealock/clusters/*/journal /var/log/sealock; true";
    let found = story::text(&mut desk.lab.exec("station", &["sh", "-c", station, "sh", SECRET]))?;
    ensure!(found.trim().is_empty(), "a secret was written down at the station:\n{found}");
    Ok(())
}

/// A private key, a credential in a kubeconfig, or a bootstrap token.
const SECRET: &str = "PRIVATE KEY-----|client-key-data|(^|[^a-z0-9.])[a-z0-9]{6}\\.[a-z0-9]{16}([^a-z0-9.]|$)";

/// All that the cluster's own pods run on a node is there by name, and pinned, when containerd has started anew.
fn pins(desk: &Desk) -> Result<()> {
    let pods = proof::kubectl_json(desk, &["get", "pods", "-n", "kube-system"])?;
    for node in desk.nodes {
        story::text(&mut desk.lab.exec(node, &["systemctl", "restart", "containerd.service"]))?;
        let list = ["ctr", "--namespace", "k8s.io", "images", "list"];
        let said = story::text(&mut desk.lab.exec(node, &list))?;
        let pinned = |name: &str| {
            let mut lines = said.lines().filter(|line| line.split_whitespace().next() == Some(name));
            lines.any(|line| line.contains("io.cri-containerd.pinned=pinned"))
        };
        let items = pods["items"].as_array().context("no pods")?;
        let on_it = items.iter().filter(|pod| pod["spec"]["nodeName"] == *node);
        let mut wanted: Vec<&str> = on_it
            .flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten())
            .filter_map(|container| container["image"].as_str())
            .collect();
        wanted.extend(
            said.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| name.contains("/pause:")),
        );
        ensure!(wanted.len() > 1, "{node} runs nothing:\n{said}");
        if let Some(missing) = wanted.into_iter().find(|name| !pinned(name)) {
            bail!("{missing} is not there, or not pinned, on {node}:\n{said}");
        }
    }
    Ok(())
}
