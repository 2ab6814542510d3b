//! What keeps a cluster from being upgraded while it is not well.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sealock_cluster::plan::{Health, check_health};
use sealock_cluster::{Inventory, PlanError};
use sealock_node::facts::CertificateFact;
use sealock_trust::reason::Code;

use crate::fixture::{THREE_AND_THREE, cluster, nodes, spec};

const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

fn three_and_three() -> (String, Inventory) {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let inventory = nodes(&text, "v1.36.3");
    (text, inventory)
}

fn well() -> Health {
    let text = |text: &str| text.to_owned();
    Health {
        nodes: ["cp1", "cp2", "cp3", "w1", "w2", "w3"].map(|name| (text(name), None)).into(),
        members: ["cp1", "cp2", "cp3"].map(|name| (text(name), text("3.6.8"))).into(),
        database: 64 << 20,
    }
}

/// What is told, a line for each condition with its remedy; nothing where all is well.
fn told(inventory: &Inventory, health: &Health) -> String {
    match check_health(&cluster(&three_and_three().0), inventory, health) {
        Ok(()) => String::new(),
        Err(error) => {
            assert_eq!((error.code(), error.is_refusal()), (Some(Code::Preflight), true));
            let PlanError::Gates(failures) = error else { panic!("{error}") };
            failures.iter().map(|failure| format!("{failure}\n  {}\n", failure.remedy)).collect()
        }
    }
}

/// A certificate in `path` that has `left` hours, by the clock of its host.
fn certificate(inventory: &Inventory, path: &str, left: i64) -> CertificateFact {
    let ends = inventory.hosts["cp2"].facts.clock + SignedDuration::from_hours(left);
    CertificateFact {
        path: path.into(),
        name: "kube-apiserver".into(),
        serial: "01".into(),
        not_after: ends,
        authority: false,
        renewable: path == APISERVER,
        digest: None,
        issued_by: None,
    }
}

#[test]
fn a_cluster_that_is_well_is_upgraded() {
    assert_eq!(told(&three_and_three().1, &well()), "");
}

#[test]
fn nodes_members_and_room() {
    let (_, mut inventory) = three_and_three();
    let mut health = well();
    health.nodes.insert("w1".into(), Some("Kubelet stopped posting node status.".into()));
    health.nodes.insert("w2".into(), Some("\u{1b}[2J".into()));
    health.nodes.remove("w3");
    health.nodes.insert("someone-elses".into(), Some("no matter".into()));
    health.members.insert("cp3".into(), "3.7.0".into());
    health.members.insert("cp2".into(), "3.7.1".into());
    health.members.insert("elsewhere".into(), "3.9.0".into());
    health.database = 8 << 30;
    if let Some(host) = inventory.hosts.get_mut("cp2") {
        host.facts.disk.free_bytes = 12 << 30;
    }
    insta::assert_snapshot!("health_nodes_members_room", told(&inventory, &health));
}

const KUBELET: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

#[test]
fn certificates_hold_for_thirty_days() {
    let (_, mut inventory) = three_and_three();
    let facts = [
        certificate(&inventory, APISERVER, 29 * 24),
        certificate(&inventory, "/etc/kubernetes/admin.conf", 31 * 24),
        // kubelet's own matter.
        certificate(&inventory, KUBELET, 30),
        certificate(&inventory, KUBELET, -1),
        certificate(&inventory, "/etc/kubernetes/pki/etcd-external/client.crt", 29 * 24),
        CertificateFact { authority: true, ..certificate(&inventory, "/etc/kubernetes/pki/ca.crt", 48) },
    ];
    if let Some(host) = inventory.hosts.get_mut("cp2") {
        host.facts.certificates = facts.into();
    }
    insta::assert_snapshot!("health_certificates", told(&inventory, &well()));
}

/// Where kubeadm makes them for ten days, those that were just made are good.
#[test]
fn short_certificates_hold_for_a_third_of_their_time() {
    let (text, mut inventory) = three_and_three();
    let short = "  overrides:\n    clusterConfiguration: {certificateValidityPeriod: 240h0m0s}\n";
    let cluster = cluster(&text.replacen("  overrides:\n", short, 1));
    for (left, is_good) in [(240, true), (81, true), (79, false)] {
        let fact = certificate(&inventory, APISERVER, left);
        if let Some(host) = inventory.hosts.get_mut("cp2") {
            host.facts.certificates = vec![fact];
        }
        assert_eq!(check_health(&cluster, &inventory, &well()).is_ok(), is_good, "{left} hours");
    }
}

/// Nobody's clock but the host's own takes part: the same observations give the same answer.
#[test]
fn the_hosts_clock_counts() {
    let (_, mut inventory) = three_and_three();
    let fact = certificate(&inventory, APISERVER, 200 * 24);
    let hosts: &mut BTreeMap<_, _> = &mut inventory.hosts;
    if let Some(host) = hosts.get_mut("cp2") {
        host.facts.certificates = vec![fact];
        host.facts.clock = host.facts.clock.checked_add(SignedDuration::from_hours(180 * 24)).unwrap_or(Timestamp::MAX);
    }
    assert!(
        told(&inventory, &well())
            .starts_with("cp2: the certificate in /etc/kubernetes/pki/apiserver.crt ends in 20 days")
    );
}
