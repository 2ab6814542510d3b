//! Who comes too late changes nothing: what of a machine could be changed is looked at before and after.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::rows::JOINER;
use crate::e2e::expect;
use crate::story::{self, Desk};

/// Every file that Sealock or kubeadm could write, with the times of its last write and change: nothing is written without moving them. Left out are
/// the programs that the station takes out of the release in order to plan.
const FILES: &str = "find /etc /opt /usr/local /usr/bin /var/lib/sealock /var/lib/cni /var/lib/kubelet/config.yaml -xdev \
                     ! -path '/var/lib/sealock/clusters/*/bin*' -printf '%p %y %m %s %i %T@ %C@ %l\\n' 2>/dev/null | sort; true";

/// The files of all machines, as they are now.
pub(super) fn files(desk: &Desk) -> Result<Vec<(String, String)>> {
    let machines = desk.nodes.iter().copied().chain(["station"]);
    let read =
        |machine: &str| Ok((machine.to_owned(), story::text(&mut desk.lab.exec(machine, &["sh", "-c", FILES]))?));
    machines.map(read).collect()
}

/// That they are what they were.
pub(super) fn unchanged(desk: &Desk, before: &[(String, String)]) -> Result<()> {
    for ((machine, was), (_, is)) in before.iter().zip(files(desk)?) {
        let different = |one: &str, other: &str| {
            let other: std::collections::HashSet<&str> = other.lines().collect();
            one.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (gone, new) = (different(was, &is), different(&is, was));
        ensure!(gone.is_empty() && new.is_empty(), "something was written on {machine}:\n- {gone:#?}\n+ {new:#?}");
    }
    Ok(())
}

/// A run whose generation was passed, sent to the joiner past the operator, is refused there before anything is written.
pub(super) fn generation(desk: &Desk) -> Result<()> {
    let fence = story::text(&mut desk.lab.exec(JOINER, &["cat", "/var/lib/sealock/node/fence"]))?;
    let seen = serde_json::from_str::<Value>(&fence)?["generation"].as_u64().context("the fence has no generation")?;
    let action = json!({"kind": "file", "path": "/etc/stale", "content": "too late", "mode": "0644"});
    let request = json!({
        "format": "node-run/1.0", "plan": format!("sha256:{}", "0".repeat(64)), "node": JOINER,
        "generation": seen - 1, "nonce": "of one who comes too late", "registry": null, "steps": [{"id": "stale", "action": action}],
    });
    let before = files(desk)?;
    // In memory, where every run begins.
    let run = "mkdir -p /run/stale && cd /run/stale && echo \"$1\" > request && cp /var/lib/sealock/node/site-root.json site-root && \
               echo '{}' > release && echo '{}' | /opt/sealock/sealock/*/sealock node run --request request --site-root site-root --release release";
    let said = [&*format!("this run has generation {}", seen - 1), "STALE_PLAN"];
    let refused = expect(&mut desk.lab.exec(JOINER, &["sh", "-c", run, "sh", &request.to_string()]), 3, &said);
    story::text(&mut desk.lab.exec(JOINER, &["rm", "-r", "/run/stale"]))?;
    refused?;
    unchanged(desk, &before)
}
