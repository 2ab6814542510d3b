//! What a person gets to read who wrote something wrong into a cluster spec.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use sealock_cluster::Cluster;
use sealock_cluster::spec::LoadError;

use crate::fixture::ONE_AND_ONE;

fn refused(text: &str) -> String {
    let error = Cluster::load(Path::new("cluster.yaml"), text).unwrap_err();
    assert!(error.is_refusal());
    let mut said = String::new();
    let mut cause: Option<&dyn Error> = match &error {
        LoadError::Document(error) => Some(error),
        other => Some(other),
    };
    while let Some(error) = cause {
        writeln!(said, "{error}").unwrap();
        cause = error.source();
    }
    said
}

/// The rest of a second control plane, and a third.
const THREE_PLANES: &str = "roles: [control-plane]
      ssh: {user: ops, hostKey: SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8}
    - name: cp3
      address: 10.77.0.13
      roles: [control-plane]";

#[test]
fn mistakes_are_told_with_their_place() {
    let mut text = String::new();
    let mistakes = [
        ("unknown field", "  site: plant-7", "  sight: plant-7"),
        ("wrong type", "controlPlane: {endpoint: 10.77.0.11:6443}", "controlPlane: 10.77.0.11:6443"),
        ("label instead of a version", "version: v1.36.3", "version: stable"),
        ("not an address", "address: 10.77.0.21", "address: w1.plant.example"),
        ("not a host key", "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8", "SHA256:short"),
        ("same name twice", "name: w1", "name: cp1"),
        ("same address twice", "10.77.0.21", "10.77.0.11"),
        ("no control plane", "roles: [control-plane]", "roles: [worker]"),
        ("the endpoint is one of three", "roles: [worker]", THREE_PLANES),
        ("a local proxy at an address", "10.77.0.11:6443}", "10.77.0.11:7443, localProxy: true}"),
        ("a local proxy at etcd's port", "10.77.0.11:6443}", "\"api.plant-7.internal:2379\", localProxy: true}"),
        ("no role", "roles: [worker]", "roles: []"),
        ("host inside the pod network", "address: 10.77.0.21", "address: 10.244.3.1"),
        ("overlapping networks", "  hosts:", "  network: {services: 10.244.128.0/17}\n  hosts:"),
        ("bits behind the prefix", "  hosts:", "  network: {pods: 10.244.7.0/16}\n  hosts:"),
        ("no time server", "  hosts:", "  time: {servers: []}\n  hosts:"),
        ("a time server with a port", "  hosts:", "  time: {servers: [\"10.77.0.2:123\"]}\n  hosts:"),
        (
            "the same time server twice",
            "  hosts:",
            "  time: {servers: [ntp.plant.internal, ntp.plant.internal]}\n  hosts:",
        ),
        ("a time server that is a host", "  hosts:", "  time: {servers: [10.77.0.2, 10.77.0.21]}\n  hosts:"),
        ("a time server among the pods", "  hosts:", "  time: {servers: [10.244.0.9]}\n  hosts:"),
        ("a patch of what the spec says", "  overrides:", "  overrides:\n    kubeProxy: {mode: ipvs}"),
    ];
    for (what, from, to) in mistakes {
        assert!(ONE_AND_ONE.contains(from), "{what}");
        writeln!(text, "--- {what}\n{}", refused(&ONE_AND_ONE.replacen(from, to, 1))).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// An etcd of somebody else's before the hosts.
fn external(endpoint: &str, ca: &str) -> String {
    let files = "certFile: client.crt, keyFile: client.key";
    let etcd = format!("  etcd: {{external: {{endpoints: [\"{endpoint}\"], caFile: {ca}, {files}}}}}\n  hosts:");
    ONE_AND_ONE.replacen("  hosts:", &etcd, 1)
}

#[test]
fn an_etcd_of_somebody_elses_is_named_whole_and_once() {
    const URL: &str = "https://10.77.0.31:2379";
    Cluster::load(Path::new("cluster.yaml"), &external(URL, "ca.crt")).unwrap();
    let arguments =
        "  overrides:\n    clusterConfiguration: {apiServer: {extraArgs: [{name: etcd-prefix, value: /other}]}}";
    let patch = "  overrides:\n    clusterConfiguration: {etcd: {local: {dataDir: /srv}}}";
    let patched = |with: &str| external(URL, "ca.crt").replacen("  overrides:", with, 1);
    let mistakes = [
        ("without TLS", external("http://10.77.0.31:2379", "ca.crt")),
        ("without a port", external("https://10.77.0.31", "ca.crt")),
        ("on a host of the cluster", external("https://10.77.0.21:2379", "ca.crt")),
        ("twice", external(&format!("{URL}\", \"{URL}"), "ca.crt")),
        ("without a file", external(URL, "\"\"")),
        ("nowhere", external(URL, "ca.crt").replace(&format!("[\"{URL}\"]"), "[]")),
        ("in a patch, too", patched(patch)),
        ("at another place in it", patched(arguments)),
    ];
    let mut text = String::new();
    for (what, spec) in mistakes {
        writeln!(text, "--- {what}\n{}", refused(&spec)).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// How the way to something else goes is no part of what a cluster is: it may be changed in the middle of it.
#[test]
fn how_a_cluster_is_upgraded_makes_no_other_cluster() {
    let digest = |text: &str| Cluster::load(Path::new("cluster.yaml"), text).unwrap().digest();
    let policy =
        "  upgrade: {onFailure: halt, maxUnavailable: 2, drain: {timeoutSeconds: 90, deleteEmptydirData: true}}\n";
    assert_eq!(digest(&format!("{ONE_AND_ONE}{policy}")), digest(ONE_AND_ONE));
    let refused = refused(&format!("{ONE_AND_ONE}  upgrade: {{maxUnavailable: 0}}\n"));
    assert!(refused.contains("nonzero"), "{refused}");
}

/// Authorities that somebody else has made, before the hosts.
fn supplied(pki: &str) -> String {
    ONE_AND_ONE.replacen("  hosts:", &format!("  pki: {{supplied: {{{pki}}}}}\n  hosts:"), 1)
}

#[test]
fn authorities_that_somebody_else_has_made_are_named_whole() {
    const PAIR: &str = "{certFile: ca.crt, keyFile: ca.key}";
    let all = format!("kubernetes: {PAIR}, frontProxy: {PAIR}, etcd: {PAIR}");
    let good = supplied(&format!("{all}, serviceAccounts: {{keyFile: sa.key}}"));
    Cluster::load(Path::new("cluster.yaml"), &good).unwrap();
    let beside =
        |etcd: &str, text: &str| text.replacen("  hosts:", &format!("  etcd: {{external: {{{etcd}}}}}\n  hosts:"), 1);
    let etcd = "endpoints: [\"https://10.77.0.31:2379\"], caFile: ca.crt, certFile: c.crt, keyFile: c.key";
    let folder = "  overrides:\n    clusterConfiguration: {certificatesDir: /srv}";
    let mistakes = [
        ("without etcd's", supplied(&format!("kubernetes: {PAIR}, frontProxy: {PAIR}"))),
        ("with that of an external etcd", beside(etcd, &good)),
        ("without a file", supplied(&all.replacen("ca.key", "\"\"", 1))),
        ("without a key", supplied(&all.replacen(", keyFile: ca.key", "", 1))),
        ("elsewhere", good.replacen("  overrides:", folder, 1)),
        ("in another mode", good.replacen("supplied:", "external:", 1)),
    ];
    let mut text = String::new();
    for (what, spec) in mistakes {
        writeln!(text, "--- {what}\n{}", refused(&spec)).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Authorities whose keys stay with somebody else, before the hosts.
fn outside(pki: &str) -> String {
    ONE_AND_ONE.replacen("  hosts:", &format!("  pki: {{external: {{{pki}}}}}\n  hosts:"), 1)
}

#[test]
fn authorities_whose_keys_stay_elsewhere_are_named_whole_and_alone() {
    const OWN: &str = "{certFile: ca.crt}";
    let all = format!("kubernetes: {OWN}, frontProxy: {OWN}, etcd: {OWN}, requests: requests");
    let good = outside(&all);
    Cluster::load(Path::new("cluster.yaml"), &good).unwrap();
    let pair = "{certFile: ca.crt, keyFile: ca.key}";
    let supplied = format!("}}, supplied: {{kubernetes: {pair}, frontProxy: {pair}, etcd: {pair}}}}}\n  hosts:");
    let mistakes = [
        ("without etcd's", outside(&all.replacen(&format!(" etcd: {OWN},"), "", 1))),
        ("with a key", outside(&all.replacen("ca.crt}", "ca.crt, keyFile: ca.key}", 1))),
        ("without a folder", outside(&all.replacen(", requests: requests", "", 1))),
        ("with a folder that has no name", outside(&all.replacen("requests: requests", "requests: \" \"", 1))),
        ("beside authorities with their keys", good.replacen("}}\n  hosts:", &supplied, 1)),
        (
            "where kubelets ask for serving certificates",
            good.replacen("cgroupDriver: cgroupfs", "cgroupDriver: cgroupfs, serverTLSBootstrap: true", 1),
        ),
    ];
    let mut text = String::new();
    for (what, spec) in mistakes {
        writeln!(text, "--- {what}\n{}", refused(&spec)).unwrap();
    }
    insta::assert_snapshot!(text);
}
