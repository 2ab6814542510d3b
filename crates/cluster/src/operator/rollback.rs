//! Takes an upgrade back that is not finished: all of it, or only nodes that failed in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::upgrade::{returns, took_none};
use super::{Operator, OperatorError, Planned, files, short};
use crate::execute::{self, Connection};
use crate::inventory::Inventory;
use crate::journal::{self, Journal};
use crate::nodes::{self, Rules};
use crate::plan::{self, Draining, Extent, Plan, PlanError, Purpose};
use crate::spec::{Cluster, Host};
use crate::tools;

/// Where hosts keep what they know of the snapshot that was taken before an upgrade.
const SNAPSHOT: &str = "/var/lib/sealock/node/snapshot.json";

/// What takes an unfinished upgrade back.
#[derive(Debug)]
pub struct Rollback {
    /// The version that was begun, where it is another Kubernetes.
    pub begun: Option<String>,
    /// What the cluster is afterwards.
    pub version: String,
    /// The plan.
    pub planned: Planned,
    /// Whether it only brings the API server back: the rest is planned by the same call once it is carried out.
    pub is_first_part: bool,
}

/// The snapshot that a host has taken last, whatever it was before.
#[derive(Deserialize)]
struct Snapshot {
    before: String,
    path: String,
    at: String,
    revision: Option<i64>,
}

/// What the hosts say of an upgrade that was begun.
pub(super) struct Begun {
    pub(super) open: Plan,
    /// The cluster as it was.
    cluster: Cluster,
    pub(super) since: String,
    pub(super) connections: Vec<Arc<Connection>>,
    inventory: Inventory,
    /// Hosts that keep what they were.
    kept: BTreeSet<String>,
    /// Hosts that were emptied and not given back.
    away: BTreeSet<String>,
}

