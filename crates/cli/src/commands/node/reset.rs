//! `sealock node reset`

use std::path::Path;

use sealock_cluster::etcd::machine as etcd;
use sealock_cluster::machine::plan::{self, EtcdFate};
use sealock_cluster::machine::{MachineError, Means, data_aside, etcd_member};
use sealock_node::facts::{self, Kubernetes};
use sealock_node::step::BY_ITSELF;
use sealock_node::{Local, runner};

use super::super::etcd::date;
use super::carry_out::carry_out;
use crate::context::Context;
use crate::error::Result;

/// Return this machine to what it was before `node prepare`
///
/// Pods end, kubelet and containerd stop, and files, links, units, mounts, rules and kernel settings are given back. If a control plane
/// of several is on it, its etcd member leaves first, and another member confirms it; refused where the others would lose their
/// majority. Refused, too, on a machine that a station drives, and on one with an etcd of its own.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    /// Leave the etcd of the control plane on this machine as it is: it is lost, or has removed this member already. The data of the
    /// member is moved aside, with the date in its name
    #[arg(long)]
    skip_etcd_member: bool,
}

pub fn run(args: &ResetArgs, context: &Context) -> Result<()> {
    let host = Local::new();
    let facts = facts::observe(&host, Path::new(runner::FOLDER))?;
    // Who is refused anyway is not asked about etcd.
    plan::reset(&facts, EtcdFate::Absent)?;
    let own = etcd::observe(&host, super::super::etcd::CONFIG, super::super::etcd::DATA)?;
    if let Some(known) = own.known.filter(|_| !own.changed.is_empty()) {
        return Err(MachineError::OwnEtcd { member: known.name }.into());
    }
    let is_prepared = matches!(&facts.kubernetes, Kubernetes::Sealock(node) if node.cluster == BY_ITSELF);
    let etcd = match (is_prepared, args.skip_etcd_member) {
        (true, true) => data_aside(&host, &date())?.map_or(EtcdFate::Absent, EtcdFate::KeptAside),
        (true, false) => context.runtime()?.block_on(etcd_member(&host))?.map_or(EtcdFate::Absent, EtcdFate::Leaves),
        (false, _) => EtcdFate::Absent,
    };
    let plan = plan::reset(&facts, etcd)?;
    carry_out(&plan, Means::default(), ("Return this machine to what it was?", "this machine is what it was"), context)
}
