//! One member of etcd comes back, while the others live.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned};
use crate::execute::{Connection, EtcdMembers};
use crate::plan::{self, LostMember, PlanError};
use crate::spec::{Cluster, Host};

impl Operator<'_> {
    /// The plan that brings the member of the control plane `host` of `cluster` back, or the one for it that was begun and not finished; `when`
    /// tells its data from what went aside before. No host is changed.
    ///
    /// # Errors
    /// There is no such member; it is well, and that was not to be passed over; `QUORUM`, where the others are no majority.
    pub async fn plan_member(
        &self,
        cluster: &Cluster,
        (host, when): (&str, &str),
        even_if_well: bool,
    ) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_nothing_open()?;
        let planes = cluster.planes_only();
        let lost = planes.host(host).ok_or_else(|| PlanError::NoMember { host: host.to_owned() })?;
        if planes.hosts().len() == 1 {
            return Err(PlanError::OnlyMember { host: host.to_owned() }.into());
        }
        let (connections, inventory) = self.look(&planes).await?;
        let open = self.open_plans()?;
        let open = open.into_iter().find(|open| open.spec == planes.digest() && plan::brings_member(open, host));
        if let Some(open) = open {
            open.check_resumable(&inventory)?;
            return self.assess(open, inventory, true, connections).await;
        }
        let (speaker, members) = self.another_member(&planes, lost, &connections).await?;
        let member = members.of(lost);
        if let Some(member) = member {
            if members.is_well(lost) && !even_if_well {
                return Err(PlanError::MemberWell { host: host.to_owned() }.into());
            }
            speaker.etcd_remove(&self.binary.path_there(), &member.id, true).await?;
        }
        let lost = LostMember { host, id: member.map(|member| member.id.as_str()), speaker: speaker.host(), when };
        let site = (self.release, &self.registry());
        let plan = plan::plan_member(&planes, site, lost, &inventory, &self.binary.path_there())?;
        self.assess(plan, inventory, false, connections).await
    }

    /// The first control plane but `lost` whose member answers, and what a majority says there.
    async fn another_member(
        &self,
        planes: &Cluster,
        lost: &Host,
        connections: &[Arc<Connection>],
    ) -> Result<(Arc<Connection>, EtcdMembers), OperatorError> {
        let program = self.binary.path_there();
        for plane in planes.control_planes().filter(|plane| plane.name != lost.name) {
            let Some(connection) = connections.iter().find(|one| one.host() == plane.name.as_str()) else { continue };
            if let Ok(members) = connection.etcd_members(&program).await
                && members.agreed
            {
                return Ok((Arc::clone(connection), members));
            }
        }
        Err(PlanError::EtcdLost.into())
    }
}
