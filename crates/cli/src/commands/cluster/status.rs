//! `sealock cluster status`

use std::fmt::Write as _;

use sealock_cluster::backup::evidence::{Standing, Whose};
use sealock_cluster::operator::{HostStatus, Status};
use serde::Serialize;

use super::target::{Target, TargetArgs};
use crate::commands::backup_age;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::{Table, facts, short};

/// Show what the hosts and the cluster are like now
///
/// Also how old the last backup and the last restore drill are, by what this station remembers; the settings say from when on that is warned of.
/// Exit code 1 where a host is not reached, not a Ready node, or not as Sealock left it.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// A cluster, and how its backups stand.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    status: &'a Status,
    backups: &'a Standing,
}

pub fn run(args: &StatusArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let status = context.runtime()?.block_on(target.operator().status(&target.cluster))?;
    let whose = Whose::Cluster { name: &status.cluster, ca_hash: status.ca_hash.as_deref() };
    let standing = backup_age::standing(whose, target.station(), context)?;
    let backups = facts(backup_age::text(&standing));
    context.ui.result(&Told { status: &status, backups: &standing }, format!("{}\n{backups}", text(&status)))?;
    let whose = format!("cluster {}", status.cluster);
    backup_age::warn((&whose, "sealock cluster backup"), &standing, context);
    if status.is_well() {
        return Ok(());
    }
    let message = format!("cluster {} is not what its spec says", status.cluster);
    match target.operator().check_nothing_open() {
        Err(open) => Err(CommandError::from(open).context(message)),
        Ok(()) => Err(CommandError::failed(message)
            .hint("`sealock cluster plan` says what is missing, `sealock cluster apply` does it.")),
    }
}

fn text(status: &Status) -> String {
    let mut text = format!("cluster {} (Kubernetes {})\n\n", status.cluster, status.kubernetes);
    let mut table = Table::new(["host", "address", "is", "node", "kubelet", "runtime"]);
    for host in &status.hosts {
        let node = host.node.as_ref();
        let ready = node.map_or("-", |node| if node.ready { "Ready" } else { "NotReady" });
        let kubelet = node.map_or("-", |node| &node.kubelet);
        let runtime = node.map_or("-", |node| &node.runtime);
        let cells = [&host.name, &host.address, &host.owner, ready, kubelet, runtime];
        table.row(cells.map(str::to_owned));
    }
    let _ = write!(text, "{table}");
    if !status.external_etcd.is_empty() {
        let mut table = Table::new(["member of the external etcd", "version", "state"]);
        for member in &status.external_etcd {
            let state = member.problem.as_deref().unwrap_or("serves");
            table.row([&member.name, member.version.as_deref().unwrap_or("-"), state].map(str::to_owned));
        }
        let _ = write!(text, "\n{table}");
    }
    for remark in remarks(status) {
        let _ = write!(text, "\n{remark}");
    }
    text
}

fn remarks(status: &Status) -> Vec<String> {
    let mut remarks: Vec<String> = status.hosts.iter().flat_map(of_host).collect();
    remarks.extend(status.open_plans.iter().map(|plan| format!("plan {} is not finished", short(plan))));
    remarks.extend(status.api_problem.iter().map(|problem| format!("the cluster's own view is missing: {problem}")));
    remarks
}

fn of_host(host: &HostStatus) -> Vec<String> {
    let name = &host.name;
    let reason = host.node.as_ref().map(|node| &node.reason).filter(|reason| !reason.is_empty());
    let problems = host.problem.iter().chain(reason).chain(&host.drift);
    problems.map(|problem| format!("{name}: {problem}")).collect()
}
