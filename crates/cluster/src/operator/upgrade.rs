//! Brings a cluster to another version of Kubernetes, hop by hop.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use sealock_node::StepKind;
use sealock_node::step::Stage;

use super::{Operator, OperatorError, Planned};
use crate::inventory::Inventory;
use crate::nodes::{self, Rules};
use crate::plan::{self, Behind, Draining, Plan, PlanError, Purpose, Way};
use crate::spec::{Cluster, KubernetesVersion};
use crate::tools;

/// How many nodes are looked at at a time: each costs the station a kubectl.
const LOOKS_AT_ONCE: usize = 8;

/// What leads to the version that was asked for.
#[derive(Debug)]
pub struct Upgrade {
    /// The oldest version on a node now.
    pub from: KubernetesVersion,
    /// The versions that the cluster becomes one after the other; empty where it is there.
    pub hops: Vec<KubernetesVersion>,
    /// Components that are not what the release has; a hop brings them along.
    pub behind: Vec<Behind>,
    /// Whether one was begun and is not finished.
    pub begun: bool,
    /// The plan of the first hop, or the one that was begun and not finished.
    pub next: Option<Planned>,
}

impl Operator<'_> {
    /// What leads from what the hosts of `cluster` are to the version that its spec names. No host is changed.
    ///
    /// # Errors
    /// The spec differs in more than the version; the release lacks a version on the way; etcd is not well; pods would be lost by
    /// emptying a node.
    pub async fn plan_upgrade(&self, cluster: &Cluster, draining: Draining) -> Result<Upgrade, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        self.check_no_member()?;
        self.check_no_adoption()?;
        self.check_no_authorities(None)?;
        let applied = self.check_only_version_differs(cluster)?;
        let (connections, inventory) = self.look(cluster).await?;
        plan::check_alone(cluster, &inventory)?;
        let from = plan::oldest(cluster, &inventory, cluster.spec().kubernetes.version)?;
        let open = self.open_waves()?;
        if let Some(other) = open.as_ref().filter(|open| open.purpose != Purpose::Upgrade) {
            return Err(still_open(other).into());
        }
        let behind = plan::behind(cluster, &inventory, self.release);
        let begun = open.as_ref().and_then(|open| open.kubernetes.parse().ok());
        let way = Way { from, begun, applied, wanted: cluster.spec().kubernetes.version };
        let hops = way.hops(self.release, architecture(&inventory)).map_err(PlanError::from)?;
        let Some(first) = hops.first() else { return Ok(Upgrade { from, hops, behind, begun: false, next: None }) };
        let fresh = self.hop(&cluster.with_version(*first), draining, open.as_ref(), &inventory).await?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        if open.is_none() {
            self.check_etcd_for_upgrade(cluster, &plan, &connections).await?;
        }
        let planned = self.assess(plan, inventory, resumed, connections).await?;
        Ok(Upgrade { from, hops, behind, begun: open.is_some(), next: Some(planned) })
    }

    /// The upgrade, of Kubernetes or of components, that was begun and not finished.
    pub(super) fn open_waves(&self) -> Result<Option<Plan>, OperatorError> {
        Ok(self.open_plans()?.into_iter().find(|plan| plan.purpose.goes_by_waves()))
    }

    /// While an upgrade, a restore, a change of authorities or an adoption is under way, nothing else is planned.
    ///
    /// # Errors
    /// What is under way, with the way on; a file of the station.
    pub fn check_nothing_open(&self) -> Result<(), OperatorError> {
        self.check_nothing_open_but(None)
    }

    /// The same, but for a change of authorities to this stage.
    pub(super) fn check_nothing_open_but(&self, stage: Option<Stage>) -> Result<(), OperatorError> {
        self.check_no_member()?;
        self.check_nothing_else_open(stage)
    }

    /// The same, but for members of etcd that are being brought back.
    pub(super) fn check_nothing_else_open(&self, stage: Option<Stage>) -> Result<(), OperatorError> {
        self.check_no_restore()?;
        self.check_no_authorities(stage)?;
        self.check_no_adoption()?;
        self.open_upgrade()?.map_or(Ok(()), |open| Err(open.into()))
    }

    /// What an upgrade that was begun and not finished, of Kubernetes or of components, has to say to whatever else is wanted.
    ///
    /// # Errors
    /// A file of the station.
    pub fn open_upgrade(&self) -> Result<Option<PlanError>, OperatorError> {
        Ok(self.open_waves()?.as_ref().map(still_open))
    }

    /// What was applied last is this spec, but for the version: that one.
    pub(super) fn check_only_version_differs(&self, cluster: &Cluster) -> Result<KubernetesVersion, OperatorError> {
        let Some(applied) = self.applied()? else {
            return Err(OperatorError::NoCluster { folder: self.folder.clone() });
        };
        let version = applied.kubernetes.parse().ok();
        let same = version.filter(|version| cluster.with_version(*version).digest() == applied.spec);
        Ok(same.ok_or(PlanError::OtherSpec)?)
    }

    async fn hop(
        &self,
        cluster: &Cluster,
        mut draining: Draining,
        open: Option<&Plan>,
        inventory: &Inventory,
    ) -> Result<Plan, OperatorError> {
        let toolbox = self.toolbox();
        let images = tools::kubernetes_images(&toolbox, cluster)?;
        let all = cluster.hosts().iter().map(|host| host.name.to_string()).collect();
        draining.since = self.kept_under(open)?;
        if let Some(open) = open {
            draining.away = self.away(cluster, open).await;
        }
        draining.cordoned = self.check_drains(cluster, &all, &draining, open).await?;
        let (ground, speaker) = (self.ground(images)?, open.map_or("", |open| &open.speaker));
        Ok(plan::plan_upgrade(&ground.intent(cluster, speaker), &draining, inventory)?)
    }

    /// Whether each of `nodes` can be emptied, before the first one is, but those that an upgrade was begun with: some of them are empty, the
    /// API may be away, and each drain looks for itself. Who takes no new pods now goes on like that; where an upgrade was begun, who
    /// took none before it.
    pub(super) async fn check_drains(
        &self,
        cluster: &Cluster,
        nodes: &BTreeSet<String>,
        draining: &Draining,
        open: Option<&Plan>,
    ) -> Result<BTreeSet<String>, OperatorError> {
        if cluster.hosts().len() == 1 {
            return Ok(BTreeSet::new());
        }
        let reach = self.reach(cluster.name().as_str(), cluster.spec().kubernetes.version.to_string());
        let target = reach.target();
        let rules = Rules { force: draining.force, delete_emptydir_data: draining.delete_emptydir_data };
        let looks = nodes.iter().map(async |node| match open.and_then(|open| took_none(open, node)) {
            Some(before) => Ok((node, before)),
            None => {
                nodes::look(node, rules, &target).await?;
                Ok::<_, OperatorError>((node, nodes::is_cordoned(node, &target).await?))
            }
        });
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        Ok(looks.into_iter().filter(|(_, takes_none)| *takes_none).map(|(node, _)| node.clone()).collect())
    }
}

