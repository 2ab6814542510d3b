//! `sealock node status`

use std::path::Path;

use jiff::Timestamp;
use sealock_cluster::machine::{self, Status};
use sealock_node::facts::Kubernetes;
use sealock_node::step::belongs_to;
use sealock_node::{Local, runner};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::{Table, facts, short};

/// Show what stands on this machine, and where it is not what was left
///
/// Versions of the programs, units, images and their pins, how far kubeadm has come, and when certificates end. Exit code 1 where
/// something is not what Sealock left, or a run was cut off; `sealock node prepare` repairs it.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {}

pub fn run(_args: &StatusArgs, context: &Context) -> Result<()> {
    let status = machine::status(&Local::new(), Path::new(runner::FOLDER))?;
    context.ui.result(&status, text(&status, Timestamp::now()))?;
    let again = "`sealock node prepare` with the same flags puts it right.";
    match status.differences.len() {
        0 if status.unfinished => Err(CommandError::failed("a run was cut off").hint(again)),
        0 => Ok(()),
        1 => Err(CommandError::failed("one thing is not what Sealock left").hint(again)),
        count => Err(CommandError::failed(format!("{count} things are not what Sealock left")).hint(again)),
    }
}

fn text(status: &Status, now: Timestamp) -> String {
    let mut lines = vec![("machine", status.machine.clone()), ("kubernetes", whose(&status.kubernetes))];
    let state =
        |name: &str| status.units.get(name).map_or("-", |unit| if unit.active { "runs" } else { "does not run" });
    lines.push(("containerd", state("containerd.service").to_owned()));
    lines.push(("kubelet", state("kubelet.service").to_owned()));
    let mut text = facts(lines);
    let mut components = Table::new(["program", "version"]);
    for (name, version) in &status.components {
        components.row([name.clone(), version.clone()]);
    }
    let mut images = Table::new(["image", "digest", "pinned"]);
    for image in status.images.iter().flatten() {
        let pinned = if image.pinned { "yes" } else { "no" };
        images.row([image.name.clone(), short(&image.digest), pinned.to_owned()]);
    }
    let mut certificates = Table::new(["certificate", "ends", "days left"]);
    for certificate in &status.certificates {
        let days = certificate.not_after.duration_since(now).as_secs().div_euclid(24 * 3600);
        certificates.row([certificate.path.clone(), certificate.not_after.to_string(), days.to_string()]);
    }
    let held = status.images.as_ref().is_some_and(|images| !images.is_empty());
    let tables =
        [(!status.components.is_empty(), components), (held, images), (!status.certificates.is_empty(), certificates)];
    for (_, table) in tables.into_iter().filter(|(is_there, _)| *is_there) {
        text.push_str(&format!("\n\n{table}"));
    }
    for difference in &status.differences {
        text.push_str(&format!("\n  !  {difference}"));
    }
    text
}

fn whose(kubernetes: &Kubernetes) -> String {
    match kubernetes {
        Kubernetes::None => "none: this machine is free".to_owned(),
        Kubernetes::Foreign { evidence } => format!("not Sealock's: {}", evidence.join(", ")),
        Kubernetes::Sealock(node) => {
            let state = match (node.joined, node.control_plane) {
                (true, true) => "a control plane",
                (true, false) => "a node",
                (false, _) => "no node yet",
            };
            format!("{state}; {}", belongs_to(&node.cluster))
        }
    }
}
