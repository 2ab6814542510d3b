//! Whether etcd can spare the member of a control plane that is about to be changed: while it is started anew, no other one may be away.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::ExecuteError;
use super::etcd::EtcdMembers;
use super::pool::Pool;
use crate::plan::{self, Plan, PlannedHost, Task};

/// How long the others may take to be well: one that was changed just before is starting.
const STARTS: Duration = Duration::from_secs(120);

/// Waits until all members of etcd are well but that of the host that `task` changes, where that is a control plane of several. `program` is Sealock
/// there. Before a whole upgrade etcd is looked at once; between its first change and its last, machines may die.
///
/// # Errors
/// [`ExecuteError::Unspared`]: the host stays as it is.
pub(super) async fn wait(plan: &Plan, task: &Task, pool: &Pool, program: &str) -> Result<(), ExecuteError> {
    let Some((own, others)) = concerned(plan, task) else { return Ok(()) };
    let deadline = Instant::now() + STARTS;
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if ask(&others, pool, program).await.is_some_and(|members| can_spare(&members, own, &others)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(ExecuteError::Unspared { host: own.name.clone() });
        }
    }
}

/// The control plane that `task` changes, and the others, where there are any.
fn concerned<'a>(plan: &'a Plan, task: &Task) -> Option<(&'a PlannedHost, Vec<&'a PlannedHost>)> {
    if !plan.purpose.goes_by_waves() || !plan::changes_node(task) {
        return None;
    }
    let (own, others): (Vec<_>, Vec<_>) = plan.control_planes().partition(|host| host.name == task.host);
    own.first().filter(|_| !others.is_empty()).map(|own| (*own, others))
}

/// What the first of `others` says that answers: the member of the host itself may not serve, where an earlier attempt was cut off.
async fn ask(others: &[&PlannedHost], pool: &Pool, program: &str) -> Option<EtcdMembers> {
    for host in others {
        let Ok(connection) = pool.current(&host.name) else { continue };
        if let Ok(members) = connection.etcd_members(program).await {
            return Some(members);
        }
    }
    None
}

/// An etcd that is elsewhere loses no member by it, and has to serve.
fn can_spare(members: &EtcdMembers, own: &PlannedHost, others: &[&PlannedHost]) -> bool {
    let is_here = others.iter().chain(&[own]).any(|host| members.has_peer(&host.address));
    members.agreed && (!is_here || members.are_well_without(members.at(&own.name, &own.address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Purpose, example};
    use crate::spec::Role;

    fn host(name: &str, role: Role) -> PlannedHost {
        let binding = serde_json::json!({"machine-id": name, "architecture": "amd64", "joined": true});
        let binding = serde_json::from_value(binding).unwrap();
        let (address, pods) = (format!("{name}.plant-7"), String::new());
        PlannedHost { name: name.to_owned(), address, roles: vec![role], pods, binding }
    }

    fn plan(purpose: Purpose, planes: &[&str]) -> Plan {
        let planes = planes.iter().map(|name| host(name, Role::ControlPlane));
        Plan { purpose, hosts: planes.chain([host("w1", Role::Worker)]).collect(), ..example() }
    }

    fn task(id: &str) -> Task {
        let host = id.split('/').next().unwrap().to_owned();
        Task { id: id.to_owned(), host, after: Vec::new(), secrets: Vec::new(), steps: Vec::new() }
    }

    #[test]
    fn it_is_asked_before_each_change_of_one_of_several_control_planes_and_of_nothing_else() {
        let asked = |plan: &Plan, id: &str| concerned(plan, &task(id)).is_some();
        let several = plan(Purpose::Upgrade, &["cp1", "cp2", "cp3"]);
        assert!(asked(&several, "cp2/kubeadm") && asked(&several, "cp2/kubelet"));
        assert!(asked(&several, "cp2/os-packages") && asked(&several, "cp2/restart"));
        assert!(
            !asked(&several, "cp1/ready-cp2") && !asked(&several, "cp1/drain-cp2") && !asked(&several, "cp2/stage")
        );
        assert!(!asked(&several, "w1/kubelet"), "it has no member");
        assert!(!asked(&plan(Purpose::Upgrade, &["cp1"]), "cp1/kubeadm"), "there is nobody else");
        assert!(!asked(&plan(Purpose::Rollback, &["cp1", "cp2", "cp3"]), "cp2/kubelet"), "what has failed may be away");
        let others = concerned(&several, &task("cp2/kubeadm")).unwrap().1;
        assert_eq!(others.iter().map(|host| &*host.name).collect::<Vec<_>>(), ["cp1", "cp3"]);
    }

    #[test]
    fn a_member_is_spared_where_all_others_are_well_and_a_majority_says_so() {
        let own = host("cp2", Role::ControlPlane);
        let (cp1, cp3) = (host("cp1", Role::ControlPlane), host("cp3", Role::ControlPlane));
        let others = [&cp1, &cp3];
        let members = |elsewhere: bool, agreed: bool, problems: [Option<&str>; 3]| -> EtcdMembers {
            let at = |name: &str| {
                if elsewhere {
                    format!("https://{name}.elsewhere:2380")
                } else {
                    format!("https://{name}.plant-7:2380")
                }
            };
            let member = |name: &str| serde_json::json!({"id": name, "name": name, "peerUrls": [at(name)], "clientUrls": [], "learner": false});
            let state = |(name, problem): (&str, Option<&str>)| serde_json::json!({"member": name, "status": null, "problem": problem, "alarms": []});
            let names = ["cp1", "cp2", "cp3"];
            let states: Vec<_> = names.into_iter().zip(problems).map(state).collect();
            let told =
                serde_json::json!({"well": false, "agreed": agreed, "members": names.map(member), "states": states});
            serde_json::from_value(told).unwrap()
        };
        assert!(can_spare(&members(false, true, [None; 3]), &own, &others));
        assert!(can_spare(&members(false, true, [None, Some("away"), None]), &own, &others), "it is away already");
        assert!(!can_spare(&members(false, true, [None, None, Some("away")]), &own, &others));
        assert!(!can_spare(&members(false, false, [None; 3]), &own, &others));
        let away = [None, None, Some("away")];
        assert!(can_spare(&members(true, true, away), &own, &others), "it is on none of them, and serves");
        assert!(!can_spare(&members(true, false, away), &own, &others));
    }
}
