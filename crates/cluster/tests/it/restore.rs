//! Plans that make a cluster again from a backup.

use jiff::Timestamp;
use sealock_cluster::backup::{Content, EtcdState, Manifest, Payload, Taken};
use sealock_cluster::plan::{Printed, Purpose, ReleaseId, Seed, plan_restore, with_needs};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::StepKind;
use sealock_node::facts::Kubernetes;
use sealock_trust::Digest;

use crate::fixture::{
    ONE_AND_ONE, bare_hosts, cluster, joined, kubernetes_images, plan_of, release, with, with_intent,
};
use crate::needs::{brought, poor};

const CA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest() -> Manifest {
    let content = |path: &str| Content { path: path.into(), digest: Digest::sha256(path.as_bytes()), size: 100 };
    let contents = [
        "etcd/snapshot.db",
        "kubernetes/pki/ca.crt",
        "kubernetes/pki/ca.key",
        "kubernetes/pki/etcd/ca.crt",
        "kubernetes/pki/etcd/ca.key",
        "spec/cluster.yaml",
    ];
    Manifest {
        format: "backup/1.0".into(),
        site: "plant-7".into(),
        cluster: "plant-7".into(),
        taken: "2026-11-26T10:00:00Z".parse::<Timestamp>().unwrap(),
        release: ReleaseId { number: 3, digest: Digest::sha256(b"release 3") },
        host: "cp1".into(),
        recipients: vec!["age1".into()],
        state: Taken {
            kubernetes: "v1.36.3".into(),
            ca_hash: CA.into(),
            etcd: EtcdState { version: "3.6.8".into(), revision: 42, rehearsed_keys: 7 },
            contents: contents.iter().map(|path| content(path)).collect(),
        },
        payload: Payload { digest: Digest::sha256(b"payload"), size: 1000 },
    }
}

fn restore(manifest: &Manifest, hosts: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release, images) = (cluster(ONE_AND_ONE), release(), kubernetes_images());
    let backup = Digest::sha256(b"backup");
    with_intent((&cluster, &release, &images), |intent| {
        plan_restore(&intent, Seed { backup: &backup, manifest }, hosts)
    })
}

/// A worker that was in a cluster with the authority `ca`.
fn worker_of(ca: &str) -> Inventory {
    with("w1", |worker| {
        worker.facts.kubernetes = joined("plant-7");
        if let Kubernetes::Sealock(node) = &mut worker.facts.kubernetes {
            node.ca_hash = Some(ca.into());
        }
    })
}

fn stay(plan: &Plan) -> Vec<String> {
    let steps = plan.tasks.iter().flat_map(|task| &task.steps);
    let stay = steps.filter_map(|step| match &step.action {
        StepKind::StaleNodes(nodes) => Some(nodes.stay.clone()),
        _ => None,
    });
    stay.flatten().collect()
}

#[test]
fn it_is_the_plan_that_makes_a_cluster_and_more() {
    let plan = restore(&manifest(), &bare_hosts()).unwrap();
    let init = plan.task("cp1/init").unwrap();
    let ids: Vec<&str> = init.steps.iter().map(|step| step.id.as_str()).collect();
    insta::assert_snapshot!(ids.join("\n"), @r"
    kubeadm/init/preflight
    backup/authorities
    kubeadm/init/certs-all
    kubeadm/init/kubeconfig-all
    backup/etcd
    kubeadm/init/etcd-local
    kubeadm/init/control-plane-all
    kubeadm/init/kubelet-start
    kubeadm/init/wait-control-plane
    backup/nodes
    kubeadm/init/upload-config-all
    kubeadm/init/mark-control-plane
    kubeadm/init/bootstrap-token
    kubeadm/init/kubelet-finalize-all
    kubeadm/init/addon-all
    ");
    // Without these it is what `apply` would do: so that there is nothing to do for it afterwards.
    let mut rest = plan.clone();
    rest.tasks.iter_mut().for_each(|task| task.steps.retain(|step| !step.id.starts_with("backup/")));
    assert_eq!(rest.tasks, plan_of(ONE_AND_ONE, &bare_hosts()).unwrap().tasks);
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    let printed = Printed { plan: &plan, assessment: None }.to_string();
    assert!(printed.starts_with("Plan to make cluster plant-7 again from a backup"), "{printed}");
    assert_eq!(stay(&plan), ["cp1"]);
}

#[test]
fn workers_that_know_the_authority_go_on() {
    let plan = restore(&manifest(), &worker_of(CA)).unwrap();
    assert_eq!(stay(&plan), ["cp1", "w1"]);
    let registered = plan.task("w1/register").unwrap();
    assert_eq!(registered.after, ["cp1/init", "w1/join"]);
    let ready = plan.tasks.last().unwrap();
    assert!(ready.after.contains(&"w1/register".to_owned()), "{:?}", ready.after);
    let lately = ready.steps.iter().map(|step| matches!(&step.action, StepKind::NodeReady(ready) if ready.lately));
    assert_eq!(lately.collect::<Vec<_>>(), [false, true], "what the backup says of w1 is not what w1 says");
    let stranger = restore(&manifest(), &worker_of("sha256:00")).unwrap_err();
    assert!(matches!(&stranger, PlanError::Occupied { host } if host == "w1"), "{stranger}");
}

#[test]
fn never_over_a_control_plane() {
    let living = with("cp1", |host| host.facts.kubernetes = joined("plant-7"));
    let refused = restore(&manifest(), &living).unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.code().unwrap().as_str()),
        ("host cp1 is a node already: a backup is restored onto hosts that have no cluster", "FOREIGN")
    );
}

#[test]
fn only_the_backup_of_this_cluster_in_this_version() {
    let changes: [fn(&mut Manifest); 3] = [
        |manifest| manifest.site = "plant-8".into(),
        |manifest| manifest.cluster = "plant-8".into(),
        |manifest| manifest.state.kubernetes = "v1.35.4".into(),
    ];
    let said = changes.map(|change| {
        let mut manifest = manifest();
        change(&mut manifest);
        let refused = restore(&manifest, &bare_hosts()).unwrap_err();
        format!("{refused}; {}", refused.hint().unwrap_or_default())
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    the backup is of site plant-8, and the spec says plant-7; use the backup of this cluster, or its own spec
    the backup is of cluster plant-8, and the spec says plant-7; use the backup of this cluster, or its own spec
    the backup is of Kubernetes v1.35.4, and the spec says v1.36.3; restore with `version: v1.35.4` in the spec, and upgrade afterwards
    ");
}

/// After a disaster hosts are new, and lack what those of before had.
#[test]
fn what_new_hosts_lack_comes_before_the_cluster_is_made_again() {
    let bare = restore(&manifest(), &poor()).unwrap_err();
    let hint = bare.hint().unwrap();
    assert!(hint.contains("or `cluster restore` where the cluster is made again"), "{hint}");
    let needs = brought(&["chrony", "mount", "nftables"]);
    let plan = restore(&manifest(), &with_needs(&poor(), &needs)).unwrap().with_needs(&needs);
    assert_eq!((plan.purpose, plan.needs_of_hosts()), (Purpose::Restore, needs));
    let ids: Vec<&str> = plan.task("w1/prepare").unwrap().steps.iter().map(|step| step.id.as_str()).take(3).collect();
    assert_eq!(ids, ["claim", "os-packages/laid-down", "os-packages/added"]);
}
