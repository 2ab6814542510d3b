//! Brings components to the nodes of a cluster whose Kubernetes stays: containerd, runc and the CNI plugins.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::upgrade::{returns, still_open};
use super::{Operator, OperatorError, Planned};
use crate::execute::{self, Connection};
use crate::plan::{self, Behind, Draining, Plan, PlanError, Purpose, Task};
use crate::spec::Cluster;
use crate::tools;

/// What brings the components of nodes to what the release has.
#[derive(Debug)]
pub struct Components {
    /// What is not as the release has it.
    pub behind: Vec<Behind>,
    /// The plan, or the one that was begun and not finished; nothing where all is as the release has it.
    pub next: Option<Planned>,
}

impl Operator<'_> {
    /// What brings the components of the nodes of `cluster` to what the release has. No host is changed.
    ///
    /// # Errors
    /// The spec differs from what was applied; a host is no node; the release lacks something; an upgrade of Kubernetes was begun; etcd is
    /// not well; pods would be lost by emptying a node.
    pub async fn plan_components(
        &self,
        cluster: &Cluster,
        mut draining: Draining,
    ) -> Result<Components, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        self.check_no_member()?;
        self.check_no_adoption()?;
        self.check_no_authorities(None)?;
        let open = self.open_waves()?;
        if let Some(other) = open.as_ref().filter(|open| open.purpose != Purpose::Components) {
            return Err(still_open(other).into());
        }
        let (runs, wanted) = (self.check_only_version_differs(cluster)?, cluster.spec().kubernetes.version);
        if runs != wanted {
            let (runs, wanted) = (runs.to_string(), wanted.to_string());
            return Err(PlanError::ComponentsAlone { runs, wanted }.into());
        }
        let (connections, inventory) = self.look(cluster).await?;
        plan::check_nodes(cluster, &inventory)?;
        let behind = plan::behind(cluster, &inventory, self.release);
        let mut hosts: BTreeSet<String> = behind.iter().map(|one| one.host.clone()).collect();
        if open.is_none() && hosts.is_empty() {
            return Ok(Components { behind, next: None });
        }
        let images = tools::kubernetes_images(&self.toolbox(), cluster)?;
        let (ground, speaker) = (self.ground(images)?, open.as_ref().map_or("", |open| &open.speaker));
        let intent = ground.intent(cluster, speaker);
        if let Some(open) = &open {
            hosts.extend(plan::changes(open).map(|task| task.host.clone()).filter(|host| cluster.host(host).is_some()));
            let all = plan::plan_components(&intent, &draining, &hosts, &inventory)?;
            (hosts, draining.away) = self.not_through(cluster, (&all, open), &connections).await?;
        }
        draining.cordoned = self.check_drains(cluster, &hosts, &draining, open.as_ref()).await?;
        // Not before: a host that is as the release has it is through, whether it keeps what it was or not.
        draining.since = self.kept_under(open.as_ref())?;
        let fresh = plan::plan_components(&intent, &draining, &hosts, &inventory)?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        if open.is_none() {
            self.check_all_well(cluster, &plan, &connections).await?;
        }
        let planned = self.assess(plan, inventory, resumed, connections).await?;
        Ok(Components { behind, next: Some(planned) })
    }

    /// Hosts of `all` that are not what it makes of them, or were not given back since `open` emptied them; and which of them are away. A
    /// node that is through is not emptied once more, nor one that `open` has not come to and that is as the release has it now. Who was
    /// given back was looked at before.
    async fn not_through(
        &self,
        cluster: &Cluster,
        (all, open): (&Plan, &Plan),
        connections: &[Arc<Connection>],
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), OperatorError> {
        let changes = Plan { tasks: plan::changes(all).cloned().collect(), ..all.clone() };
        let assessment = execute::assess(connections, &self.kit()?, &changes).await?;
        let mut away = self.away(cluster, open).await;
        away.retain(|host| changes.tasks.iter().any(|task| task.host == *host));
        let counts = |task: &&Task| plan::is_change(task) || !returns(open, &task.host);
        let undone = changes.tasks.iter().filter(counts).filter(|task| !assessment.is_done(task));
        let left = undone.map(|task| task.host.clone()).chain(away.iter().cloned()).collect();
        Ok((left, away))
    }
}
