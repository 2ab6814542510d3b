//! `sealock etcd remove`

use sealock_cluster::etcd::quorum;
use sealock_cluster::etcd::{Etcd, EtcdError, Member, MemberId, Membership, Survey};
use serde::Serialize;

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;

/// Remove a member from the cluster: one whose machine is lost
///
/// Refused where those that are left and up would be no majority. The machine itself is not touched: `etcd reset` on it
/// takes its member away and cleans up. Its alarms are taken back with it; where that was cut off, the same command with its
/// id does it.
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
    /// Nothing where it was none any more, and only its alarm stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<&'a Member>,
    left: &'a Membership,
}

pub fn run(args: &RemoveArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let runtime = context.runtime()?;
    let survey = runtime.block_on(etcd.survey())?;
    let Some(member) = survey.membership.called(&args.member) else {
        return finish(&args.member, (&etcd, &survey), context);
    };
    quorum::may_remove(&survey, member.id).map_err(EtcdError::from)?;
    if context.dry_run {
        context.ui.note(format_args!("would remove {member} from cluster {}", survey.membership.cluster));
        return context.ui.result(member, "");
    }
    context.ui.confirm(&format!("Remove {member} from cluster {}?", survey.membership.cluster))?;
    let left = runtime.block_on(etcd.remove(member.id))?;
    // What it was alarmed by goes with it: an alarm of a member that is gone would keep the others from writing.
    for alarm in survey.alarms_of(member.id) {
        runtime.block_on(etcd.disarm(alarm))?;
    }
    let text = format!("removed {member}; {} members are left", left.members.len());
    context.ui.result(&Outcome { removed: Some(member), left: &left }, text)
}

/// Takes back the alarms of a member that was removed before, and whose removal was cut off behind that.
fn finish(called: &str, (etcd, survey): (&Etcd, &Survey), context: &Context) -> Result<()> {
    let missing = || EtcdError::NoMember(called.to_owned());
    let id: MemberId = called.parse().map_err(|_| missing())?;
    let alarms = survey.alarms_of(id);
    if alarms.is_empty() {
        return Err(missing().into());
    }
    let cluster = survey.membership.cluster;
    let kinds: Vec<String> = alarms.iter().map(|alarm| alarm.kind.to_string()).collect();
    let kinds = kinds.join(", ");
    let left = &survey.membership;
    if context.dry_run {
        context
            .ui
            .note(format_args!("would take back {kinds} of {id}, which is no member of cluster {cluster} any more"));
        return context.ui.result(&Outcome { removed: None, left }, "");
    }
    context.ui.confirm(&format!("Take back {kinds} of {id}, which is no member of cluster {cluster} any more?"))?;
    let runtime = context.runtime()?;
    for alarm in alarms {
        runtime.block_on(etcd.disarm(alarm))?;
    }
    let text = format!("took back {kinds} of {id}, which is no member any more");
    context.ui.result(&Outcome { removed: None, left }, text)
}
