//! `sealock etcd move-leader`

use sealock_cluster::etcd::{EtcdError, quorum};

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;

/// Have another member lead
///
/// Before a machine is taken down, so that no election is needed.
#[derive(Debug, clap::Args)]
pub struct MoveLeaderArgs {
    /// Who is to lead: its name, id or peer URL [default: any other voter that serves]
    #[arg(value_name = "MEMBER")]
    member: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub fn run(args: &MoveLeaderArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let runtime = context.runtime()?;
    let survey = runtime.block_on(etcd.survey())?;
    let to = match &args.member {
        Some(text) => Some(survey.membership.called(text).ok_or_else(|| EtcdError::NoMember(text.clone()))?.id),
        None => None,
    };
    if context.dry_run {
        if let Some(id) = to {
            quorum::may_lead(&survey, id).map_err(EtcdError::from)?;
        }
        context.ui.note("would move the leader");
        return Ok(());
    }
    let leads = runtime.block_on(etcd.move_leader(to))?;
    let text = match survey.leader == Some(leads.id) {
        true => format!("nothing to do: {leads} leads already"),
        false => format!("{leads} leads"),
    };
    context.ui.result(&leads, text)
}