impl Operator<'_> {
    /// The plan that takes the unfinished upgrade of `cluster` back. No host is changed.
    ///
    /// # Errors
    /// [`PlanError::NothingToTakeBack`], [`PlanError::EtcdRaised`], [`PlanError::ObjectsLost`]; the release lacks what the cluster was;
    /// pods would be lost by emptying a node.
    pub async fn plan_rollback(&self, cluster: &Cluster, draining: Draining) -> Result<Rollback, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        self.check_only_version_differs(cluster)?;
        // What was carried out last is through, also where it was cut off before that was written down.
        let (open, applied) = (self.open_waves()?, self.applied()?);
        let Some(open) = open.filter(|open| !applied.is_some_and(|applied| is_of(&applied, open))) else {
            return Err(self.nothing_to_take_back(cluster).await?.into());
        };
        let begun = self.begun(cluster, open).await?;
        let kind = match begun.open.purpose {
            Purpose::Components => Extent::Components,
            _ => Extent::Kubernetes,
        };
        let first = self.before_all_else(&begun, kind).await;
        let is_first_part = !first.is_empty();
        let all = || begun.kept.union(&begun.away).cloned().collect();
        let (extent, hosts) = if is_first_part { (Extent::Nodes, first) } else { (kind, all()) };
        let to_empty: BTreeSet<String> =
            hosts.iter().filter(|host| begun.kept.contains(*host) && !begun.away.contains(*host)).cloned().collect();
        let rules = Rules { force: draining.force, delete_emptydir_data: draining.delete_emptydir_data };
        self.look_before_emptying(&begun, &to_empty, rules).await?;
        let planned = self.back(&begun, draining, (extent, hosts)).await?;
        let version = begun.open.kubernetes.clone();
        let begun_with = (kind == Extent::Kubernetes).then_some(version);
        let version = begun.cluster.spec().kubernetes.version.to_string();
        Ok(Rollback { begun: begun_with, version, planned, is_first_part })
    }

    /// The control planes that go back before all else, as long as the API server does not answer: without it no node is seen to be Ready, and
    /// nothing in the cluster is put back.
    async fn before_all_else(&self, begun: &Begun, extent: Extent) -> BTreeSet<String> {
        let speaker = begun.connections.iter().find(|connection| connection.host() == begun.open.speaker);
        let Some(speaker) = speaker.filter(|_| extent == Extent::Kubernetes) else { return BTreeSet::new() };
        match speaker.admin_kubectl(&["get", "--raw", "/readyz"]).await {
            Ok(_) => BTreeSet::new(),
            Err(_) => planes_first(&begun.cluster, &begun.kept),
        }
    }

    /// The plan that puts back nodes that failed in the last attempt at `upgrade`; nothing where none of them keeps what it was. The upgrade
    /// stays open.
    ///
    /// # Errors
    /// [`PlanError::EtcdRaised`]; a host cannot be asked.
    pub async fn plan_taking_back(
        &self,
        cluster: &Cluster,
        draining: Draining,
        upgrade: &Plan,
    ) -> Result<Option<Planned>, OperatorError> {
        let failed = self.failed_nodes(upgrade)?;
        if failed.is_empty() {
            return Ok(None);
        }
        let begun = self.begun(cluster, upgrade.clone()).await?;
        let hosts: BTreeSet<String> = failed.intersection(&begun.kept).cloned().collect();
        if hosts.is_empty() {
            return Ok(None);
        }
        let extent = match upgrade.purpose {
            Purpose::Components => Extent::Components,
            _ => Extent::Nodes,
        };
        self.back(&begun, draining, (extent, hosts)).await.map(Some)
    }

    /// The upgrade that was taken back is open no longer.
    ///
    /// # Errors
    /// Somebody carries it out right now; a file of the station.
    pub fn close_taken_back(&self) -> Result<(), OperatorError> {
        for open in self.open_plans()?.iter().filter(|open| open.purpose.goes_by_waves()) {
            let digest = open.digest().map_err(OperatorError::Unwritable)?;
            // Where nothing was to be taken back yet, nobody has looked whether it goes on.
            let _held = Journal::open(&self.folder.join("journal"), &digest)?;
            files::set_aside(&self.plan_path(&digest))?;
        }
        Ok(())
    }

    /// Nodes that failed in the last attempt at `upgrade` because of what they have become.
    fn failed_nodes(&self, upgrade: &Plan) -> Result<BTreeSet<String>, OperatorError> {
        let digest = upgrade.digest().map_err(OperatorError::Unwritable)?;
        let failed = journal::failed(&self.folder.join("journal"), &digest)?;
        let tasks = failed.iter().filter_map(|id| upgrade.task(id));
        Ok(tasks.filter_map(plan::changed_by).map(str::to_owned).collect())
    }

    async fn begun(&self, cluster: &Cluster, open: Plan) -> Result<Begun, OperatorError> {
        let missing = || OperatorError::NoCluster { folder: self.folder.clone() };
        let applied = self.applied()?.ok_or_else(missing)?;
        let version = applied.kubernetes.parse().unwrap_or(cluster.spec().kubernetes.version);
        let cluster = cluster.with_version(version);
        let Some(since) = plan::kept_under(&open).map(str::to_owned) else {
            return Err(PlanError::NothingKept.into());
        };
        let (connections, inventory) = self.look(&cluster).await?;
        let names = cluster.hosts().iter().map(|host| host.name.to_string());
        let looks = plan::looks(names, &since);
        let look = Plan { tasks: looks, ..open.clone() };
        let assessment = execute::assess(&connections, &self.kit()?, &look).await?;
        let kept = look.tasks.iter().filter(|look| !assessment.is_done(look)).map(|look| look.host.clone()).collect();
        let away = self.away(&cluster, &open).await;
        Ok(Begun { open, cluster, since, connections, inventory, kept, away })
    }

    /// Hosts that `open` has emptied and not given back. A cluster that does not say is asked again by the steps.
    pub(super) async fn away(&self, cluster: &Cluster, open: &Plan) -> BTreeSet<String> {
        let reach = self.reach(cluster.name().as_str(), open.kubernetes.clone());
        let target = reach.target();
        let mut away = BTreeSet::new();
        for host in cluster.hosts().iter().map(|host| host.name.to_string()) {
            if returns(open, &host) && nodes::is_cordoned(&host, &target).await.unwrap_or(true) {
                away.insert(host);
            }
        }
        away
    }

    /// Which of `hosts` took no new pods before the upgrade. One that it was through with when it was begun once more is what it was.
    async fn took_none_before(
        &self,
        begun: &Begun,
        hosts: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, OperatorError> {
        if begun.cluster.hosts().len() == 1 {
            return Ok(BTreeSet::new());
        }
        let reach = self.reach(begun.cluster.name().as_str(), begun.open.kubernetes.clone());
        let target = reach.target();
        let mut took_none_before = BTreeSet::new();
        for host in hosts {
            let takes_none = match took_none(&begun.open, host) {
                Some(before) => before,
                None => nodes::is_cordoned(host, &target).await?,
            };
            took_none_before.extend(takes_none.then(|| host.clone()));
        }
        Ok(took_none_before)
    }

    async fn look_before_emptying(
        &self,
        begun: &Begun,
        hosts: &BTreeSet<String>,
        rules: Rules,
    ) -> Result<(), OperatorError> {
        if begun.cluster.hosts().len() == 1 {
            return Ok(());
        }
        let reach = self.reach(begun.cluster.name().as_str(), begun.open.kubernetes.clone());
        let target = reach.target();
        for host in hosts {
            nodes::look(host, rules, &target).await?;
        }
        Ok(())
    }

    async fn back(
        &self,
        begun: &Begun,
        mut draining: Draining,
        (extent, hosts): (Extent, BTreeSet<String>),
    ) -> Result<Planned, OperatorError> {
        let Begun { open, cluster, connections, inventory, .. } = begun;
        let plane = cluster.control_planes().find(|host| hosts.contains(host.name.as_str()));
        let plane = plane.filter(|_| extent != Extent::Components);
        // What nodes and cluster were is kept on them: the release need not have that Kubernetes any more.
        let mut images = match (extent, plane) {
            (Extent::Nodes | Extent::Components, None) => Vec::new(),
            _ => self.kept_images(begun, plane).await,
        };
        if !suffice(&images, extent, plane.is_some()) {
            images.extend(tools::kubernetes_images(&self.toolbox(), cluster)?);
        }
        if let Some(plane) = plane {
            self.check_etcd_goes_back(begun, plane, &images).await?;
        }
        draining.since.clone_from(&begun.since);
        draining.away.clone_from(&begun.away);
        draining.cordoned = self.took_none_before(begun, &hosts).await?;
        let ground = self.ground(images)?;
        let intent = ground.intent(cluster, &open.speaker);
        let plan = plan::plan_rollback(&intent, &draining, (extent, &hosts), inventory)?;
        self.assess(plan, inventory.clone(), false, connections.clone()).await
    }

    /// etcd starts from data of its own minor version as long as the cluster's version was not raised, and that waits for the last member.
    /// Whoever runs the older version and answers proves that it was not.
    async fn check_etcd_goes_back(&self, begun: &Begun, plane: &Host, images: &[String]) -> Result<(), OperatorError> {
        let Some(older) = images.iter().find_map(|image| plan::etcd_minor(image.rsplit_once("/etcd:")?.1)) else {
            return Ok(());
        };
        let members = self.members_by_any(begun).await;
        let versions = members.iter().flat_map(execute::EtcdMembers::versions);
        Ok(check_not_raised(plane.name.as_str(), versions, older)?)
    }

    /// What the first control plane that can be asked says of etcd; nothing where none can.
    async fn members_by_any(&self, begun: &Begun) -> Option<execute::EtcdMembers> {
        let program = self.binary.path_there();
        for name in asked_in_turn(&begun.cluster, &begun.open.speaker) {
            let Some(plane) = begun.connections.iter().find(|connection| connection.host() == name) else { continue };
            if let Ok(members) = plane.etcd_members(&program).await {
                return Some(members);
            }
        }
        None
    }

    /// Why nothing is taken back, with what a restore would lose where hosts tell it.
    async fn nothing_to_take_back(&self, cluster: &Cluster) -> Result<PlanError, OperatorError> {
        let applied = self.applied()?.ok_or_else(|| OperatorError::NoCluster { folder: self.folder.clone() })?;
        let lost = match cluster.host(&applied.speaker) {
            Some(speaker) => {
                let connections = execute::connect([speaker], &self.ssh).await?;
                execute::observe(&connections, &self.binary).await?;
                self.gap(connections.first(), &applied).await
            }
            None => None,
        };
        let (cluster, version) = (cluster.name().to_string(), applied.kubernetes);
        Ok(PlanError::NothingToTakeBack { cluster, version, lost })
    }

    /// How far etcd has come since the snapshot that was taken before the cluster became what was `applied`; nothing where another one was
    /// taken since.
    async fn gap(&self, speaker: Option<&Arc<Connection>>, applied: &Plan) -> Option<String> {
        let speaker = speaker?;
        let snapshot = speaker.read_root_file(SNAPSHOT).await.ok()?;
        let snapshot = serde_json::from_slice(&snapshot).ok().filter(|snapshot| is_before(snapshot, applied))?;
        let Snapshot { path, at, revision, .. } = snapshot;
        let now = speaker.etcd_members(&self.binary.path_there()).await.ok()?.revision()?;
        let then = revision?;
        Some(format!(
            "the snapshot of before, {path} on {} of {at}, has revision {then}, and etcd is at {now}: a restore would lose these {} revisions",
            speaker.host(),
            now - then
        ))
    }

    /// The name under which an upgrade keeps what nodes are; empty where `open` was begun without keeping it, for they are something in
    /// between by now.
    pub(super) fn kept_under(&self, open: Option<&Plan>) -> Result<String, OperatorError> {
        match open {
            Some(open) => Ok(plan::kept_under(open).unwrap_or_default().to_owned()),
            None => self.since(),
        }
    }

    /// What the cluster is while nothing of an upgrade is done. By the plan that was carried out last: what an upgrade has kept that is
    /// finished goes by another name, even where version and release are the same.
    fn since(&self) -> Result<String, OperatorError> {
        let applied = self.applied()?.ok_or_else(|| OperatorError::NoCluster { folder: self.folder.clone() })?;
        Ok(format!("{} of release {}, plan {}", applied.kubernetes, applied.release.number, short(&applied)))
    }
}

