//! Plans for a cluster whose etcd is somebody else's, and for five control planes that have their own.

use jiff::{SignedDuration, Timestamp};
use sealock_cluster::backup::{Content, EtcdState, Manifest, Payload, Taken};
use sealock_cluster::plan::{Intent, Printed, ReleaseId, Rescue, Seed, plan_rescue, plan_restore};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::StepKind;
use sealock_node::facts::{CertificateFact, Kubernetes};
use sealock_node::step::EtcdClient;
use sealock_trust::Digest;

use crate::fixture::{
    cluster, host, kubernetes_images, nodes, plan_of, registry, release, spec, with_intent as intent_of,
};

const HOSTS: [(&str, &str, &str); 3] =
    [("cp1", "10.77.0.11", "control-plane"), ("cp2", "10.77.0.12", "control-plane"), ("w1", "10.77.0.21", "worker")];
const ENDPOINTS: [&str; 2] = ["https://10.77.0.31:2379", "https://10.77.0.32:2379"];
const CLIENT: &str = "/etc/kubernetes/pki/etcd-external/client.crt";

fn external(hosts: &[(&str, &str, &str)]) -> String {
    let etcd = format!(
        "  etcd:\n    external: {{endpoints: [\"{}\"], caFile: etcd/ca.crt, certFile: etcd/client.crt, keyFile: etcd/client.key}}\n  hosts:\n",
        ENDPOINTS.join("\", \"")
    );
    with_proxy(&spec(hosts).replacen("  hosts:\n", &etcd, 1))
}

fn with_proxy(text: &str) -> String {
    text.replacen("{endpoint: 10.77.0.11:6443}", "{endpoint: \"api.plant-7.internal:7443\", localProxy: true}", 1)
}

fn client() -> EtcdClient {
    EtcdClient { authority: "the authority\n".into(), certificate: "the certificate\n".into(), laid_only: false }
}

fn bare(hosts: &[(&str, &str, &str)]) -> Inventory {
    Inventory { hosts: hosts.iter().map(|(name, address, _)| ((*name).to_owned(), host(name, address))).collect() }
}

fn plan(text: &str, inventory: &Inventory) -> Result<Plan, PlanError> {
    with_intent(text, |intent| sealock_cluster::plan(intent, inventory))
}

