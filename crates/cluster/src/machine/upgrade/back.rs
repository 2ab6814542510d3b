//! A machine that failed in an upgrade becomes again what it was, where that can be had on the machine alone.

use sealock_node::host::{Host, read_text};
use sealock_node::step::{NodeReady, TakenBack, Uncordoned, kept_file};
use sealock_node::{Step, StepKind};

use super::super::error::MachineError;
use super::super::member::{MANIFEST, own_survey};
use super::super::plan::{MachinePlan, Purpose};
use super::begun::BegunUpgrade;
use super::error::UpgradeError;
use super::plan::KEPT;
use crate::plan::waves::READY_SECONDS;
use crate::plan::{etcd_minor, shows_older};

/// Whether `upgrade` failed at `step` because of what the node has become: between what is kept of it and its being given back.
pub fn is_of_the_node(upgrade: &MachinePlan, step: &str) -> bool {
    let place = |is_it: &dyn Fn(&Step) -> bool| upgrade.steps.iter().position(is_it);
    let (Some(failed), Some(kept)) = (place(&|one| one.id == step), place(&|one| one.id == KEPT)) else { return false };
    let of_the_cluster =
        |one: &Step| matches!(&one.action, StepKind::KubeadmPhase(phase) if phase.phase == "addon all");
    let end = place(&of_the_cluster).unwrap_or(upgrade.steps.len());
    let is_emptying = matches!(upgrade.steps[failed].action, StepKind::Drained(_) | StepKind::Uncordoned(_));
    (kept + 1..end).contains(&failed) && !is_emptying
}

/// Whether the node may go back: an etcd does not start from data of a newer minor version, once the last member has raised it. One that
/// answers and runs the older version proves that it was not raised.
///
/// # Errors
/// [`UpgradeError::EtcdRaised`]; what is kept cannot be read.
pub async fn check_goes_back(host: &dyn Host, begun: &BegunUpgrade) -> Result<(), MachineError> {
    let kept = kept_file(host, &begun.since, MANIFEST)?;
    let Some(older) = kept.as_deref().and_then(minor_in) else { return Ok(()) };
    // Nothing of a newer one has touched the data.
    if read_text(host, MANIFEST)?.as_deref().and_then(minor_in).is_some_and(|minor| minor <= older) {
        return Ok(());
    }
    let survey = own_survey(host).await.ok();
    let states = survey.iter().flat_map(|survey| &survey.states);
    let versions = states.filter_map(|state| Some(state.status.as_ref()?.version.as_str()));
    shows_older(versions, older).map_err(|runs| {
        let dotted = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        UpgradeError::EtcdRaised { runs: runs.map(dotted), older: dotted(older) }.into()
    })
}

/// What puts the node back that `upgrade` has changed, and gives it back.
pub fn back(begun: &BegunUpgrade, upgrade: &MachinePlan) -> MachinePlan {
    let mut steps = vec![Step::new("back", TakenBack { since: begun.since.clone() })];
    let ready = NodeReady {
        node: begun.node.clone(),
        control_plane: begun.control_plane.is_some(),
        version: Some(begun.from.to_string()),
        containerd: None,
        lately: true,
        timeout_seconds: READY_SECONDS,
    };
    steps.push(Step::new("ready", ready));
    if !begun.alone && !begun.cordoned {
        steps.push(Step::new("uncordon", Uncordoned { node: begun.node.clone() }));
    }
    MachinePlan {
        purpose: Purpose::TakeBack,
        kubernetes: Some(begun.from.to_string()),
        steps,
        warnings: Vec::new(),
        ..upgrade.clone()
    }
}

/// The minor version of the etcd that a manifest starts, as kubeadm writes it.
fn minor_in(manifest: &str) -> Option<(u32, u32)> {
    let image = manifest.lines().find_map(|line| line.trim_start().strip_prefix("image: "))?;
    etcd_minor(image.rsplit_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_of_etcd_is_that_of_its_manifest() {
        let manifest = "spec:\n  containers:\n  - command:\n    - etcd\n    image: registry.k8s.io/etcd:3.6.8-0\n";
        assert_eq!(minor_in(manifest), Some((3, 6)));
        assert_eq!(minor_in("spec: {}"), None);
    }
}
