//! With what an upgrade was begun (docs/formats/node-upgrade.md).

use ipnet::Ipv4Net;
use sealock_node::changes::{Changes, Subject};
use sealock_node::host::{self, Host};
use sealock_node::step::{File, Mode, is_kept};
use sealock_node::{Step, StepError};
use sealock_trust::format;
use sealock_trust::json::{Limits, jcs};
use serde::{Deserialize, Serialize};

use super::super::error::MachineError;
use super::asked::version_of;
use super::error::UpgradeError;
use super::plan::Goal;
use crate::spec::{KubernetesVersion, Name};

const PATH: &str = "/var/lib/sealock/node/upgrade.json";

/// What was asked of the cluster before an upgrade of this machine changed anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BegunUpgrade {
    /// `node-upgrade/1.0`.
    pub format: String,
    /// The name under which is kept what the machine was: its version, and when it was asked.
    pub since: String,
    /// The cluster.
    pub cluster: Name,
    /// What the cluster calls the machine.
    pub node: String,
    /// What ran here.
    pub from: KubernetesVersion,
    /// What is to run here.
    pub to: KubernetesVersion,
    /// Whether only what is below Kubernetes becomes another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub components: bool,
    /// Whether there is no other node: then there is no place for what runs here, and it stays.
    pub alone: bool,
    /// Whether the node took no new pods before.
    pub cordoned: bool,
    /// The addresses of Services.
    pub services: Ipv4Net,
    /// The domain of the cluster's own names.
    pub dns_domain: String,
    /// Whether the machine has a route to these addresses: then they are looked at from it.
    pub routed: bool,
    /// The image of the kube-proxy on this node, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_proxy: Option<String>,
    /// Where a control plane is here: which of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<Plane>,
}

/// A control plane among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plane {
    /// No other one is what this one becomes.
    pub first: bool,
    /// All others are it already.
    pub last: bool,
    /// Whether the cluster has kubeadm's CoreDNS.
    pub coredns: bool,
}

impl BegunUpgrade {
    /// What `bytes`, canonical JSON, say.
    ///
    /// # Errors
    /// Another format or version; no such document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, UpgradeError> {
        let read = format::read(bytes, &Limits::DOCUMENT, format::NODE_UPGRADE, |begun: &Self| &begun.format);
        read.map_err(|error| error.either(UpgradeError::Unreadable, UpgradeError::Format))
    }

    /// The upgrade that was begun on `host` and leads to `goal`; nothing where there is none, or where it has changed nothing yet.
    ///
    /// # Errors
    /// [`UpgradeError::Other`], where another one has changed something already.
    pub fn load(host: &dyn Host, goal: Goal) -> Result<Option<Self>, MachineError> {
        let Some(begun) = Self::last(host)? else { return Ok(None) };
        if !is_kept(host, &begun.since)? {
            return Ok(None);
        }
        if begun.goal() != goal {
            return Err(UpgradeError::Other { begun: begun.goal() }.into());
        }
        Ok(Some(begun))
    }

    /// The one that was begun on `host` and did not get to its end: it is forgotten there.
    fn last(host: &dyn Host) -> Result<Option<Self>, MachineError> {
        let Some(bytes) = host::read(host, PATH, 64 << 10)? else { return Ok(None) };
        Ok(Some(Self::from_json(&bytes)?))
    }

    /// The same, where one before it did not get to its end: that one, or its way back, may have left the node without new pods, which is
    /// nobody's wish then.
    ///
    /// # Errors
    /// What that one was begun with cannot be read.
    pub fn after_last(mut self, host: &dyn Host) -> Result<Self, MachineError> {
        if let Some(last) = Self::last(host)?.filter(|last| last.node == self.node) {
            self.cordoned &= last.cordoned;
        }
        Ok(self)
    }

    /// Where it leads.
    pub fn goal(&self) -> Goal {
        if self.components { Goal::Components } else { Goal::Kubernetes(self.to) }
    }

    /// Whether the node itself is what it is to be.
    pub fn is_there(&self) -> bool {
        !self.components && self.from == self.to
    }

    /// Whether the node is what it is to be, as all control planes are, and what the last of them brings is not: as where the one that was to be
    /// the last is lost.
    pub fn lacks_add_ons(&self) -> bool {
        let proxy = self.kube_proxy.as_deref().and_then(version_of);
        let is_last = self.control_plane.is_some_and(|plane| plane.last);
        self.is_there() && is_last && proxy.is_some_and(|proxy| proxy < self.to)
    }

    /// The step that keeps it.
    pub(super) fn step(&self) -> Result<Step, UpgradeError> {
        let text = jcs::to_vec(self).map_err(UpgradeError::Unreadable)?;
        let content = String::from_utf8_lossy(&text).into_owned();
        Ok(Step::new("begun", File { path: PATH.into(), content, mode: Mode::PRIVATE, replaces: None }))
    }
}

/// Nothing is begun any more.
pub(in super::super) fn forget(host: &dyn Host) -> Result<(), StepError> {
    Changes::load(host).and_then(|mut changes| changes.undo(host, &Subject::File { path: PATH.into() }))?;
    Ok(())
}

/// Whether it is the step that keeps what was asked.
pub(super) fn is_it(step: &Step) -> bool {
    step.id == "begun"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_read_again_as_it_was_written() {
        let begun = BegunUpgrade {
            format: format::NODE_UPGRADE.current.into(),
            since: "v1.36.3, asked 2026-11-27T10:00:00Z".into(),
            cluster: "plant-7".parse().unwrap(),
            node: "cp1".into(),
            from: "v1.36.3".parse().unwrap(),
            to: "v1.37.2".parse().unwrap(),
            components: false,
            alone: false,
            cordoned: false,
            services: "10.96.0.0/12".parse().unwrap(),
            dns_domain: "cluster.local".into(),
            routed: true,
            kube_proxy: None,
            control_plane: Some(Plane { first: true, last: true, coredns: true }),
        };
        let sealock_node::StepKind::File(file) = begun.step().unwrap().action else { panic!("a file") };
        assert_eq!(BegunUpgrade::from_json(file.content.as_bytes()).unwrap(), begun);
        let newer = file.content.replace("node-upgrade/1.0", "node-upgrade/2.0");
        assert!(matches!(BegunUpgrade::from_json(newer.as_bytes()), Err(UpgradeError::Format(_))));
    }
}
