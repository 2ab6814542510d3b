//! `sealock cluster upgrade --components`, and what other commands say of components that wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sealock_cluster::Cluster;
use sealock_cluster::plan::{Behind, Draining};
use serde::Serialize;

use super::carry_out::review;
use super::phase::{UpgradePhase, stage};
use super::plan::show;
use super::taking_back::Upgrading;
use super::target::Target;
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// What it came to.
#[derive(Serialize)]
struct Outcome {
    cluster: String,
    /// The number of the release.
    release: u64,
    /// What was not as the release has it.
    behind: Vec<Behind>,
    /// Steps that changed something.
    changed: usize,
}

pub fn run(
    target: &Target,
    cluster: &Cluster,
    draining: &Draining,
    (phase, context): (Option<UpgradePhase>, &Context),
) -> Result<()> {
    let operator = target.operator();
    let found = context.runtime()?.block_on(operator.plan_components(cluster, draining.clone()))?;
    if let Some(phase) = phase {
        return stage(target, found.next, phase, context);
    }
    let release = operator.release.release.number;
    let mut outcome = Outcome { cluster: cluster.name().to_string(), release, behind: found.behind, changed: 0 };
    let nothing =
        format!("nothing to do: the nodes of cluster {} have the components of release {release}", outcome.cluster);
    let Some(planned) = &found.next else { return context.ui.result(&outcome, nothing) };
    target.check_mirrors(planned, context)?;
    if let Some(all) = summary(&outcome.behind) {
        context.ui.note(format_args!("release {release} has {all}"));
    }
    if context.dry_run {
        return show(planned, context);
    }
    review(planned, "Bring these components?", context)?;
    let started = Instant::now();
    let again = "sealock cluster upgrade --components";
    let upgrading = Upgrading { target, cluster, draining, again };
    outcome.changed = upgrading.carry_out(planned, context)?.changed;
    let text = match outcome.changed {
        0 => nothing,
        changed => format!(
            "the nodes of cluster {} have the components of release {release}: {changed} steps changed something, in {}",
            outcome.cluster,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}

/// Says which components wait for this command.
pub fn remark(behind: &[Behind], context: &Context) {
    if let Some(all) = summary(behind) {
        context.ui.note(format_args!(
            "the release has {all}; `sealock cluster upgrade --components` brings it, node after node"
        ));
    }
}

/// Like `containerd v2.4.3 (cp1 uses v2.4.2, w1 v2.4.1)`; nothing where all is as the release has it.
fn summary(behind: &[Behind]) -> Option<String> {
    let mut components: BTreeMap<(&str, &str), BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for one in behind {
        let used = components.entry((one.component, &one.has)).or_default();
        used.entry(&one.runs).or_default().insert(&one.host);
    }
    let told = components.iter().map(|((component, has), used)| {
        let used: Vec<String> = used.iter().map(|(runs, hosts)| format!("{runs} on {}", hosts_of(hosts))).collect();
        format!("{component} {has} (in use: {})", used.join(", "))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join(" and "))
}

/// The names of a few hosts, and how many more there are.
fn hosts_of(hosts: &BTreeSet<&str>) -> String {
    const NAMED: usize = 3;
    let names: Vec<&str> = hosts.iter().copied().take(NAMED).collect();
    match hosts.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(host: &str, component: &'static str, runs: &str, has: &str) -> Behind {
        Behind { host: host.into(), component, runs: runs.into(), has: has.into() }
    }

    #[test]
    fn many_hosts_are_told_of_in_one_sentence() {
        let mut all: Vec<Behind> =
            ["cp1", "w1", "w2", "w3", "w4"].map(|host| behind(host, "containerd", "v2.4.1", "v2.4.2")).into();
        all.push(behind("w5", "containerd", "v2.4.0", "v2.4.2"));
        all.push(behind("w5", "cni-plugins", "v1.9.1", "v1.10.0"));
        insta::assert_snapshot!(summary(&all).unwrap(), @"cni-plugins v1.10.0 (in use: v1.9.1 on w5) and containerd v2.4.2 (in use: v2.4.0 on w5, v2.4.1 on cp1, w1, w2 and 2 more)");
        assert_eq!(summary(&[]), None);
    }
}
