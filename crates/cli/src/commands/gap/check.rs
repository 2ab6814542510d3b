//! `sealock gap check`

use std::net::{IpAddr, SocketAddr};

use sealock_cluster::Cluster;
use sealock_cluster::execute::{self, Binary, SshSettings};
use sealock_node::gap::{Controls, GapReport, GapRequest, Place, ProbeResult, Responder, Verdict};
use sealock_trust::reason::Code;
use serde::Serialize;

use crate::commands::cluster::target::{TargetArgs, load, ssh};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::identity;
use crate::station::Station;
use crate::ui::Table;

/// Try to get out, from every node and from inside a pod
///
/// Each probe first reaches a control of the same kind inside the site, so that silence is not mistaken for a block:
/// where the control does not answer either, the probe is unproven. Exit code 3 where anything gets out, 1 where nothing
/// does but a probe is unproven.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// A further address outside to try
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// List every probe, not only those that a person should look at
    #[arg(short, long)]
    long: bool,
}

#[derive(Serialize)]
struct Outcome {
    /// How many probes got out.
    leaks: usize,
    /// How many probes prove nothing, because their control did not answer.
    unproven: usize,
    nodes: Vec<GapReport>,
}

pub fn run(args: &CheckArgs, context: &Context) -> Result<()> {
    let cluster = load(&args.target.file)?;
    let station = Station::open(context)?;
    let here = station_address(&station)?;
    if context.dry_run {
        let hosts: Vec<&str> = cluster.hosts().iter().map(|host| host.name.as_str()).collect();
        context.ui.note(format_args!("would try to get out from {}", hosts.join(", ")));
        return Ok(());
    }
    let responder = Responder::start(&[here])?;
    let (_sockets, ssh) = ssh(&args.target)?;
    let nodes = context.runtime()?.block_on(probe(&cluster, &ssh, args, responder.controls()))?;
    let outcome = Outcome { leaks: count(&nodes, Verdict::Leak), unproven: count(&nodes, Verdict::Unproven), nodes };
    context.ui.result(&outcome, table(&outcome, args.long))?;
    judge(&outcome, context)
}

/// Where nodes reach the station: the address of its registry.
fn station_address(station: &Station) -> Result<IpAddr> {
    let address = &station.site.registry().address;
    let parsed = address.parse::<SocketAddr>().map(|address| address.ip());
    parsed.map_err(|_| CommandError::failed(format!("the site root gives `{address}` as the registry's address")))
}

/// One node after the other, so that they do not drown each other's controls.
async fn probe(cluster: &Cluster, ssh: &SshSettings, args: &CheckArgs, controls: &Controls) -> Result<Vec<GapReport>> {
    let binary = Binary::read(std::path::Path::new("/proc/self/exe"), identity::version())?;
    let connections = execute::connect(cluster.hosts(), ssh).await?;
    let mut reports = Vec::new();
    for connection in connections {
        let usual = GapRequest::usual(connection.host(), &args.addresses, controls.clone());
        let request = GapRequest { time_servers: cluster.time_servers(), ..usual };
        reports.push(execute::gap(&connection, &binary, &request).await?);
    }
    Ok(reports)
}

/// Node, place and result of every probe.
fn probes(nodes: &[GapReport]) -> Vec<(&str, &Place, &ProbeResult)> {
    let mut all = Vec::new();
    for node in nodes {
        for place in &node.places {
            all.extend(place.probes.iter().map(|probe| (node.node.as_str(), &place.place, probe)));
        }
    }
    all
}

fn count(nodes: &[GapReport], verdict: Verdict) -> usize {
    probes(nodes).iter().filter(|(_, _, probe)| probe.verdict == verdict).count()
}

fn table(outcome: &Outcome, long: bool) -> String {
    let mut table = Table::new(["node", "from", "probe", "verdict", "detail"]);
    let shown = |verdict| long || matches!(verdict, Verdict::Leak | Verdict::Unproven | Verdict::Noted);
    let mut rows = 0;
    for (node, place, probe) in probes(&outcome.nodes).into_iter().filter(|(_, _, probe)| shown(probe.verdict)) {
        rows += 1;
        let (place, what, verdict) = (place.to_string(), probe.probe.to_string(), probe.verdict.to_string());
        table.row([node.to_owned(), place, what, verdict, probe.detail.clone()]);
    }
    let summary = summary(outcome);
    if rows == 0 { summary } else { format!("{table}\n{summary}") }
}

/// One line for each node and place: how many probes came to what.
fn summary(outcome: &Outcome) -> String {
    let mut lines = Table::new(["node", "from", "blocked", "no route", "clear", "noted", "unproven", "leak"]);
    for node in &outcome.nodes {
        for place in &node.places {
            let count = |verdict| place.probes.iter().filter(|probe| probe.verdict == verdict).count().to_string();
            lines.row([
                node.node.clone(),
                place.place.to_string(),
                count(Verdict::Blocked),
                count(Verdict::NoRoute),
                count(Verdict::Clear),
                count(Verdict::Noted),
                count(Verdict::Unproven),
                count(Verdict::Leak),
            ]);
        }
    }
    lines.to_string()
}

fn judge(outcome: &Outcome, context: &Context) -> Result<()> {
    if outcome.leaks > 0 {
        let problem = format!("there is a leak: {} probes got out", outcome.leaks);
        return Err(CommandError::refused(Code::Leak, problem));
    }
    for node in &outcome.nodes {
        if node.places.iter().any(|place| place.place == Place::NoPod) {
            context.ui.warn(format_args!("no pod was probed on {}: none runs there", node.node));
        }
    }
    if outcome.unproven > 0 {
        let problem =
            format!("nothing got out, but {} probes prove nothing: their controls did not answer", outcome.unproven);
        return Err(CommandError::failed(problem));
    }
    context.ui.done("nothing got out");
    Ok(())
}
