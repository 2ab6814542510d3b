//! `sealock etcd defrag`

use sealock_cluster::etcd::{Alarm, AlarmKind, Defragmented, EtcdError};
use serde::Serialize;

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Table, bytes};

/// Give back the room that the members' files hold and do not use
///
/// One member at a time, the leader last: a member serves nothing meanwhile. Refused unless all serve. With --disarm alarms
/// about a full database are taken back afterwards; they come again where it is full still.
#[derive(Debug, clap::Args)]
pub struct DefragArgs {
    /// Only this member: its name, id or peer URL
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Take back alarms about a full database afterwards
    #[arg(long)]
    disarm: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    members: Vec<Defragmented>,
    disarmed: Vec<Alarm>,
}

pub fn run(args: &DefragArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let runtime = context.runtime()?;
    let survey = runtime.block_on(etcd.survey())?;
    let only = match &args.member {
        Some(text) => Some(survey.membership.called(text).ok_or_else(|| EtcdError::NoMember(text.clone()))?.id),
        None => None,
    };
    let order: Vec<String> = survey
        .leader_last()
        .into_iter()
        .filter(|member| only.is_none_or(|id| id == member.id))
        .map(ToString::to_string)
        .collect();
    if context.dry_run {
        context.ui.note(format_args!("would defragment, in this order: {}", order.join(", ")));
        return Ok(());
    }
    context.ui.confirm(&format!("Defragment {}, one after the other?", order.join(", ")))?;
    let progress = |member: &sealock_cluster::etcd::Member| context.ui.note(format_args!("defragmenting {member}"));
    let members = runtime.block_on(etcd.defragment(only, &progress))?;
    let mut disarmed = Vec::new();
    for state in survey.states.iter().filter(|_| args.disarm) {
        for kind in state.alarms.iter().copied().filter(|kind| *kind == AlarmKind::NoSpace) {
            let alarm = Alarm { member: state.member, kind };
            runtime.block_on(etcd.disarm(alarm))?;
            disarmed.push(alarm);
        }
    }
    let outcome = Outcome { members, disarmed };
    context.ui.result(&outcome, text(&outcome))
}

fn text(outcome: &Outcome) -> String {
    let mut table = Table::new(["member", "before", "now"]);
    let size = |size: i64| bytes(u64::try_from(size).unwrap_or(0));
    for one in &outcome.members {
        table.row([one.member.to_string(), size(one.before), size(one.after)]);
    }
    let taken = outcome.disarmed.iter().map(|alarm| format!("took back alarm {} of {}\n", alarm.kind, alarm.member));
    format!("{table}{}", taken.collect::<String>())
}
