//! The plan that makes a cluster again from a backup: the one that makes a cluster, where the first control plane begins with the
//! authorities and with etcd's data of the one before.

use sealock_node::step::{
    BackupFile, BackupFiles, EtcdFromBackup, EtcdRestored, KubeletRegistered, Mode, RESTORES, StaleNodes,
};
use sealock_node::{Step, StepKind, backup::KUBERNETES};
use sealock_trust::Digest;
use serde_json::Value;

use super::apply::{Context, init_of, tasks};
use super::gate::check_fit_to_prepare;
use super::places::{Places, node};
use super::versions::check_versions;
use super::{Intent, Plan, PlanError, Purpose, Task};
use crate::backup::{KUBERNETES as IN_BACKUP, Manifest, SNAPSHOT};
use crate::etcd::restore::BUMP;
use crate::inventory::Inventory;
use crate::spec::{Cluster, Host, check_beginning};

/// Where kubeadm has etcd keep its data where nothing else is said.
const DATA: &str = "/var/lib/etcd";

/// The backup that a cluster is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    /// Its digest.
    pub backup: &'a Digest,
    /// Its table of contents.
    pub manifest: &'a Manifest,
}

/// The plan that makes the cluster of `intent` again, as `seed` holds it.
///
/// The hosts need not be those of before. Workers that were in the cluster may be there still: they know its authority, and go on.
///
/// # Errors
/// The backup is of something else than the spec; a control plane host has a cluster; conditions that are not met.
pub fn plan_restore(intent: &Intent<'_>, seed: Seed<'_>, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_seed(cluster, seed.manifest)?;
    check_fit_to_prepare(cluster, inventory)?;
    check_free(cluster, seed.manifest, inventory)?;
    check_versions(cluster, inventory)?;
    check_beginning(cluster.spec())?;
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let context = Context::new(intent, inventory, ranges, Places::of(cluster, inventory, ""));
    let mut tasks = tasks(&context)?;
    let founder = context.places.founder.as_deref().and_then(|name| cluster.host(name));
    let founder = founder.ok_or_else(|| PlanError::NotObserved { host: context.places.speaker.clone() })?;
    if let Some(init) = tasks.iter_mut().find(|task| task.id == init_of(founder)) {
        seed_with(init, founder, seed, &context)?;
    }
    register_again(&mut tasks, founder, seed, &context);
    context.plan(Purpose::Restore, tasks)
}

/// Whether `plan` makes `cluster`, as its spec stands now, from the backup with this digest.
pub(crate) fn restores(plan: &Plan, cluster: &Cluster, backup: &Digest) -> bool {
    let is_of_it = |step: &Step| matches!(&step.action, StepKind::BackupFiles(files) if files.folder == folder(backup));
    let is_for_it = plan.purpose == Purpose::Restore && plan.spec == cluster.digest();
    is_for_it && plan.tasks.iter().flat_map(|task| &task.steps).any(is_of_it)
}

/// Whether a step needs what is unpacked from a backup.
pub(crate) fn takes_from_backup(step: &Step) -> bool {
    matches!(step.action, StepKind::BackupFiles(_) | StepKind::EtcdFromBackup(_))
}

/// Whether the backup is of what the spec says.
pub(crate) fn check_seed(cluster: &Cluster, manifest: &Manifest) -> Result<(), PlanError> {
    let spec = cluster.spec();
    let version = spec.kubernetes.version.to_string();
    for (what, found, wanted) in [
        ("site", &manifest.site, &spec.site),
        ("cluster", &manifest.cluster, &cluster.name().to_string()),
        ("Kubernetes", &manifest.state.kubernetes, &version),
    ] {
        if found != wanted {
            return Err(PlanError::OtherBackup { what, found: found.clone(), wanted: wanted.clone() });
        }
    }
    let keys = |outside: bool| {
        if outside { "authorities whose keys stay with somebody else" } else { "the keys of its authorities" }
            .to_owned()
    };
    let (found, wanted) = (!manifest.state.holds_authorities_keys(), cluster.external_pki().is_some());
    if found != wanted {
        return Err(PlanError::OtherBackup { what: "a cluster with", found: keys(found), wanted: keys(wanted) });
    }
    let kind = |external: bool| if external { "external etcd" } else { "etcd on its control planes" }.to_owned();
    let (found, wanted) = (!manifest.state.holds_etcds_authority(), cluster.external_etcd().is_some());
    if found != wanted {
        return Err(PlanError::OtherBackup { what: "a cluster with", found: kind(found), wanted: kind(wanted) });
    }
    Ok(())
}

/// No control plane host has a cluster, and no worker another one.
fn check_free(cluster: &Cluster, manifest: &Manifest, inventory: &Inventory) -> Result<(), PlanError> {
    for host in cluster.hosts() {
        let Some(node) = node(host, inventory) else { continue };
        let is_of_it = node.ca_hash.as_ref() == Some(&manifest.state.ca_hash);
        let stays = !host.is_control_plane() && is_of_it;
        if (node.joined || node.is_plane() || node.founded) && !stays {
            return Err(PlanError::Occupied { host: host.name.to_string() });
        }
    }
    Ok(())
}

/// Whether a host is a node that outlived its control plane.
fn stayed(host: &Host, context: &Context<'_>) -> bool {
    node(host, context.inventory).is_some_and(|node| node.joined)
}