/// Whether `images` name all that is asked of on the way back: etcd of a control plane, and what kubeadm has put into the cluster.
fn suffice(images: &[String], extent: Extent, of_plane: bool) -> bool {
    let is_there = |name: &str| images.iter().any(|image| image.contains(&format!("/{name}:")));
    let in_cluster = extent != Extent::Kubernetes || (is_there("kube-proxy") && is_there("coredns"));
    in_cluster && (!of_plane || is_there("etcd"))
}

/// Whether `open` is what was carried out last, as it was written down. Where a host has left since, its hosts, its spec and who speaks are
/// those of the others.
fn is_of(applied: &Plan, open: &Plan) -> bool {
    let (hosts, spec, speaker) = (applied.hosts.clone(), applied.spec.clone(), applied.speaker.clone());
    *applied == Plan { hosts, spec, speaker, ..open.clone() }
}

/// Whether `snapshot` was taken before the cluster became what was `applied`, and not before certificates or authorities were made anew.
fn is_before(snapshot: &Snapshot, applied: &Plan) -> bool {
    match applied.purpose {
        Purpose::Components => snapshot.before == format!("release-{}", applied.release.number),
        _ => snapshot.before == applied.kubernetes,
    }
}

/// The control planes of `cluster` in the order in which they are asked of etcd: first who spoke for it, where it is there.
fn asked_in_turn<'a>(cluster: &'a Cluster, speaker: &str) -> Vec<&'a str> {
    let mut planes: Vec<&str> = cluster.control_planes().map(|host| host.name.as_str()).collect();
    planes.sort_by_key(|name| *name != speaker);
    planes
}

