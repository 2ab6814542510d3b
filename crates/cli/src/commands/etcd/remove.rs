//! `sealock etcd remove`

use sealock_cluster::etcd::quorum;
use sealock_cluster::etcd::{Alarm, EtcdError, Member, Membership};
use serde::Serialize;

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;

/// Remove a member from the cluster: one whose machine is lost
///
/// Refused where those that are left and up would be no majority. The machine itself is not touched: `etcd reset` on it
/// takes its member away and cleans up.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The member's name, id or peer URL
    #[arg(value_name = "MEMBER")]
    member: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    removed: &'a Member,
    left: &'a Membership,
}

pub fn run(args: &RemoveArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let runtime = context.runtime()?;
    let survey = runtime.block_on(etcd.survey())?;
    let missing = || EtcdError::NoMember(args.member.clone());
    let member = survey.membership.called(&args.member).ok_or_else(missing)?;
    quorum::may_remove(&survey, member.id).map_err(EtcdError::from)?;
    if context.dry_run {
        context.ui.note(format_args!("would remove {member} from cluster {}", survey.membership.cluster));
        return context.ui.result(member, "");
    }
    context.ui.confirm(&format!("Remove {member} from cluster {}?", survey.membership.cluster))?;
    let left = runtime.block_on(etcd.remove(member.id))?;
    // What it was alarmed by goes with it: an alarm of a member that is gone would keep the others from writing.
    for kind in survey.state_of(member.id).into_iter().flat_map(|state| state.alarms.iter().copied()) {
        runtime.block_on(etcd.disarm(Alarm { member: member.id, kind }))?;
    }
    let text = format!("removed {member}; {} members are left", left.members.len());
    context.ui.result(&Outcome { removed: member, left: &left }, text)
}
