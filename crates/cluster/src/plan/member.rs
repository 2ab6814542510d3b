//! The plan that brings one member of etcd back, while the others live: the member of a control plane whose data is lost or in doubt.
//!
//! Another control plane speaks. Behind a snapshot the member is taken out of etcd; only then its data goes aside. kubeadm brings the host's
//! member again, without a vote until it has caught up; and it is looked at whether all members hold the same.

use std::collections::BTreeMap;

use sealock_node::request::Registry;
use sealock_node::step::{
    ApiServerBack, EtcdSnapshot, KubeadmCommand, MemberAside, MemberRemoved, MembersAgree, NodeReady,
};
use sealock_node::{Step, StepKind};
use sealock_store::release::Published;

use super::apply::{planned_hosts, secrets_to_join, steps_of};
use super::gate::check_fit;
use super::restore::data_of;
use super::versions::check_versions;
use super::waves::{READY_SECONDS, id, task};
use super::{MemberError, Plan, PlanError, Purpose, SecretKind};
use crate::inventory::{Inventory, Observation};
use crate::render::kubeadm;
use crate::spec::Cluster;

/// The phase by which kubeadm brings a member.
const ETCD_JOIN: &str = "etcd-join";
/// How long it may take until all members hold the same.
const AGREE_SECONDS: u32 = 600;

/// A member that is to come again.
#[derive(Clone, Copy, Debug)]
pub struct LostMember<'a> {
    /// Its host.
    pub host: &'a str,
    /// Its id, where etcd still lists it.
    pub id: Option<&'a str>,
    /// Another control plane host, whose member serves.
    pub speaker: &'a str,
    /// What tells its data from what went aside before, like `2026-11-26T06-48-02Z`.
    pub when: &'a str,
}

/// The plan that brings `lost` back among the control planes of `cluster`; Sealock is at `program` on every host.
///
/// # Errors
/// A host that is another's, or no control plane; conditions that are not met.
pub fn plan_member(
    cluster: &Cluster,
    (release, registry): (&Published, &Registry),
    lost: LostMember<'_>,
    inventory: &Inventory,
    program: &str,
) -> Result<Plan, PlanError> {
    check_fit(cluster, inventory)?;
    check_versions(cluster, inventory)?;
    let LostMember { host, speaker, .. } = lost;
    let missing = || MemberError::NoPlane { host: host.to_owned() };
    let plane = cluster.control_planes().find(|one| one.name.as_str() == host).ok_or_else(missing)?;
    if !inventory.hosts.get(host).is_some_and(Observation::has_joined) {
        return Err(missing().into());
    }
    let peer_url = format!("https://{}:2380", plane.address);
    let snapshot = EtcdSnapshot { program: program.to_owned(), before: "member".to_owned(), config: None };
    let mut out = vec![Step::new("etcd/snapshot", snapshot)];
    if let Some(member) = lost.id {
        let removed = MemberRemoved { program: program.to_owned(), id: member.to_owned(), peer_url: peer_url.clone() };
        out.push(Step::new("etcd/removed", removed));
    }
    let data = data_of(cluster);
    let name = format!("{}.{}", data.rsplit('/').next().unwrap_or_default(), lost.when);
    let mut again = vec![Step::new("etcd/aside", MemberAside { path: data, name })];
    again.extend(steps_of(KubeadmCommand::Join, &[ETCD_JOIN], host, &kubeadm::join(cluster, plane)?));
    again.push(Step::new("api-server", ApiServerBack { timeout_seconds: READY_SECONDS }));
    let mut rejoin = task(host, "rejoin", vec![id(speaker, "member-out")], again);
    rejoin.secrets = secrets_to_join(cluster, plane);
    // It has that key.
    rejoin.secrets.retain(|kind| *kind != SecretKind::ServiceAccounts);
    let ready = NodeReady {
        node: host.to_owned(),
        control_plane: true,
        // For a while: what kubelet says of a pod that was started anew may be what it was before.
        version: Some(cluster.spec().kubernetes.version.to_string()),
        containerd: None,
        lately: true,
        timeout_seconds: READY_SECONDS,
    };
    let agree = MembersAgree { program: program.to_owned(), peer_url, timeout_seconds: AGREE_SECONDS };
    let looked = vec![Step::new("etcd/agree", agree), Step::new("ready", ready)];
    let tasks = vec![
        task(speaker, "member-out", Vec::new(), out),
        rejoin,
        task(speaker, &format!("member-{host}"), vec![id(host, "rejoin")], looked),
    ];
    Ok(Plan {
        local_endpoint: cluster.local_endpoint().map(ToString::to_string),
        speaker: speaker.to_owned(),
        hosts: planned_hosts(cluster, inventory, &BTreeMap::new())?,
        tasks,
        ..Plan::of(cluster, release, registry, Purpose::Member)
    })
}

/// A plan that brings a member back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberOf<'a> {
    /// Its host.
    pub(crate) host: &'a str,
    /// The task and the step that move its data aside.
    pub(crate) aside: (&'a str, &'a str),
    /// The id of the member that is taken out; nothing where none was listed any more.
    pub(crate) out: Option<&'a str>,
}

/// Whose member `plan` brings back; nothing where it is for something else.
pub(crate) fn member_of(plan: &Plan) -> Option<MemberOf<'_>> {
    let steps = || plan.tasks.iter().flat_map(|task| task.steps.iter().map(move |step| (task, step)));
    let (task, aside) = steps()
        .filter(|_| plan.purpose == Purpose::Member)
        .find(|(_, step)| matches!(step.action, StepKind::MemberAside(_)))?;
    let out = steps().find_map(|(_, step)| match &step.action {
        StepKind::MemberRemoved(removed) => Some(removed.id.as_str()),
        _ => None,
    });
    Some(MemberOf { host: &task.host, aside: (&task.id, &aside.id), out })
}
