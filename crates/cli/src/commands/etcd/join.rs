//! `sealock etcd join`

use sealock_cluster::etcd::machine::{Reach, credentials, plan};
use sealock_cluster::etcd::{Endpoint, Endpoints, Etcd};
use sealock_node::Local;

use super::carry_out::carry_out;
use super::member::MemberArgs;
use super::target::date;
use crate::context::Context;
use crate::error::Result;

/// Let this machine's member join a cluster
///
/// First programs and certificates, then the cluster is told: the member comes without a vote, and gets it only when it has
/// caught up, so that a machine that does not start costs the cluster nothing. `ca.crt` and `ca.key` of the cluster must
/// stand in --certs-dir, or all certificates of this member. Run again it goes on where it was cut off.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// Where a member of the cluster answers, like 10.0.0.1:2379
    #[arg(value_name = "ENDPOINT", required = true)]
    endpoints: Vec<String>,
    #[command(flatten)]
    member: MemberArgs,
}

pub fn run(args: &JoinArgs, context: &Context) -> Result<()> {
    let others: Vec<Endpoint> =
        args.endpoints.iter().map(|endpoint| endpoint.parse()).collect::<std::result::Result<_, _>>()?;
    let observed = args.member.here.observe()?;
    let programs = args.member.programs(context)?;
    let token = observed.known.as_ref().map_or("joined", |known| known.token()).to_owned();
    let settings = args.member.settings(programs.as_ref(), &token)?;
    let credentials = Some(credentials(&Local::new(), &settings.pki)?);
    let etcd = Etcd::new(&Endpoints { seeds: others.clone(), credentials })?;
    let survey = context.runtime()?.block_on(etcd.survey())?;
    let when = date();
    let given = plan::Given { observed: &observed, aside: &when, may_set_aside: args.member.set_data_aside };
    let plan = plan::join(&settings, &survey, given)?;
    let reach = Reach { others, own: settings.client_url().parse()?, pki: settings.pki.clone() };
    let question = format!("Let member {} join cluster {}?", settings.name, survey.membership.cluster);
    let done = format!("member {} has its vote in cluster {}", settings.name, survey.membership.cluster);
    carry_out(&plan, &reach, &question, &done, context)
}
