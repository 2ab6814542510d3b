//! `sealock cluster patch-os`

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Instant;

use sealock_cluster::Cluster;
use sealock_cluster::operator::{Patching, Waiting, Without};
use sealock_node::os_packages::PackageChange;
use sealock_node::step::RestartWhen;
use serde::Serialize;

use super::carry_out::{carry_out, review};
use super::drain::HowArgs;
use super::plan::show;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Bring OS packages of the release to the nodes, one node after the other
///
/// Each host's own apt says what the packages of the release would change there, and from nothing else. They lie on every host before anything
/// changes. Then the control planes one by one, each behind a look at etcd, and the workers: a node is emptied, its packages change, its machine is
/// restarted where a package asks for it or there is another kernel, it is looked at, and given back. Run again it finishes what was cut off.
/// `--dry-run` shows the plan. What Sealock brings itself, such as containerd and kubelet, is left alone, and so is what is on hold on a host. dpkg
/// keeps nothing of what was there before: there is no way back.
#[derive(Debug, clap::Args)]
pub struct PatchOsArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Only this node (may be given more than once) [default: all]
    #[arg(long = "node", value_name = "HOST")]
    nodes: Vec<String>,
    /// When a machine is restarted whose packages have changed
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Reboot::WhenRequired)]
    reboot: Reboot,
    /// How many workers may be away at a time [default: the spec's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_unavailable: Option<u16>,
    /// Let packages go that are in the way of others
    #[arg(long)]
    allow_removals: bool,
    /// Also bring this package of the release where it is not installed (may be given more than once)
    #[arg(long, value_name = "PACKAGE")]
    install: Vec<String>,
    #[command(flatten)]
    how: HowArgs,
}

/// When a machine is restarted.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Reboot {
    /// Where a package asks for it, or there is another kernel
    WhenRequired,
    /// Wherever packages have changed
    Always,
    /// Not at all: what asks for it waits for the next time
    Never,
}

/// What it came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    cluster: String,
    /// The number of the release.
    release: u64,
    /// What waited, by host.
    hosts: Vec<Waiting>,
    /// What is newer and stays where it is, by host.
    kept_back: BTreeMap<String, Vec<String>>,
    /// Hosts for whose system the release has no OS packages.
    without: Vec<Without>,
    /// Steps that changed something.
    changed: usize,
}

pub fn run(args: &PatchOsArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let operator = target.operator();
    let found =
        context.runtime()?.block_on(operator.plan_os_packages(&target.cluster, patching(args, &target.cluster)))?;
    let release = operator.release.release.number;
    let cluster = target.cluster.name().to_string();
    let (hosts, kept_back, without) = (found.waiting, found.kept_back, found.without);
    let mut outcome = Outcome { cluster, release, hosts, kept_back, without, changed: 0 };
    for Without { host, system } in &outcome.without {
        context.ui.note(format_args!("{host} is passed by: release {release} has no OS packages for {system}"));
    }
    for (host, packages) in &outcome.kept_back {
        let names = packages.join(", ");
        context.ui.note(format_args!(
            "{host} keeps its {names}: on hold there, or others would have to go (`--allow-removals` lets them)"
        ));
    }
    let nothing =
        format!("nothing to do: the nodes of cluster {} have the OS packages of release {release}", outcome.cluster);
    let Some(planned) = &found.next else { return context.ui.result(&outcome, nothing) };
    target.check_mirrors(planned, context)?;
    context.ui.note(summary(&outcome.hosts));
    if context.dry_run {
        return show(planned, context);
    }
    review(planned, "Bring these OS packages?", context)?;
    let started = Instant::now();
    outcome.changed = carry_out(&target.operator_now(context)?, planned, context)?.changed;
    let text = match outcome.changed {
        0 => nothing,
        changed => format!(
            "the nodes of cluster {} have the OS packages of release {release}: {changed} steps changed something, in {}",
            outcome.cluster,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}

fn patching(args: &PatchOsArgs, cluster: &Cluster) -> Patching {
    let draining = args.how.waves(args.max_unavailable.and_then(NonZeroU16::new), &cluster.spec().upgrade);
    Patching {
        draining,
        nodes: args.nodes.iter().cloned().collect(),
        restart: match args.reboot {
            Reboot::WhenRequired => Some(RestartWhen::Required),
            Reboot::Always => Some(RestartWhen::Always),
            Reboot::Never => None,
        },
        allow_removals: args.allow_removals,
        install: args.install.clone(),
    }
}

/// Each change with the hosts that it is for, and the machines that are to be restarted as they are.
fn summary(waiting: &[Waiting]) -> String {
    let mut changes: BTreeMap<&PackageChange, Vec<&str>> = BTreeMap::new();
    for one in waiting {
        one.changes.iter().for_each(|change| changes.entry(change).or_default().push(&one.host));
    }
    let changes = changes.iter().map(|(change, hosts)| format!("  {change}: {}", hosts.join(", ")));
    let restarts = waiting.iter().filter_map(|one| {
        let because = one.restart.as_ref()?;
        Some(format!("  {} is to be restarted: {because}", one.host))
    });
    let lines: Vec<String> = changes.chain(restarts).collect();
    if lines.is_empty() {
        "no OS package waits".to_owned()
    } else {
        format!("OS packages that wait\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(package: &str, from: Option<&str>, to: Option<&str>) -> PackageChange {
        let [from, to] = [from, to].map(|version| version.map(str::to_owned));
        PackageChange { package: package.into(), architecture: "amd64".into(), from, to }
    }

    #[test]
    fn a_package_that_changes_on_many_hosts_is_told_of_once() {
        let host = |host: &str, changes: &[PackageChange], restart: Option<&str>| Waiting {
            host: host.into(),
            changes: changes.into(),
            restart: restart.map(str::to_owned),
        };
        let libc = change("libc6", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9"));
        let all = [
            host("cp1", &[libc.clone(), change("new", None, Some("1.0"))], None),
            host("w1", &[libc, change("old", Some("1.0"), None)], None),
            host("w2", &[], Some("it is asked for by libc6 (/run/reboot-required)")),
        ];
        insta::assert_snapshot!(summary(&all), @r"
        OS packages that wait
          libc6 2.36-9+deb12u8 to 2.36-9+deb12u9: cp1, w1
          new 1.0 (new): cp1
          old 1.0 (goes): w1
          w2 is to be restarted: it is asked for by libc6 (/run/reboot-required)
        ");
        assert_eq!(summary(&[]), "no OS package waits");
    }
}
