//! `sealock cluster`

pub mod add;
pub mod adopt;
mod adopt_draft;
mod ansible_inventory;
pub mod apply;
mod authorities;
pub mod backup;
mod carry_out;
pub mod certificates;
mod components;
pub mod cordon;
pub mod diff;
pub mod drain;
pub mod drill;
pub mod hosts;
mod known_hosts;
pub mod kubeconfig;
pub mod patch_os;
mod phase;
pub mod plan;
mod progress;
pub mod remove;
pub mod renew;
pub mod rescue;
pub mod reset;
pub mod restore;
mod restore_member;
pub mod rollback;
pub mod running;
pub mod status;
mod taking_back;
pub mod target;
pub mod uncordon;
pub mod upgrade;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum ClusterCommand {
    Hosts(hosts::HostsArgs),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Adopt(adopt::AdoptArgs),
    Status(status::StatusArgs),
    Diff(diff::DiffArgs),
    Certificates(certificates::CertificatesArgs),
    Renew(renew::RenewArgs),
    Rescue(rescue::RescueArgs),
    Upgrade(upgrade::UpgradeArgs),
    PatchOs(patch_os::PatchOsArgs),
    Rollback(rollback::RollbackArgs),
    Cordon(cordon::CordonArgs),
    Drain(drain::DrainArgs),
    Uncordon(uncordon::UncordonArgs),
    Add(add::AddArgs),
    Remove(remove::RemoveArgs),
    Backup(backup::BackupArgs),
    Drill(drill::DrillArgs),
    Restore(restore::RestoreArgs),
    Reset(reset::ResetArgs),
    Kubeconfig(kubeconfig::KubeconfigArgs),
}

pub fn run(command: &ClusterCommand, context: &Context) -> Result<()> {
    match command {
        ClusterCommand::Hosts(args) => hosts::run(args, context),
        ClusterCommand::Plan(args) => plan::run(args, context),
        ClusterCommand::Apply(args) => apply::run(args, context),
        ClusterCommand::Adopt(args) => adopt::run(args, context),
        ClusterCommand::Status(args) => status::run(args, context),
        ClusterCommand::Diff(args) => diff::run(args, context),
        ClusterCommand::Certificates(args) => certificates::run(args, context),
        ClusterCommand::Renew(args) => renew::run(args, context),
        ClusterCommand::Rescue(args) => rescue::run(args, context),
        ClusterCommand::Upgrade(args) => upgrade::run(args, context),
        ClusterCommand::PatchOs(args) => patch_os::run(args, context),
        ClusterCommand::Rollback(args) => rollback::run(args, context),
        ClusterCommand::Cordon(args) => cordon::run(args, context),
        ClusterCommand::Drain(args) => drain::run(args, context),
        ClusterCommand::Uncordon(args) => uncordon::run(args, context),
        ClusterCommand::Add(args) => add::run(args, context),
        ClusterCommand::Remove(args) => remove::run(args, context),
        ClusterCommand::Backup(args) => backup::run(args, context),
        ClusterCommand::Drill(args) => drill::run(args, context),
        ClusterCommand::Restore(args) => restore::run(args, context),
        ClusterCommand::Reset(args) => reset::run(args, context),
        ClusterCommand::Kubeconfig(args) => kubeconfig::run(args, context),
    }
}