/// kubeadm takes the authorities that it finds, and etcd the data. Its preflight comes first: it wants neither to be there.
fn seed_with(init: &mut Task, founder: &Host, seed: Seed<'_>, context: &Context<'_>) -> Result<(), PlanError> {
    let place_of = |phase: &str, init: &Task| {
        let id = format!("kubeadm/init/{phase}");
        init.steps.iter().position(|step| step.id == id).unwrap_or(init.steps.len())
    };
    let at = place_of("preflight", init) + 1;
    init.steps.insert(at, Step::new("backup/authorities", files(seed)));
    // An etcd that somebody else runs has its data, or gets it back by its own means.
    if context.intent.cluster.external_etcd().is_none() {
        let at = place_of("etcd-local", init);
        init.steps.insert(at, Step::new("backup/etcd", etcd(founder, seed, context)?));
    }
    let at = place_of("wait-control-plane", init) + 1;
    init.steps.insert(at, Step::new("backup/nodes", stale_nodes(founder, seed, context)));
    Ok(())
}

/// Workers that stayed may have joined after the backup: their kubelets make themselves known to the founder's API server.
fn register_again(tasks: &mut Vec<Task>, founder: &Host, seed: Seed<'_>, context: &Context<'_>) {
    let mut registered = Vec::new();
    for host in context.intent.cluster.workers().filter(|host| stayed(host, context)) {
        let (name, run) = (host.name.to_string(), run_on(host, seed, context));
        let after = vec![init_of(founder), format!("{name}/join")];
        let steps = vec![Step::new("backup/kubelet", KubeletRegistered { run })];
        registered.push(Task { id: format!("{name}/register"), host: name, after, secrets: Vec::new(), steps });
    }
    let ids: Vec<String> = registered.iter().map(|task| task.id.clone()).collect();
    let ready = tasks.iter().position(|task| task.id.ends_with("/ready")).unwrap_or(tasks.len());
    if let Some(ready) = tasks.get_mut(ready) {
        ready.after.extend(ids);
        // What the backup says of a node that stayed is not what it says of itself.
        for step in &mut ready.steps {
            if let StepKind::NodeReady(ready) = &mut step.action {
                ready.lately = registered.iter().any(|task| task.host == ready.node);
            }
        }
    }
    tasks.splice(ready..ready, registered);
}

/// Tells one restore of a backup from another one on the same worker: each that does something there counts its fence up.
fn run_on(host: &Host, seed: Seed<'_>, context: &Context<'_>) -> String {
    let observed = context.inventory.hosts.get(host.name.as_str());
    let generation = observed.and_then(|one| one.facts.fence.as_ref()).map_or(0, |fence| fence.generation);
    format!("{}-{generation}", run_of(seed.backup))
}

fn run_of(backup: &Digest) -> String {
    backup.hex()[..12].to_owned()
}

fn folder(backup: &Digest) -> String {
    format!("{RESTORES}/{}", backup.hex())
}

fn files(seed: Seed<'_>) -> BackupFiles {
    let files = seed.manifest.state.contents.iter().filter_map(|content| {
        let below = content.path.strip_prefix(IN_BACKUP)?;
        let is_public = [".crt", ".pub"].iter().any(|end| below.ends_with(end));
        Some(BackupFile {
            source: content.path.clone(),
            path: format!("{KUBERNETES}/{below}"),
            digest: content.digest.clone(),
            mode: if is_public { Mode::FILE } else { Mode::PRIVATE },
        })
    });
    BackupFiles { folder: folder(seed.backup), files: files.collect() }
}

fn etcd(founder: &Host, seed: Seed<'_>, context: &Context<'_>) -> Result<EtcdFromBackup, PlanError> {
    let cluster = context.intent.cluster;
    let missing = || PlanError::NoImage { name: "etcd".into(), version: cluster.spec().kubernetes.version.to_string() };
    let image = context.intent.kubernetes_images.iter().find(|image| image.contains("/etcd:")).ok_or_else(missing)?;
    let snapshot = seed.manifest.content(SNAPSHOT).ok_or_else(|| PlanError::OtherBackup {
        what: "a cluster without",
        found: SNAPSHOT.into(),
        wanted: "to have one".into(),
    })?;
    let (folder, name, run) = (folder(seed.backup), founder.name.to_string(), run_of(seed.backup));
    let peer_url = format!("https://{}:2380", founder.address);
    let restored = EtcdRestored {
        snapshot: format!("{folder}/{SNAPSHOT}"),
        digest: snapshot.digest.clone(),
        etcdutl: format!("{folder}/programs/etcdutl"),
        data: data_of(cluster),
        initial_cluster: format!("{name}={peer_url}"),
        member: name,
        peer_url,
        token: format!("restored-{run}"),
        bump_revision: BUMP,
        run,
    };
    Ok(EtcdFromBackup { image: image.clone(), folder, restored })
}

pub(super) fn data_of(cluster: &Cluster) -> String {
    let own = &cluster.spec().overrides.cluster_configuration;
    let said = own.get("etcd").and_then(|etcd| etcd.pointer("/local/dataDir")).and_then(Value::as_str);
    said.unwrap_or(DATA).to_owned()
}

/// Nodes whose machines stayed go on; the founder is started with its name, whatever machine had it before.
fn stale_nodes(founder: &Host, seed: Seed<'_>, context: &Context<'_>) -> StaleNodes {
    let hosts = context.intent.cluster.hosts().iter();
    let mut stay: Vec<String> = hosts.filter(|host| stayed(host, context)).map(|host| host.name.to_string()).collect();
    stay.push(founder.name.to_string());
    stay.sort_unstable();
    stay.dedup();
    StaleNodes { before: seed.manifest.taken, stay }
}
