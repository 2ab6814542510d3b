//! `sealock cluster adopt`

use std::path::PathBuf;
use std::time::Instant;

use sealock_cluster::adoption::Change;
use sealock_cluster::operator::{Adoption, Planned};
use sealock_trust::Digest;
use serde::Serialize;

use super::adopt_draft::{self as draft, DraftArgs};
use super::carry_out::{carry_out, digest, review};
use super::plan::show;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// How many images are named that the release does not have.
const NAMED: usize = 5;

/// Take over a running cluster that kubeadm made and Sealock did not
///
/// The spec says what the cluster is: its version, networks, endpoint and hosts. The cluster and all of its hosts are asked, nothing is
/// changed there, and every difference is told; then nothing is done. Where there is none, a plan is shown, asked for, and carried out: a snapshot of etcd,
/// and then one node after the other is claimed, and gets what Sealock owns on a node, in the very versions that run. What stood there is
/// kept aside, and given back by `cluster reset`. containerd and kubelet are started anew under running pods; no pod is moved, and no
/// container started anew. Run again it finishes what was cut off. Afterwards the cluster is like one that `cluster apply` has made.
///
/// Taken over are clusters with one control plane, etcd on it, kube-proxy, and containerd and runc in versions that the release has. The
/// pod network stays the cluster's own: the spec says `cni: none`.
#[derive(Debug, clap::Args)]
pub struct AdoptArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    draft: DraftArgs,
}

/// What taking a cluster over came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Digest>,
    /// Steps that changed something.
    changed: usize,
    /// What becomes something else.
    changes: Vec<Change>,
    /// Images of pods that the release does not have.
    lacking: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
}

pub fn run(args: &AdoptArgs, context: &Context) -> Result<()> {
    if let Some(plane) = &args.draft.draft {
        return draft::run(plane, &args.draft, &args.target, context);
    }
    let target = Target::open(&args.target, context)?;
    let adoption = context.runtime()?.block_on(target.operator().plan_adoption(&target.cluster))?;
    let cluster = target.cluster.name().to_string();
    let Adoption { next, changes, lacking } = adoption;
    let mut outcome = Outcome { cluster, plan: None, changed: 0, changes, lacking, kubeconfig: None };
    let Some(planned) = &next else {
        let text = format!("nothing to do: cluster {} is Sealock's already", outcome.cluster);
        return context.ui.result(&outcome, text);
    };
    for change in &outcome.changes {
        context.ui.warn(change.to_string());
    }
    if let Some(lacking) = told(&outcome.lacking) {
        context.ui.warn(lacking);
    }
    let reviewed = look(&target, planned, context);
    if context.dry_run || reviewed.is_err() {
        // Hosts that are nobody's keep nothing of the look at them.
        context.runtime()?.block_on(target.operator().withdraw(planned))?;
        return reviewed;
    }
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, planned, context)?;
    outcome.plan = Some(digest(planned)?);
    outcome.changed = applied.changed;
    outcome.kubeconfig = applied.kubeconfig;
    let text = format!(
        "cluster {} is Sealock's: {} steps changed something, in {}",
        outcome.cluster,
        outcome.changed,
        took(started.elapsed())
    );
    context.ui.result(&outcome, text)
}

fn look(target: &Target, planned: &Planned, context: &Context) -> Result<()> {
    target.check_mirrors(planned, context)?;
    match context.dry_run {
        true => show(planned, context),
        false => review(planned, "Take this cluster over?", context),
    }
}

/// What the release lacks of what runs.
fn told(lacking: &[String]) -> Option<String> {
    let names = lacking.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match lacking.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!lacking.is_empty()).then(|| {
        format!(
            "pods run {names}{more}, and the release does not have that: from now on nodes pull from the site's registry alone, and such \
             a pod starts only where its image is already"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_release_lacks_is_told_in_one_sentence() {
        let all: Vec<String> = (1..=7).map(|n| format!("quay.io/team/app{n}:v1")).collect();
        insta::assert_snapshot!(told(&all).unwrap(), @"pods run quay.io/team/app1:v1, quay.io/team/app2:v1, quay.io/team/app3:v1, quay.io/team/app4:v1, quay.io/team/app5:v1 and 2 more, and the release does not have that: from now on nodes pull from the site's registry alone, and such a pod starts only where its image is already");
        assert_eq!(told(&[]), None);
    }
}
