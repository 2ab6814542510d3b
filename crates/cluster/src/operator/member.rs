//! One member of etcd comes back, while the others live.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned};
use crate::execute::{Connection, EtcdMembers};
use crate::inventory::Inventory;
use crate::plan::{self, LostMember, MemberError, Plan, PlanError};
use crate::spec::{Cluster, Host};

impl Operator<'_> {
    /// The plan that brings the member of the control plane `host` of `cluster` back, or the one for it that was begun and not finished; `when`
    /// tells its data from what went aside before. Nothing where it is well, unless it is to come all the same. No host is changed.
    ///
    /// # Errors
    /// There is no such member; `QUORUM`, where the others are no majority, or another one is coming; it serves, and holds something else.
    pub async fn plan_member(
        &self,
        cluster: &Cluster,
        (host, when): (&str, &str),
        even_if_well: bool,
    ) -> Result<Option<Planned>, OperatorError> {
        self.check_site(cluster)?;
        self.check_nothing_open_but_member(host)?;
        let planes = cluster.planes_only();
        let lost = lost_plane(&planes, host).map_err(PlanError::from)?;
        let (connections, inventory) = self.look(&planes).await?;
        let (speaker, members) = self.another_member(&planes, lost, &connections).await?;
        let open = self.open_plans()?.into_iter().find(|open| open.spec == planes.digest() && brings(open, host));
        if let Some(open) = open {
            open.check_resumable(&inventory)?;
            let planned = self.assess(open, inventory.clone(), true, connections.clone()).await?;
            if still_fits(&planned, lost, &members) {
                return Ok(Some(planned));
            }
        }
        let member = members.of(lost);
        if members.is_well(lost) && !even_if_well {
            self.check_same(lost, (&speaker, &members)).await?;
            return Ok(None);
        }
        if let Some(other) = members.learner_but(lost) {
            return Err(PlanError::from(MemberError::Learner { member: other.to_owned() }).into());
        }
        if let Some(member) = member {
            speaker.etcd_remove(&self.binary.path_there(), &member.id, true).await?;
        }
        let lost = LostMember { host, id: member.map(|member| member.id.as_str()), speaker: speaker.host(), when };
        self.member_plan(&planes, lost, inventory, connections).await.map(Some)
    }

    async fn member_plan(
        &self,
        planes: &Cluster,
        lost: LostMember<'_>,
        inventory: Inventory,
        connections: Vec<Arc<Connection>>,
    ) -> Result<Planned, OperatorError> {
        let site = (self.release, &self.registry());
        let plan = plan::plan_member(planes, site, lost, &inventory, &self.binary.path_there())?;
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
        Err(PlanError::from(MemberError::NoMajority).into())
    }

    /// A member that serves and has raised no alarm may hold something else all the same. Where another one does not serve, there is nothing to
    /// compare, and it is that one that is to be brought back.
    async fn check_same(
        &self,
        lost: &Host,
        (speaker, members): (&Connection, &EtcdMembers),
    ) -> Result<(), OperatorError> {
        if !members.well {
            return Ok(());
        }
        match speaker.etcd_differs(&self.binary.path_there()).await? {
            None => Ok(()),
            Some(said) => Err(PlanError::from(MemberError::Differ { host: lost.name.to_string(), said }).into()),
        }
    }

    /// Where a member is away that was to come back, nothing else is planned: kubeadm would begin an etcd anew on the host where the cluster began.
    ///
    /// # Errors
    /// [`MemberError::Open`]; a file of the station.
    pub(super) fn check_no_member(&self, but: Option<&str>) -> Result<(), OperatorError> {
        let open = self.open_plans()?;
        let mut open = open.iter().filter_map(plan::member_of).map(|open| open.host);
        match open.find(|host| Some(*host) != but) {
            Some(host) => Err(PlanError::from(MemberError::Open { host: host.to_owned() }).into()),
            None => Ok(()),
        }
    }
}

/// The control plane `host` among `planes`, whose members are on them and not elsewhere.
fn lost_plane<'a>(planes: &'a Cluster, host: &str) -> Result<&'a Host, MemberError> {
    let named = || host.to_owned();
    let lost = planes.host(host).ok_or_else(|| MemberError::NoPlane { host: named() })?;
    if planes.external_etcd().is_some() {
        return Err(MemberError::External { cluster: planes.name().to_string(), host: named() });
    }
    if planes.hosts().len() == 1 {
        return Err(MemberError::Only { host: named() });
    }
    Ok(lost)
}

fn brings(open: &Plan, host: &str) -> bool {
    plan::member_of(open).is_some_and(|open| open.host == host)
}

/// Whether what was begun still is about the member that etcd lists: until its data is aside, no other one may have come in its place.
fn still_fits(planned: &Planned, lost: &Host, members: &EtcdMembers) -> bool {
    let Some(open) = plan::member_of(&planned.plan) else { return false };
    let is_aside = planned.assessment.probe(open.aside.0, open.aside.1).is_some_and(sealock_node::Probe::is_done);
    is_aside || members.of(lost).is_none_or(|listed| Some(listed.id.as_str()) == open.out)
}

#[cfg(test)]
mod tests {
    use sealock_trust::reason::Code;

    use super::*;

    const ETCD: &str = "  etcd:\n    external:\n      endpoints: [\"https://10.77.0.31:2379\"]\n      caFile: ca.crt\n      \
        certFile: client.crt\n      keyFile: client.key\n";

    fn spec(endpoint: &str, etcd: &str, planes: usize) -> Cluster {
        let hosts: String = (1..=planes)
            .map(|n| {
                format!(
                    "    - {{name: cp{n}, address: 10.77.0.1{n}, roles: [control-plane], ssh: {{user: ops, hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}}}\n"
                )
            })
            .collect();
        let text = format!(
            "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {{name: plant-7}}\nspec:\n  site: plant-7\n  kubernetes: {{version: v1.36.3}}\n  \
             controlPlane: {{endpoint: {endpoint}}}\n{etcd}  hosts:\n{hosts}"
        );
        Cluster::load(std::path::Path::new("cluster.yaml"), &text).unwrap()
    }

    #[test]
    fn what_cannot_come_back_from_others_is_told_before_anybody_is_asked() {
        let refused = |cluster: &Cluster, host: &str| {
            let error = lost_plane(&cluster.planes_only(), host).unwrap_err();
            (error.code(), error.to_string())
        };
        let three = spec("\"10.77.0.10:6443\"", "", 3);
        assert_eq!(lost_plane(&three.planes_only(), "cp2").unwrap().name.as_str(), "cp2");
        assert_eq!(refused(&three, "w1"), (Some(Code::Spec), "host w1 is no control plane of the cluster".to_owned()));
        let (code, said) = refused(&spec("\"10.77.0.10:6443\"", "", 1), "cp1");
        assert!(code == Some(Code::Quorum) && said.contains("the only control plane"), "{said}");
        let external = spec("\"10.77.0.10:6443\"", ETCD, 3);
        let (code, said) = refused(&external, "cp2");
        assert!(code == Some(Code::Spec) && said.contains("somebody else's"), "{said}");
    }
}