fn with_intent<T>(text: &str, make: impl FnOnce(&Intent<'_>) -> T) -> T {
    let (cluster, release, images, client) = (cluster(text), release(), kubernetes_images(), client());
    intent_of((&cluster, &release, &images), |intent| make(&Intent { etcd_client: Some(&client), ..intent }))
}

/// Its hosts as nodes, whose API servers keep the state at `servers`.
fn keeping(text: &str, servers: &[&str]) -> Inventory {
    let mut inventory = nodes(text, "v1.36.3");
    for one in inventory.hosts.values_mut() {
        if let Kubernetes::Sealock(node) = &mut one.facts.kubernetes
            && node.control_plane
        {
            node.etcd = servers.iter().map(|server| (*server).to_owned()).collect();
        }
    }
    inventory
}

#[test]
fn two_control_planes_begin_on_an_etcd_that_is_not_theirs() {
    let plan = plan(&external(&HOSTS), &bare(&HOSTS)).unwrap();
    insta::assert_snapshot!("external_two_planes", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    // One API server after the other is started anew where what it shows has changed, and kubeadm finds the files.
    assert_eq!(plan.task("cp2/etcd").unwrap().after, ["cp2/prepare", "cp1/etcd"]);
    assert_eq!(plan.task("cp1/init").unwrap().after, ["cp1/etcd"]);
    assert_eq!(plan.task("cp2/join").unwrap().after, ["cp2/etcd", "cp1/init"]);
    assert!(plan.task("w1/etcd").is_none(), "no worker speaks to etcd");
    let phases: Vec<&str> = plan.tasks.iter().flat_map(|task| &task.steps).map(|step| step.id.as_str()).collect();
    assert!(!phases.iter().any(|id| id.contains("etcd-local") || id.contains("etcd-join")), "{phases:?}");
    let ids: Vec<&str> = plan.task("cp1/init").unwrap().steps.iter().take(4).map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["kubeadm/init/preflight", "kubeadm/init/certs-all", "etcd/claim", "kubeadm/init/kubeconfig-all"]);
}

#[test]
fn kubeadm_is_told_where_etcd_is_and_no_key() {
    let plan = plan(&external(&HOSTS), &bare(&HOSTS)).unwrap();
    let configs = plan.task("cp1/init").unwrap().steps.iter().find_map(|step| match &step.action {
        StepKind::KubeadmPhase(phase) => Some(phase.config.clone()),
        _ => None,
    });
    let config = configs.unwrap();
    let etcd: Vec<&str> = config.lines().skip_while(|line| *line != "etcd:").take(8).collect();
    insta::assert_snapshot!(etcd.join("\n"), @"
    etcd:
      external:
        caFile: /etc/kubernetes/pki/etcd-external/ca.crt
        certFile: /etc/kubernetes/pki/etcd-external/client.crt
        endpoints:
        - https://10.77.0.31:2379
        - https://10.77.0.32:2379
        keyFile: /etc/kubernetes/pki/etcd-external/client.key
    ");
}

#[test]
fn where_the_state_is_kept_does_not_change_while_a_cluster_lives() {
    let (external, stacked) = (external(&HOSTS), with_proxy(&spec(&HOSTS)));
    let here = ["https://127.0.0.1:2379"];
    plan(&external, &keeping(&external, &[ENDPOINTS[1], ENDPOINTS[0]])).unwrap();
    plan_of(&stacked, &keeping(&stacked, &here)).unwrap();
    let refused = |outcome: Result<Plan, PlanError>| {
        let error = outcome.unwrap_err();
        format!("{}: {error}", error.code().unwrap())
    };
    insta::assert_snapshot!(refused(plan(&external, &keeping(&external, &here))), @"SPEC: the API server of host cp1 keeps the cluster's state in a member of etcd on each control plane, and the spec says in the etcd at https://10.77.0.31:2379, https://10.77.0.32:2379: where it is kept does not change while a cluster lives");
    insta::assert_snapshot!(refused(plan_of(&stacked, &keeping(&stacked, &ENDPOINTS))), @"SPEC: the API server of host cp1 keeps the cluster's state in the etcd at https://10.77.0.31:2379, https://10.77.0.32:2379, and the spec says in a member of etcd on each control plane: where it is kept does not change while a cluster lives");
    insta::assert_snapshot!(refused(plan(&external, &keeping(&external, &ENDPOINTS[..1]))), @"SPEC: the API server of host cp1 keeps the cluster's state in the etcd at https://10.77.0.31:2379, and the spec says in the etcd at https://10.77.0.31:2379, https://10.77.0.32:2379: where it is kept does not change while a cluster lives");
}

fn manifest(more: &[&str]) -> Manifest {
    let content = |path: &str| Content { path: path.into(), digest: Digest::sha256(path.as_bytes()), size: 100 };
    let contents = ["etcd/snapshot.db", "kubernetes/pki/ca.crt", "kubernetes/pki/ca.key", "spec/cluster.yaml"];
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
            ca_hash: format!("sha256:{}", "e3".repeat(32)),
            etcd: EtcdState { version: "3.6.8".into(), revision: 42, rehearsed_keys: 7 },
            contents: contents.iter().chain(more).map(|path| content(path)).collect(),
        },
        payload: Payload { digest: Digest::sha256(b"payload"), size: 1000 },
    }
}

