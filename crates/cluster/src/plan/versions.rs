//! Which versions of Kubernetes run, and which comes next.

use sealock_node::facts::Kubernetes;
use sealock_store::release::Published;

use super::PlanError;
use crate::inventory::{Inventory, Observation};
use crate::release::{NotInRelease, Program, ReleaseView};
use crate::spec::{Cluster, KubernetesVersion};

/// No node that is complete runs another version than the spec says: what brings it there is an upgrade.
///
/// # Errors
/// [`PlanError::OtherVersion`].
pub(super) fn check_versions(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    let wanted = cluster.spec().kubernetes.version;
    for host in cluster.hosts() {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        let other = of_node(observation).into_iter().find(|found| *found != wanted);
        if let Some(found) = other {
            let (found, wanted) = (found.to_string(), wanted.to_string());
            return Err(PlanError::OtherVersion { host: host.name.to_string(), found, wanted });
        }
    }
    Ok(())
}

/// The oldest version that a program of Kubernetes has on a node of `cluster`.
///
/// # Errors
/// [`PlanError::NotANode`]; [`PlanError::Downgrade`], where one is newer than `wanted`.
pub fn oldest(
    cluster: &Cluster,
    inventory: &Inventory,
    wanted: KubernetesVersion,
) -> Result<KubernetesVersion, PlanError> {
    let mut oldest = wanted;
    for host in cluster.hosts() {
        let name = host.name.to_string();
        let Some(observation) = inventory.hosts.get(&name) else {
            return Err(PlanError::NotObserved { host: name });
        };
        let versions = of_node(observation);
        if versions.is_empty() {
            return Err(PlanError::NotANode { host: name });
        }
        if let Some(found) = versions.iter().find(|found| **found > wanted) {
            return Err(PlanError::Downgrade { host: name, found: found.to_string(), wanted: wanted.to_string() });
        }
        oldest = versions.into_iter().fold(oldest, KubernetesVersion::min);
    }
    Ok(oldest)
}

/// The versions of kubelet and kubeadm on a host that kubeadm is through with; none elsewhere.
fn of_node(observation: &Observation) -> Vec<KubernetesVersion> {
    let is_complete = matches!(&observation.facts.kubernetes, Kubernetes::Sealock(node) if node.complete);
    let programs = [Program::Kubelet, Program::Kubeadm].iter().filter(|_| is_complete);
    programs.filter_map(|program| observation.facts.components.get(program.as_str())?.parse().ok()).collect()
}

/// Where a cluster is, and where it shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The oldest version on a node.
    pub from: KubernetesVersion,
    /// Where an upgrade that was begun leads.
    pub begun: Option<KubernetesVersion>,
    /// What was written down last.
    pub applied: KubernetesVersion,
    /// Where it shall be.
    pub wanted: KubernetesVersion,
}

impl Way {
    /// The versions on the way: no minor version is passed over, and each of them is taken in its newest patch. What was begun is
    /// finished first, unless it led to another patch of the same minor version. What all hosts are already, but was not written
    /// down, counts, too.
    ///
    /// # Errors
    /// The release lacks one of them for `architecture`.
    pub fn hops(self, release: &Published, architecture: &str) -> Result<Vec<KubernetesVersion>, NotInRelease> {
        let Self { from, begun, applied, wanted } = self;
        let begun = begun.filter(|begun| from <= *begun && (*begun == wanted || begun.minor() < wanted.minor()));
        let reached = begun.unwrap_or(from);
        let mut hops: Vec<KubernetesVersion> = begun.into_iter().collect();
        for minor in reached.minor() + 1..wanted.minor() {
            let found = newest_patch(release, minor, architecture).ok_or_else(|| NotInRelease {
                release: release.release.number,
                what: format!(
                    "Kubernetes v1.{minor} for linux/{architecture}, and no minor version may be passed over"
                ),
            })?;
            hops.push(found);
        }
        let is_unwritten = hops.is_empty() && applied != wanted;
        if reached < wanted || is_unwritten {
            hops.push(wanted);
        }
        Ok(hops)
    }
}

/// The newest patch of minor version `minor` whose kubeadm is in the release for `architecture`.
fn newest_patch(release: &Published, minor: u16, architecture: &str) -> Option<KubernetesVersion> {
    let found = ReleaseView::new(release).versions(Program::Kubeadm, architecture);
    found
        .into_iter()
        .filter_map(|tag| tag.parse::<KubernetesVersion>().ok())
        .filter(|found| found.minor() == minor)
        .max()
}
