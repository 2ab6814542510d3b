//! `sealock cluster remove`

use std::time::Instant;

use sealock_cluster::nodes::{self, NodeError};
use sealock_cluster::operator::{Left, Removal};
use serde::Serialize;

use super::carry_out::carry_out;
use super::drain::{HowArgs, Told};
use super::plan::print;
use super::running::{Running, check_host};
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Take a host out of the cluster, and return it to what it was
///
/// Its pods leave as their budgets allow, its member leaves etcd, which is refused where the others would be no majority, the host
/// is given back, its node is forgotten, and the others are told. Cut off anywhere, the same again goes on. Take the host out of
/// the spec afterwards: the next apply would bring it back.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// A host of the cluster, as the spec calls it
    #[arg(value_name = "HOST")]
    host: String,
    #[command(flatten)]
    target: TargetArgs,
    /// The machine is gone, or must not be touched: it is not asked, and its pods are not waited for
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    cluster: &'a str,
    host: &'a str,
    /// Whether the host was given back; not where it is lost.
    given_back: bool,
    /// Steps that changed something on the others.
    changed: usize,
}

pub fn run(args: &RemoveArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    check_host(&target.cluster, &args.host, &args.target.file)?;
    let operator = target.operator();
    let removal = context.runtime()?.block_on(operator.removal(&target.cluster, &args.host, args.lost))?;
    if let Some(give_back) = &removal.give_back {
        target.check_mirrors(give_back, context)?;
        context.ui.note(print(give_back));
    }
    target.check_mirrors(&removal.others, context)?;
    context.ui.note(print(&removal.others).brief());
    if context.dry_run {
        context.ui.note("nothing was changed");
        return Ok(());
    }
    let name = target.cluster.name();
    context.ui.confirm(&format!("Take {} out of cluster {name}, with all that is stored on it?", args.host))?;
    let started = Instant::now();
    if !args.lost && !context.runtime()?.block_on(removal.has_left())? {
        drain(args, name.as_str(), context)?;
    }
    leave(&removal, context)?;
    if let Some(give_back) = &removal.give_back {
        carry_out(&operator, give_back, context)?;
    }
    context.runtime()?.block_on(removal.forget_node())?;
    let rest = context.runtime()?.block_on(operator.plan_rest(&removal.rest))?;
    let applied = carry_out(&target.operator_now(context)?, &rest, context)?;
    let (given_back, changed) = (removal.give_back.is_some(), applied.changed);
    let outcome = Outcome { cluster: name.as_str(), host: &args.host, given_back, changed };
    let text = format!("{} is out of cluster {name}, in {}", args.host, took(started.elapsed()));
    context.ui.result(&outcome, text)?;
    let file = args.target.file.display();
    context.ui.note(format_args!("take {} out of {file} now, or apply again to take it in anew", args.host));
    if removal.rest.control_planes().count() == 2 && removal.rest.external_etcd().is_none() {
        context.ui.warn("two control planes are left: without either of them etcd has no majority. Add a third");
    }
    Ok(())
}

fn drain(args: &RemoveArgs, cluster: &str, context: &Context) -> Result<()> {
    let running = Running::open(cluster, context)?;
    let (toolbox, told) = (running.toolbox(), Told::default());
    let (rules, timeout, target) = (args.how.rules(), args.how.timeout(), running.target(&toolbox));
    let tell = |event: &nodes::Progress<'_>| told.tell(&context.ui, event);
    match context.runtime()?.block_on(nodes::drain(&args.host, rules, timeout, &target, &tell)) {
        // An earlier attempt came further.
        Err(NodeError::NotANode { .. }) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn leave(removal: &Removal, context: &Context) -> Result<()> {
    match context.runtime()?.block_on(removal.leave_etcd())? {
        Left::Never => {}
        Left::Confirmed => context.ui.done("its member is out of etcd, and the others confirm that"),
    }
    Ok(())
}
