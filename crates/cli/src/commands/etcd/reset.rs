//! `sealock etcd reset`

use sealock_cluster::etcd::machine::{Known, Observed, Reach, credentials, plan};
use sealock_cluster::etcd::{Endpoint, Endpoints, Etcd, EtcdError, Survey};
use sealock_node::Local;

use super::carry_out::carry_out;
use super::target::{HereArgs, date};
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Take this machine's member out of its cluster, and return the machine to what it was
///
/// The leader moves first, the member is removed, and another member confirms it; only then etcd is stopped. Data and
/// certificates are moved aside with the date in their names, and never deleted.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    here: HereArgs,
    /// Where another member answers, in case this machine's own does not
    #[arg(long = "endpoint", value_name = "URL")]
    endpoints: Vec<String>,
    /// Leave the cluster as it is: it is lost, or does not list this member any more
    #[arg(long)]
    skip_remove_member: bool,
}

pub fn run(args: &ResetArgs, context: &Context) -> Result<()> {
    let (observed, known) = args.here.known()?;
    let others: Vec<Endpoint> =
        args.endpoints.iter().map(|endpoint| endpoint.parse()).collect::<std::result::Result<_, _>>()?;
    let own: Endpoint = known.client_url.parse()?;
    let survey = match args.skip_remove_member || was_begun(&observed, &known)? {
        true => None,
        false => Some(survey((&own, &others), &observed, &known.pki, context)?),
    };
    let when = date();
    let given = plan::Given { observed: &observed, aside: &when, may_set_aside: true };
    let plan = plan::reset(&known, survey.as_ref(), given)?;
    let reach = Reach { others: others_in(survey.as_ref(), others, &own), own, pki: known.pki.clone() };
    let question = format!("Take member {} away from this machine?", known.name);
    carry_out(&plan, &reach, &question, &format!("member {} is gone; its data stays aside", known.name), context)
}

/// Whether a reset was cut off after it had set data and certificates aside: the member was removed before that.
fn was_begun(observed: &Observed, known: &Known) -> Result<bool> {
    let certificates = known.certificates(&Local::new())?;
    Ok(!observed.has_data && certificates.is_empty())
}

/// The cluster, by this machine's member and those that were named; where none of them answers, by those that a reset that was cut
/// off remembered.
fn survey(
    (own, others): (&Endpoint, &[Endpoint]),
    observed: &Observed,
    pki: &str,
    context: &Context,
) -> Result<Survey> {
    let runtime = context.runtime()?;
    let credentials = credentials(&Local::new(), pki)?;
    let ask = |seeds: Vec<Endpoint>| {
        let etcd = Etcd::new(&Endpoints { seeds, credentials: Some(credentials.clone()) })?;
        runtime.block_on(etcd.survey())
    };
    let unreached = |error| {
        CommandError::from(error)
            .hint("Name another member: --endpoint. Where the cluster is lost: --skip-remove-member.")
    };
    match ask(std::iter::once(own).chain(others).cloned().collect()) {
        Err(EtcdError::Silent(_)) if !observed.others.is_empty() => ask(observed.others.clone()).map_err(unreached),
        asked => asked.map_err(unreached),
    }
}

/// All other members, as they were seen.
fn others_in(survey: Option<&Survey>, given: Vec<Endpoint>, own: &Endpoint) -> Vec<Endpoint> {
    let seen = survey.into_iter().flat_map(|survey| &survey.states).filter_map(|state| state.endpoint.clone());
    let mut others: Vec<Endpoint> = given.into_iter().chain(seen).filter(|endpoint| endpoint != own).collect();
    others.sort();
    others.dedup();
    others
}
