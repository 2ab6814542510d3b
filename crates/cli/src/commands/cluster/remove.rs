//! `sealock cluster remove`

use std::time::Instant;

use sealock_cluster::nodes::{self, NodeError};
use sealock_cluster::operator::{Left, OperatorError, Removal};
use serde::Serialize;

use super::carry_out::carry_out;
use super::drain::{HowArgs, Told};
use super::plan::{passed_over, print};
use super::running::{Running, check_host};
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::took;

/// Take hosts out of the cluster, and return them to what they were
///
/// Their pods leave as their budgets allow, their members leave etcd, which is refused where the others would be no majority, the hosts
/// are given back, their nodes are forgotten, and the others are told. Cut off anywhere, the same again goes on. Take the hosts out of
/// the spec afterwards: the next apply would bring them back. Those that are lost together are named together: all others are asked.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Hosts of the cluster, as the spec calls them
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// The machines are gone, or must not be touched: they are not asked, and their pods are not waited for
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    cluster: &'a str,
    hosts: &'a [String],
    /// Whether the hosts were given back; not where they are lost.
    given_back: bool,
    /// Steps that changed something on the others.
    changed: usize,
}

pub fn run(args: &RemoveArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    for host in &args.hosts {
        check_host(&target.cluster, host, &args.target.file)?;
    }
    let operator = target.operator();
    let removal = context.runtime()?.block_on(operator.removal(&target.cluster, &args.hosts, args.lost));
    let removal = removal.map_err(|error| if args.lost { perhaps_lost_too(error) } else { error.into() })?;
    if let Some(give_back) = &removal.give_back {
        target.check_mirrors(give_back, context)?;
        context.ui.note(print(give_back));
    }
    target.check_mirrors(&removal.others, context)?;
    passed_over(&removal.others, context);
    context.ui.note(print(&removal.others).brief());
    if context.dry_run {
        context.ui.note("nothing was changed");
        return Ok(());
    }
    let name = target.cluster.name();
    let (hosts, them) = (in_words(&args.hosts), if args.hosts.len() == 1 { "it" } else { "them" });
    context.ui.confirm(&format!("Take {hosts} out of cluster {name}, with all that is stored on {them}?"))?;
    let started = Instant::now();
    for host in args.hosts.iter().filter(|_| !args.lost) {
        if !context.runtime()?.block_on(removal.has_left(host))? {
            drain(args, host, name.as_str(), context)?;
        }
    }
    leave(&removal, args, context)?;
    if let Some(give_back) = &removal.give_back {
        carry_out(&operator, give_back, context)?;
    }
    context.runtime()?.block_on(removal.forget_nodes())?;
    let rest = context.runtime()?.block_on(operator.plan_rest(&removal.rest))?;
    let applied = carry_out(&target.operator_now(context)?, &rest, context)?;
    let (given_back, changed) = (removal.give_back.is_some(), applied.changed);
    let outcome = Outcome { cluster: name.as_str(), hosts: &args.hosts, given_back, changed };
    let verb = if args.hosts.len() == 1 { "is" } else { "are" };
    let text = format!("{hosts} {verb} out of cluster {name}, in {}", took(started.elapsed()));
    context.ui.result(&outcome, text)?;
    let file = args.target.file.display();
    context.ui.note(format_args!("take {hosts} out of {file} now, or apply again to take {them} in anew"));
    if removal.rest.control_planes().count() == 2 && removal.rest.external_etcd().is_none() {
        context.ui.warn("two control planes are left: without either of them etcd has no majority. Add a third");
    }
    Ok(())
}

/// All that stay are asked.
fn perhaps_lost_too(error: OperatorError) -> CommandError {
    let is_away = error.is_retryable();
    let error = CommandError::from(error);
    if is_away { error.hint("Where that host is lost, too, name all that are lost in one command.") } else { error }
}

fn in_words(hosts: &[String]) -> String {
    match hosts {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => hosts.join(""),
    }
}

fn drain(args: &RemoveArgs, host: &str, cluster: &str, context: &Context) -> Result<()> {
    let running = Running::open(cluster, context)?;
    let (toolbox, told) = (running.toolbox(), Told::default());
    let (rules, timeout, target) = (args.how.rules(), args.how.timeout(), running.target(&toolbox));
    let tell = |event: &nodes::Progress<'_>| told.tell(&context.ui, event);
    match context.runtime()?.block_on(nodes::drain(host, rules, timeout, &target, &tell)) {
        // An earlier attempt came further.
        Err(NodeError::NotANode { .. }) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn leave(removal: &Removal, args: &RemoveArgs, context: &Context) -> Result<()> {
    match context.runtime()?.block_on(removal.leave_etcd())? {
        Left::Never => {}
        Left::Confirmed => {
            let whose = if args.hosts.len() == 1 { "its member is" } else { "their members are" };
            context.ui.done(format_args!("{whose} out of etcd, and the others confirm that"));
        }
    }
    Ok(())
}