/// The control planes among `changed`; none where a worker is, too, for its kubelet would be newer than the API server that comes back.
fn planes_first(cluster: &Cluster, changed: &BTreeSet<String>) -> BTreeSet<String> {
    if cluster.workers().any(|host| changed.contains(host.name.as_str())) {
        return BTreeSet::new();
    }
    changed.clone()
}

/// Whether a member that runs one of `versions` shows that `older` starts from the data on `host`.
fn check_not_raised<'a>(
    host: &str,
    versions: impl Iterator<Item = &'a str>,
    older: (u32, u32),
) -> Result<(), PlanError> {
    plan::shows_older(versions, older).map_err(|runs| {
        let dotted = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        PlanError::EtcdRaised { host: host.to_owned(), runs: runs.map(dotted), older: dotted(older) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::etcd_minor as minor;

    #[test]
    fn versions_of_etcd_are_compared_by_their_minor_version() {
        assert_eq!(minor("3.6.8-0"), Some((3, 6)));
        assert!(minor("3.10.0") > minor("3.6.8") && minor("v3.7.0") > minor("3.6.99"));
        assert_eq!(minor("latest"), None);
    }

    #[test]
    fn the_release_is_asked_for_images_only_where_hosts_do_not_keep_them() {
        let images = |names: &[&str]| names.iter().map(|name| format!("harbor/k8s/{name}:v1")).collect::<Vec<_>>();
        let all = images(&["kube-proxy", "coredns", "etcd"]);
        assert!(suffice(&all, Extent::Kubernetes, true) && suffice(&[], Extent::Nodes, false));
        assert!(!suffice(&images(&["kube-proxy", "coredns"]), Extent::Kubernetes, true));
        assert!(!suffice(&images(&["etcd", "coredns"]), Extent::Kubernetes, true));
        assert!(suffice(&images(&["etcd"]), Extent::Nodes, true) && !suffice(&[], Extent::Nodes, true));
    }

    fn three_planes() -> Cluster {
        let key = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
        let host = |(n, role): (u8, &str)| {
            format!(
                "    - {{name: h{n}, address: 10.77.0.1{n}, roles: [{role}], ssh: {{user: ops, hostKey: \"{key}\"}}}}\n"
            )
        };
        let hosts =
            [(1, "control-plane"), (2, "worker"), (3, "control-plane"), (4, "control-plane")].map(host).concat();
        let head = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n";
        let rest = "  kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: 10.77.0.10:6443}\n  hosts:\n";
        Cluster::load(std::path::Path::new("cluster.yaml"), &[head, rest, &hosts].concat()).unwrap()
    }

    /// Whoever spoke for the cluster may be gone: then the others are asked, and not nobody.
    #[test]
    fn etcd_is_asked_about_through_any_control_plane() {
        let cluster = three_planes();
        assert_eq!(asked_in_turn(&cluster, "h3"), ["h3", "h1", "h4"]);
        assert_eq!(asked_in_turn(&cluster, "gone"), ["h1", "h3", "h4"]);
    }

    /// No kubelet is ever newer than an API server, also where that one does not answer.
    #[test]
    fn control_planes_go_back_before_all_else_as_long_as_no_worker_has_changed() {
        let cluster = three_planes();
        let first = |changed: &[&str]| planes_first(&cluster, &changed.iter().map(ToString::to_string).collect());
        assert_eq!(first(&["h1", "h3"]).into_iter().collect::<Vec<_>>(), ["h1", "h3"]);
        assert!(first(&["h1", "h2"]).is_empty());
        assert!(first(&[]).is_empty(), "no control plane has changed: what is wrong is not of the upgrade");
    }

    #[test]
    fn a_control_plane_goes_back_only_where_a_member_shows_that_etcd_was_not_raised() {
        let check = |versions: &[&str]| check_not_raised("cp1", versions.iter().copied(), (3, 6));
        assert!(check(&["3.7.0", "3.6.8"]).is_ok());
        let refused = |runs: Option<&str>, found| match found {
            Err(PlanError::EtcdRaised { runs: found, .. }) => found.as_deref() == runs,
            _ => false,
        };
        assert!(refused(Some("3.7"), check(&["3.8.1", "3.7.0"])));
        assert!(refused(None, check(&[])), "nobody answers: nothing is known");
    }

    /// As after `cluster remove --lost` between its last step and the word that it is through.
    #[test]
    fn what_was_carried_out_is_known_by_what_a_host_that_leaves_does_not_change() {
        let open = Plan { purpose: Purpose::Upgrade, speaker: "cp1".into(), ..plan::example() };
        let (spec, speaker) = (sealock_trust::Digest::sha256(b"without cp1"), "cp2".to_owned());
        assert!(is_of(&Plan { spec, speaker, hosts: Vec::new(), ..open.clone() }, &open));
        assert!(!is_of(&Plan { purpose: Purpose::Apply, ..open.clone() }, &open));
        assert!(!is_of(&Plan { kubernetes: "v1.0.0".into(), ..open.clone() }, &open));
        let tasks = plan::looks(["cp1".to_owned()].into_iter(), "before");
        assert!(!is_of(&Plan { tasks, ..open.clone() }, &open));
    }

    #[test]
    fn only_the_snapshot_of_before_the_upgrade_is_told_of() {
        let of = |purpose| Plan { purpose, ..plan::example() };
        let snapshot = |before: String| {
            let record = serde_json::json!({"before": before, "path": "/a.db", "digest": "sha256:00", "at": "2026-11-26T10:00:00Z"});
            serde_json::from_value::<Snapshot>(record).unwrap()
        };
        let (upgrade, components) = (of(Purpose::Upgrade), of(Purpose::Components));
        let of_release = format!("release-{}", components.release.number);
        assert!(is_before(&snapshot(upgrade.kubernetes.clone()), &upgrade));
        assert!(is_before(&snapshot(of_release.clone()), &components));
        assert!(!is_before(&snapshot(of_release), &upgrade));
        for other in ["renewal", "adoption", "v1.35.0"] {
            assert!(!is_before(&snapshot(other.into()), &upgrade), "{other}");
            assert!(!is_before(&snapshot(other.into()), &components), "{other}");
        }
    }
}