/// What `open`, which goes by waves, has to say to whatever else is wanted.
pub(super) fn still_open(open: &Plan) -> PlanError {
    match open.purpose {
        Purpose::Components => PlanError::ComponentsOpen,
        Purpose::OsPackages => PlanError::OsPackagesOpen,
        _ => PlanError::UpgradeOpen { version: open.kubernetes.clone() },
    }
}

fn architecture(inventory: &Inventory) -> &str {
    inventory.hosts.values().map(|one| one.facts.architecture.as_str()).next().unwrap_or("amd64")
}

/// Whether `node` took no new pods before the upgrade in `open`, which does not let them come at its end then; nothing where that upgrade
/// does not empty it.
pub(super) fn took_none(open: &Plan, node: &str) -> Option<bool> {
    let steps = || open.tasks.iter().flat_map(|task| &task.steps).map(|step| &step.action);
    let is_emptied = steps().any(|step| matches!(step, StepKind::Drained(step) if step.node == node));
    let returns = steps().any(|step| matches!(step, StepKind::Uncordoned(step) if step.node == node));
    is_emptied.then_some(!returns)
}

/// Whether `open` lets new pods come to `node` at its end.
pub(super) fn returns(open: &Plan, node: &str) -> bool {
    let mut steps = open.tasks.iter().flat_map(|task| &task.steps);
    steps.any(|step| matches!(&step.action, StepKind::Uncordoned(step) if step.node == node))
}
