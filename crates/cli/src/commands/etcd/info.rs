//! `sealock etcd info`

use jiff::Timestamp;
use sealock_cluster::etcd::machine::{Known, Supervision};
use sealock_node::Local;
use sealock_node::certificates::Facts;
use serde::Serialize;

use super::target::HereArgs;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Table, facts};

/// Show this machine's member: where everything is, and when its certificates end
///
/// Reads this machine only; `etcd status` asks the cluster.
#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    #[command(flatten)]
    here: HereArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    name: String,
    client_url: String,
    peer_url: String,
    config: String,
    data: String,
    has_data: bool,
    certs: String,
    run_by: &'static str,
    certificates: Vec<Certificate>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    file: String,
    #[serde(flatten)]
    facts: Facts,
    days_left: i64,
}

pub fn run(args: &InfoArgs, context: &Context) -> Result<()> {
    let (observed, known) = args.here.known()?;
    let run_by = match observed.supervision {
        Supervision::Systemd { .. } => "systemd",
        Supervision::StaticPod { .. } => "static-pod",
        Supervision::Other => "other",
    };
    let info = Info {
        name: known.name.clone(),
        client_url: known.client_url.clone(),
        peer_url: known.peer_url.clone(),
        config: args.here.etcd_config.clone(),
        data: known.data.clone(),
        has_data: observed.has_data,
        certs: known.pki.clone(),
        run_by,
        certificates: certificates(&known)?,
    };
    context.ui.result(&info, text(&info))
}

fn certificates(known: &Known) -> Result<Vec<Certificate>> {
    let now = Timestamp::now();
    let with_days = |(file, facts): (String, Facts)| Certificate { file, days_left: facts.days_left(now), facts };
    Ok(known.certificates(&Local::new())?.into_iter().map(with_days).collect())
}

fn text(info: &Info) -> String {
    let data = if info.has_data { info.data.clone() } else { format!("{} (empty)", info.data) };
    let mut text = facts([
        ("member", info.name.clone()),
        ("clients", info.client_url.clone()),
        ("peers", info.peer_url.clone()),
        ("config", info.config.clone()),
        ("data", data),
        ("certificates", info.certs.clone()),
        ("run by", info.run_by.to_owned()),
    ]);
    let mut table = Table::new(["certificate", "issuer", "serial", "ends", "days left"]);
    for one in &info.certificates {
        let ends = one.facts.not_after.strftime("%Y-%m-%d").to_string();
        let serial = one.facts.serial.clone();
        table.row([one.file.clone(), one.facts.issuer.clone(), serial, ends, one.days_left.to_string()]);
    }
    text.push_str(&format!("\n{table}"));
    text
}
