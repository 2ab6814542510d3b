//! Plans that bring a cluster back whose certificates have ended.

use jiff::{SignedDuration, Timestamp};
use sealock_cluster::plan::{Printed, Rescue, SecretKind, plan_rescue};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::facts::{CertificateFact, Kubernetes};

use crate::fixture::{ONE_AND_ONE, bare_hosts, cluster, joined, registry, release};

const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";
const CA: &str = "/etc/kubernetes/pki/ca.crt";
const KUBELET: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// A node's certificates, each as its path and the hours that it still holds.
fn certificates(of: &[(&str, i64)]) -> Vec<CertificateFact> {
    let fact = |(path, hours): &(&str, i64)| CertificateFact {
        path: (*path).into(),
        name: "a".into(),
        serial: "01".into(),
        not_after: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(*hours),
        authority: *path == CA,
        renewable: *path == APISERVER,
        digest: None,
        issued_by: None,
    };
    of.iter().map(fact).collect()
}

fn nodes(cp1: &[(&str, i64)], w1: &[(&str, i64)]) -> Inventory {
    let mut hosts = bare_hosts();
    for (name, of) in [("cp1", cp1), ("w1", w1)] {
        let facts = &mut hosts.hosts.get_mut(name).unwrap().facts;
        facts.kubernetes = joined("plant-7");
        if let Kubernetes::Sealock(node) = &mut facts.kubernetes {
            node.control_plane = name == "cp1";
        }
        facts.certificates = certificates(of);
    }
    hosts
}

fn rescue(hosts: &Inventory) -> Result<Plan, PlanError> {
    plan_rescue(&cluster(ONE_AND_ONE), (&release(), &registry()), hosts, Rescue::default())
}

#[test]
fn all_has_ended() {
    let plan = rescue(&nodes(&[(APISERVER, -1), (CA, 1), (KUBELET, -1)], &[(CA, 1), (KUBELET, 0)])).unwrap();
    insta::assert_snapshot!("rescue_all", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(plan.task("w1/certificates").unwrap().secrets, [SecretKind::KubeletCertificate]);
    assert_eq!(plan.task("cp1/serve").unwrap().after, ["cp1/certificates"], "no worker keeps it from serving");
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}

#[test]
fn whoever_keeps_the_clock_of_a_node_is_not_in_the_way() {
    let timed = ONE_AND_ONE.replacen("  hosts:", "  time: {servers: [10.77.0.2]}\n  hosts:", 1);
    let mut hosts = nodes(&[(APISERVER, -1), (CA, 1), (KUBELET, -1)], &[(CA, 1), (KUBELET, 0)]);
    hosts.hosts.get_mut("cp1").unwrap().facts.time.daemon = None;
    hosts.hosts.get_mut("w1").unwrap().facts.time.others = vec!["ntpsec.service".into()];
    let plan = plan_rescue(&cluster(&timed), (&release(), &registry()), &hosts, Rescue::default()).unwrap();
    assert!(plan.task("w1/certificates").is_some());
    // A plan that tells hosts whom to ask needs somebody whom it can tell.
    let error = crate::fixture::plan_of(&timed, &hosts).unwrap_err();
    assert!(matches!(&error, PlanError::Gates(failures) if failures.len() == 2), "{error}");
}

/// A worker that was in a store room while the rest went on.
#[test]
fn one_kubelet_alone_is_helped_and_nothing_else_touched() {
    let plan = rescue(&nodes(&[(APISERVER, 1), (CA, 1), (KUBELET, 1)], &[(KUBELET, -1)])).unwrap();
    let tasks: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(tasks, ["w1/certificates", "cp1/ready"]);
}

/// The certificates are new, and what was started with the old ones still runs: that is not nothing.
#[test]
fn what_was_begun_is_ended_also_without_a_host_that_was_in_the_way() {
    let ended = [(APISERVER, -1), (CA, 1), (KUBELET, 1)];
    let begun = rescue(&nodes(&ended, &[(KUBELET, -1)])).unwrap();
    let now = nodes(&[(APISERVER, 1), (CA, 1), (KUBELET, 1)], &[]);
    let rest = cluster(ONE_AND_ONE).without("w1");
    let plan = plan_rescue(&rest, (&release(), &registry()), &now, Rescue { begun: Some(&begun), ..Rescue::default() })
        .unwrap();
    let tasks: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(tasks, ["cp1/serve", "cp1/ready"]);
}

#[test]
fn where_nothing_has_ended_or_an_authority_has_there_is_no_rescue() {
    let well = rescue(&nodes(&[(APISERVER, 1), (CA, 1), (KUBELET, 1)], &[(KUBELET, 1)])).unwrap_err();
    assert!(matches!(well, PlanError::NothingEnded { .. }), "{well}");
    let lost = rescue(&nodes(&[(APISERVER, -1), (CA, -1), (KUBELET, -1)], &[(KUBELET, -1)])).unwrap_err();
    assert_eq!(
        lost.to_string(),
        format!("the authority in {CA} on host cp1 has ended: nothing that it vouches for is believed")
    );
}