/// An etcd of somebody else's has its data, or gets it by its own means: the control planes come back over it.
#[test]
fn a_backup_brings_authorities_and_leaves_etcd_alone() {
    let hosts = bare(&HOSTS);
    let backup = Digest::sha256(b"backup");
    let restore = |text: &str, manifest: &Manifest| {
        with_intent(text, |intent| plan_restore(intent, Seed { backup: &backup, manifest }, &hosts))
    };
    let plan = restore(&external(&HOSTS), &manifest(&[])).unwrap();
    let ids: Vec<&str> = plan.task("cp1/init").unwrap().steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(
        ids.iter().filter(|id| id.starts_with("backup/")).collect::<Vec<_>>(),
        [&"backup/authorities", &"backup/nodes"]
    );
    let stacked = manifest(&["kubernetes/pki/etcd/ca.crt", "kubernetes/pki/etcd/ca.key"]);
    let refused = restore(&external(&HOSTS), &stacked).unwrap_err();
    insta::assert_snapshot!(refused, @"the backup is of a cluster with etcd on its control planes, and the spec says external etcd");
    let one = [HOSTS[0], HOSTS[2]];
    let refused = restore(&spec(&one), &manifest(&[])).unwrap_err();
    insta::assert_snapshot!(refused, @"the backup is of a cluster with external etcd, and the spec says etcd on its control planes");
}

/// A cluster that was powered off for a year.
#[test]
fn what_is_shown_to_etcd_comes_with_a_rescue_where_the_rest_has_ended_too() {
    let text = external(&HOSTS);
    let ends = |path: &str, hours: i64| CertificateFact {
        path: path.into(),
        name: "a".into(),
        serial: "01".into(),
        not_after: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours),
        authority: false,
        renewable: path != CLIENT,
        digest: None,
        issued_by: None,
    };
    let rescue = |apiserver: i64, shown: i64| {
        let mut hosts = keeping(&text, &ENDPOINTS);
        for name in ["cp1", "cp2"] {
            hosts.hosts.get_mut(name).unwrap().facts.certificates =
                vec![ends("/etc/kubernetes/pki/apiserver.crt", apiserver), ends(CLIENT, shown)];
        }
        plan_rescue(
            &cluster(&text),
            (&release(), &registry()),
            &hosts,
            Rescue { client: Some(&client()), ..Rescue::default() },
        )
    };
    let steps = |plan: &Plan| -> Vec<String> {
        plan.task("cp1/certificates").unwrap().steps.iter().map(|step| step.id.clone()).collect()
    };
    assert_eq!(steps(&rescue(-1, -1).unwrap()), ["etcd/client", "certificates"]);
    assert_eq!(steps(&rescue(-1, 1).unwrap()), ["certificates"], "what holds stays");
    let alone = rescue(1, -1).unwrap_err();
    assert!(alone.hint().unwrap().contains("sealock cluster apply"), "{alone}");
    insta::assert_snapshot!(alone, @"/etc/kubernetes/pki/etcd-external/client.crt on host cp1 has ended: the API server is not served by the external etcd any more");
}

const FIVE: [(&str, &str, &str); 6] = [
    ("cp1", "10.77.0.11", "control-plane"),
    ("cp2", "10.77.0.12", "control-plane"),
    ("cp3", "10.77.0.13", "control-plane"),
    ("cp4", "10.77.0.14", "control-plane"),
    ("cp5", "10.77.0.15", "control-plane"),
    ("w1", "10.77.0.21", "worker"),
];

#[test]
fn five_control_planes_come_one_after_the_other() {
    let plan = plan_of(&with_proxy(&spec(&FIVE)), &bare(&FIVE)).unwrap();
    insta::assert_snapshot!("five_planes", Printed { plan: &plan, assessment: None }.to_string());
    for (name, before) in [("cp2", "cp1/init"), ("cp3", "cp2/join"), ("cp4", "cp3/join"), ("cp5", "cp4/join")] {
        assert_eq!(plan.task(&format!("{name}/join")).unwrap().after, [format!("{name}/prepare"), before.to_owned()]);
    }
    let four = &FIVE[..4];
    let refused = plan_of(&with_proxy(&spec(four)), &bare(four));
    assert!(refused.is_ok(), "four are odd, and no mistake");
}
