//! One member of etcd comes back, while the others live.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned, files};
use crate::execute::{Connection, EtcdMembers};
use crate::inventory::Inventory;
use crate::journal::Journal;
use crate::plan::{self, Assessment, LostMember, MemberError, Plan, PlanError};
use crate::spec::{Cluster, Host};

impl Operator<'_> {
    /// The plan that brings the member of the control plane `host` of `cluster` back, or the one for it that was begun and not finished; `when`
    /// tells its data from what went aside before. Nothing where it is well, unless it is to come all the same: what was begun for it is then
    /// ended by [`Self::close_member`]. No host is changed.
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
        self.check_nothing_else_open(None)?;
        let planes = cluster.planes_only();
        let lost = lost_plane(&planes, host).map_err(PlanError::from)?;
        let (connections, inventory) = self.look(&planes).await?;
        let (speaker, members) = self.another_member(&planes, lost, &connections).await?;
        if let Some(other) = others_way(&self.open_plans()?, &planes, (lost, &members)) {
            return Err(PlanError::from(MemberError::Open { host: other.to_owned() }).into());
        }
        let open = self.open_plans()?.into_iter().find(|open| open.spec == planes.digest() && brings(open, host));
        if let Some(open) = open {
            open.check_resumable(&inventory)?;
            let planned = self.assess(open, inventory.clone(), true, connections.clone()).await?;
            if goes_on((&planned.plan, &planned.assessment), (lost, &members), even_if_well) {
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

    /// The member on `host` is well, and what was begun to bring it back is open no longer. Whether there was something.
    ///
    /// # Errors
    /// Somebody carries it out right now; a file of the station.
    pub fn close_member(&self, host: &str) -> Result<bool, OperatorError> {
        let open = self.open_plans()?;
        let mut open = open.iter().filter(|open| brings(open, host)).peekable();
        let is_any = open.peek().is_some();
        for begun in open {
            let digest = begun.digest().map_err(OperatorError::Unwritable)?;
            let _held = Journal::open(&self.folder.join("journal"), &digest)?;
            files::set_aside(&self.plan_path(&digest))?;
        }
        Ok(is_any)
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
    pub(super) fn check_no_member(&self) -> Result<(), OperatorError> {
        let open = self.open_plans()?;
        match open.iter().find_map(plan::member_of) {
            Some(open) => Err(PlanError::from(MemberError::Open { host: open.host.to_owned() }).into()),
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

/// The host of another member than that of `lost` that was begun to be brought back, and does not vote and serve yet. One that does is as good as
/// back: what is left to do for it must not stand in the way of the next one.
fn others_way<'a>(open: &'a [Plan], planes: &Cluster, (lost, members): (&Host, &EtcdMembers)) -> Option<&'a str> {
    let others = open.iter().filter_map(plan::member_of).map(|open| open.host);
    let is_back = |host: &str| planes.host(host).is_some_and(|other| members.is_well(other));
    others.filter(|host| *host != lost.name.as_str()).find(|host| !is_back(host))
}

/// Whether what was begun goes on. Until the old data is aside, it is about the member that etcd lists, unless that one has recovered by itself or
/// another one has come in its place; behind that, about the one that comes, until that one is lost, too.
fn goes_on((plan, found): (&Plan, &Assessment), (lost, members): (&Host, &EtcdMembers), even_if_well: bool) -> bool {
    let Some(open) = plan::member_of(plan) else { return false };
    let is_well = members.is_well(lost);
    if !found.probe(open.aside.0, open.aside.1).is_some_and(sealock_node::Probe::is_done) {
        let is_old = members.of(lost).is_none_or(|listed| Some(listed.id.as_str()) == open.out);
        return is_old && (even_if_well || !is_well);
    }
    if members.is_coming(lost) {
        return !even_if_well || !members.has_failed(lost);
    }
    // Whoever says the same command again behind an interruption does not want it taken out once more: first it comes whole.
    let has_come = plan.task(open.aside.0).is_some_and(|rejoin| found.is_done(rejoin));
    is_well && !(even_if_well && has_come)
}

#[cfg(test)]
mod tests {
    use sealock_node::step::{ApiServerBack, MemberAside, MemberRemoved};
    use sealock_node::{Probe, Step};
    use sealock_trust::reason::Code;

    use super::*;
    use crate::plan::{Purpose, Task};

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

    /// What etcd lists on cp2, in a cluster of three whose others are well.
    fn members(second: Option<(&str, &str, bool, Option<&str>)>) -> EtcdMembers {
        let member = |id: &str, name: &str, address: &str, learner: bool| {
            let url = format!("https://{address}:2380");
            serde_json::json!({"id": id, "name": name, "peerUrls": [url], "clientUrls": [], "learner": learner})
        };
        let state = |id: &str, problem: Option<&str>| serde_json::json!({"member": id, "status": null, "problem": problem, "alarms": []});
        let mut listed = vec![member("a", "cp1", "10.77.0.11", false), member("c", "cp3", "10.77.0.13", false)];
        let mut states = vec![state("a", None), state("c", None)];
        if let Some((id, name, learner, problem)) = second {
            listed.push(member(id, name, "10.77.0.12", learner));
            states.push(state(id, problem));
        }
        let survey = serde_json::json!({"well": false, "agreed": true, "members": listed, "states": states});
        serde_json::from_value(survey).unwrap()
    }

    /// The way back of the member `b` on cp2, and how much of it was found to be done.
    fn begun(done: [bool; 3]) -> (Plan, Assessment) {
        let program = "/opt/sealock".to_owned();
        let out = MemberRemoved { program, id: "b".into(), peer_url: "https://10.77.0.12:2380".into() };
        let aside = MemberAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-26T06-48-02Z".into() };
        let task = |id: &str, host: &str, steps: Vec<Step>| Task {
            id: id.into(),
            host: host.into(),
            after: Vec::new(),
            secrets: Vec::new(),
            steps,
        };
        let again = vec![Step::new("aside", aside), Step::new("api-server", ApiServerBack { timeout_seconds: 1 })];
        let tasks = vec![task("cp1/out", "cp1", vec![Step::new("removed", out)]), task("cp2/rejoin", "cp2", again)];
        let found = |is_done: bool| if is_done { Probe::Done } else { Probe::not_done("so it was found") };
        let mut assessment = Assessment::default();
        for (n, (task, step)) in
            [("cp1/out", "removed"), ("cp2/rejoin", "aside"), ("cp2/rejoin", "api-server")].into_iter().enumerate()
        {
            assessment.tasks.entry(task.into()).or_default().insert(step.into(), found(done[n]));
        }
        (Plan { purpose: Purpose::Member, tasks, ..plan::example() }, assessment)
    }

    const AWAY: Option<&str> = Some("connection refused");

    #[test]
    fn what_was_begun_goes_on_until_its_member_is_another_one_or_well_or_lost_again() {
        let three = spec("\"10.77.0.10:6443\"", "", 3);
        let lost = three.host("cp2").unwrap();
        let goes_on = |done, second, force| {
            let (plan, found) = begun(done);
            goes_on((&plan, &found), (lost, &members(second)), force)
        };
        let nothing = [false, false, false];
        assert!(goes_on(nothing, Some(("b", "cp2", false, AWAY)), false));
        assert!(!goes_on(nothing, Some(("b", "cp2", false, None)), false), "it has recovered by itself");
        assert!(goes_on(nothing, Some(("b", "cp2", false, None)), true), "and is to come all the same");
        assert!(!goes_on(nothing, Some(("b2", "cp2", false, AWAY)), false), "somebody has brought another one");
        assert!(goes_on([true, false, false], None, false));

        let aside = [true, true, false];
        for force in [false, true] {
            assert!(goes_on(aside, None, force), "it was cut off before another one came");
            assert!(goes_on(aside, Some(("b2", "", true, Some("it has never started"))), force));
            assert!(goes_on(aside, Some(("b2", "cp2", false, None)), force), "it comes whole first");
        }
        assert!(goes_on(aside, Some(("b2", "cp2", true, AWAY)), false), "its machine may be starting");
        assert!(!goes_on(aside, Some(("b2", "cp2", true, AWAY)), true));

        let come = [true, true, true];
        assert!(goes_on(come, Some(("b2", "cp2", false, None)), false), "it is still to be looked at");
        assert!(!goes_on(come, Some(("b2", "cp2", false, None)), true), "it holds something else for ever");
        assert!(!goes_on(come, Some(("b2", "cp2", false, AWAY)), false), "its data is lost again");
    }

    #[test]
    fn one_that_votes_and_serves_stands_in_nobodys_way() {
        let planes = spec("\"10.77.0.10:6443\"", "", 3).planes_only();
        let open = [begun([true, true, true]).0];
        let way = |host: &str, second| others_way(&open, &planes, (planes.host(host).unwrap(), &members(second)));
        assert_eq!(way("cp3", None), Some("cp2"));
        assert_eq!(way("cp3", Some(("b2", "cp2", true, None))), Some("cp2"), "without a vote");
        assert_eq!(way("cp3", Some(("b2", "cp2", false, AWAY))), Some("cp2"));
        assert_eq!(way("cp3", Some(("b2", "cp2", false, None))), None);
        assert_eq!(way("cp2", None), None, "its own way");
    }
}
