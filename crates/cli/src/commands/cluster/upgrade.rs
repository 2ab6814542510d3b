//! `sealock cluster upgrade`

use std::num::NonZeroU16;
use std::time::Instant;

use sealock_cluster::Cluster;
use sealock_cluster::operator::Upgrade;
use sealock_cluster::plan::Draining;
use sealock_cluster::spec::KubernetesVersion;
use serde::Serialize;

use super::carry_out::review;
use super::components;
use super::drain::HowArgs;
use super::phase::{UpgradePhase, stage};
use super::plan::{print, show};
use super::taking_back::Upgrading;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Bring the cluster to the version of Kubernetes that the spec says
///
/// Minor versions are taken one after the other, each by its newest patch in the release. Images and programs are on every host before anything changes;
/// then a snapshot of etcd, the control planes one by one, a look at the services from every node, and the workers, each emptied
/// before its kubelet becomes another one. Run again it finishes what was cut off. `--dry-run` shows the plan. A node that fails becomes
/// again what it was, where that can be had on the node alone, and the others wait; `cluster rollback` takes all of it back.
///
/// A patch of Kubernetes, v1.36.3 to v1.36.4, goes by the same command: write its version into the spec. What brings another containerd, runc or
/// CNI plugins alone, for the Kubernetes that runs, is `--components`: `cluster apply` leaves those of nodes as they are.
#[derive(Debug, clap::Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The version to end with, like v1.37.2 [default: the spec's]
    #[arg(long, value_name = "VERSION")]
    to: Option<KubernetesVersion>,
    /// How many workers may be away at a time [default: the spec's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_unavailable: Option<u16>,
    #[command(flatten)]
    how: HowArgs,
    /// Bring containerd, runc and CNI plugins of the release to the nodes, and leave Kubernetes as it is
    #[arg(long)]
    components: bool,
    /// Only bring images and programs of the first hop to every host, beside those in use; without it the same command does the rest
    #[arg(long)]
    phase: Option<UpgradePhase>,
}

/// What upgrading came to.
#[derive(Serialize)]
struct Outcome {
    cluster: String,
    from: KubernetesVersion,
    to: KubernetesVersion,
    /// Steps that changed something.
    changed: usize,
}

pub fn run(args: &UpgradeArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let written = target.cluster.spec().kubernetes.version;
    let cluster = target.cluster.with_version(args.to.unwrap_or(written));
    if args.components {
        return components::run(&target, &cluster, &draining(args, &cluster), (args.phase, context));
    }
    let wanted = cluster.spec().kubernetes.version;
    let mut upgrade = plan(&target, &cluster, args, context)?;
    if let Some(phase) = args.phase {
        return stage(&target, upgrade.next, phase, context);
    }
    // What is brought beside what runs disturbs nobody.
    check_health(&target, &cluster, &upgrade, context)?;
    let (from, started) = (upgrade.from, Instant::now());
    if context.dry_run {
        show_only(&upgrade, &cluster, context)?;
        if upgrade.next.is_none() {
            components::remark(&upgrade.behind, context);
        }
        return Ok(());
    }
    let draining = draining(args, &cluster);
    let upgrading =
        Upgrading { target: &target, cluster: &cluster, draining: &draining, again: "sealock cluster upgrade" };
    let (mut changed, mut asked) = (0, false);
    while let Some(planned) = &upgrade.next {
        target.check_mirrors(planned, context)?;
        if asked {
            context.ui.note(print(planned).brief());
        } else {
            context.ui.note(way(&upgrade));
            review(planned, "Upgrade?", context)?;
            asked = true;
        }
        // Since then somebody may have thought about it for an hour.
        check_health(&target, &cluster, &upgrade, context)?;
        changed += upgrading.carry_out(planned, context)?.changed;
        upgrade = plan(&target, &cluster, args, context)?;
    }
    let outcome = Outcome { cluster: cluster.name().to_string(), from, to: wanted, changed };
    let text = if asked {
        format!(
            "cluster {} runs Kubernetes {wanted}: {changed} steps changed something, in {}",
            outcome.cluster,
            took(started.elapsed())
        )
    } else {
        format!("nothing to do: cluster {} runs Kubernetes {wanted}", outcome.cluster)
    };
    context.ui.result(&outcome, text)?;
    if written != wanted {
        let file = args.target.file.display();
        context.ui.note(format_args!(
            "write `version: {wanted}` into {file}: until then nothing else is done with the cluster"
        ));
    }
    components::remark(&upgrade.behind, context);
    Ok(())
}

fn plan(target: &Target, cluster: &Cluster, args: &UpgradeArgs, context: &Context) -> Result<Upgrade> {
    Ok(context.runtime()?.block_on(target.operator().plan_upgrade(cluster, draining(args, cluster)))?)
}

fn check_health(target: &Target, cluster: &Cluster, upgrade: &Upgrade, context: &Context) -> Result<()> {
    Ok(context.runtime()?.block_on(target.operator().check_health(cluster, upgrade))?)
}

fn draining(args: &UpgradeArgs, cluster: &Cluster) -> Draining {
    args.how.waves(args.max_unavailable.and_then(NonZeroU16::new), &cluster.spec().upgrade)
}

fn show_only(upgrade: &Upgrade, cluster: &Cluster, context: &Context) -> Result<()> {
    let Some(planned) = &upgrade.next else {
        let version = cluster.spec().kubernetes.version;
        let outcome = Outcome { cluster: cluster.name().to_string(), from: upgrade.from, to: version, changed: 0 };
        return context
            .ui
            .result(&outcome, format!("nothing to do: cluster {} runs Kubernetes {version}", cluster.name()));
    };
    context.ui.note(way(upgrade));
    show(planned, context)
}

/// The versions from what is to what was asked for.
fn way(upgrade: &Upgrade) -> String {
    let hops: Vec<String> = upgrade.hops.iter().map(ToString::to_string).collect();
    let more = if hops.len() > 1 { "; each hop is planned when the one before it is done" } else { "" };
    format!("from {} to {}{more}", upgrade.from, hops.join(", then "))
}
