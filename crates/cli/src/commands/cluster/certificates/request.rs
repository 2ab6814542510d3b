//! `sealock cluster certificates request`

use std::path::PathBuf;

use sealock_cluster::operator::{PassedOver, Requested};
use serde::Serialize;

use super::super::carry_out::{carry_out, digest, review};
use super::super::plan::show;
use super::super::running::check_host;
use super::super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::Table;

/// Have hosts make keys and requests for certificates that your PKI signs, and bring the requests here
///
/// For a cluster whose authorities keep their keys elsewhere (`spec.pki.external`). Keys are made on the hosts, and stay there; requests go to the
/// folder of the spec, with a list of what each certificate has to be. Hosts that are no nodes yet are made ready for Kubernetes first; where
/// all are, every host makes new ones, and what is in use stays in use. Once the certificates lie beside the requests, `cluster apply`, `add`,
/// `renew`, `rescue` and `restore` lay them down. What a host may not have is refused, and not written. Of a cluster that runs, a host that
/// does not answer is passed over and named.
#[derive(Debug, clap::Args)]
pub struct RequestArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Only on this host; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
}

/// What was asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    cluster: String,
    plan: sealock_trust::Digest,
    /// Steps that changed something.
    changed: usize,
    folder: PathBuf,
    requests: &'a [Requested],
    /// Hosts that were not asked, and what to do about each.
    #[serde(skip_serializing_if = "<[PassedOver]>::is_empty")]
    passed_over: &'a [PassedOver],
}

pub fn run(args: &RequestArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    for host in &args.hosts {
        check_host(&target.cluster, host, &args.target.file)?;
    }
    let operator = target.operator();
    let planned = context.runtime()?.block_on(operator.plan_requests(&target.cluster, &args.hosts))?;
    target.check_mirrors(&planned, context)?;
    if context.dry_run {
        return show(&planned, context);
    }
    review(&planned, "Make these keys and requests?", context)?;
    let operator = target.operator_now(context)?;
    let applied = carry_out(&operator, &planned, context)?;
    let requests = context.runtime()?.block_on(operator.collect_requests(&target.cluster, &planned))?;
    let folder = target.cluster.external_pki().map(|pki| target.cluster.file(&pki.requests)).unwrap_or_default();
    let cluster = target.cluster.name().to_string();
    let (plan, changed) = (digest(&planned)?, applied.changed);
    let (requests, passed_over) = (requests.as_slice(), planned.passed_over.as_slice());
    let outcome = Outcome { cluster, plan, changed, folder, requests, passed_over };
    context.ui.result(&outcome, table(requests))?;
    let place = outcome.folder.display();
    let are = if requests.len() == 1 { "1 request is".to_owned() } else { format!("{} requests are", requests.len()) };
    context.ui.done(format_args!("{are} in {place}: {place}/requests.json says what each is to be"));
    context.ui.note("Have them signed, and put each certificate beside its request.");
    Ok(())
}

fn table(requests: &[Requested]) -> Table {
    let mut table = Table::new(["request", "certificate", "to be signed by", "subject", "names", "usages"]);
    for one in requests {
        let organizations = one.organizations.iter().map(|organization| format!("O={organization}, "));
        let subject = format!("{}CN={}", organizations.collect::<String>(), one.name);
        let cells =
            [&one.request, &one.certificate, &one.authority, &subject, &one.names.join(" "), &one.usages.join(" ")];
        table.row(cells.map(ToString::to_string));
    }
    table
}
