//! What a control plane host has whose etcd is elsewhere: files for its API server, and a mark that the etcd is claimed.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, Issued, Purpose};
use sealock_node::request::Secrets;
use sealock_node::step::{EtcdClaim, EtcdClient, KubeadmCommand, KubeadmPhase};
use sealock_node::{Context, Probe, Step, StepError};

use crate::machine::{Machine, probe};

const FOLDER: &str = "/etc/kubernetes/pki/etcd-external";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const RECORD: &str = "/var/lib/sealock/node/etcd-client.json";

fn issued(authority: &Authority) -> Issued {
    authority.issue(Purpose::Client, "plant-7", &[], (Timestamp::now(), 30)).unwrap()
}

fn client(authority: &Authority, shown: &Issued) -> Step {
    let (authority, certificate) = (authority.certificate().to_owned(), shown.certificate.clone());
    Step::new("etcd/client", EtcdClient { authority, certificate, laid_only: false })
}

/// With the key of `shown`, as a station sends it.
fn apply(step: &Step, machine: &Machine, shown: &Issued) -> Result<(), StepError> {
    let secrets: Secrets = [("etcd-client-key".to_owned(), shown.key.to_string())].into_iter().collect();
    let admitted = BTreeSet::new();
    step.apply(machine, &Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} })
}

fn place(machine: &Machine, path: &str) -> PathBuf {
    machine.path().join(&path[1..])
}

fn missing(step: &Step, machine: &Machine) -> String {
    match probe(step, machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_key_comes_with_the_run_is_known_by_its_certificate_and_read_by_root_alone() {
    let machine = Machine::new();
    let authority = Authority::generate("etcd", Timestamp::now()).unwrap();
    let (shown, other) = (issued(&authority), issued(&authority));
    let step = client(&authority, &shown);
    assert_eq!(missing(&step, &machine), format!("{FOLDER}/ca.crt is not there"));
    let refused = apply(&step, &machine, &other).unwrap_err();
    assert!(refused.to_string().contains("is not the one of the certificate in the plan"), "{refused}");
    assert_eq!(missing(&step, &machine), format!("{FOLDER}/ca.crt is not there"), "nothing was laid down");
    apply(&step, &machine, &shown).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    let key = place(&machine, &format!("{FOLDER}/client.key"));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(machine.text(&format!("{FOLDER}/client.key")), *shown.key);
    assert!(!machine.text(RECORD).contains(shown.key.lines().nth(1).unwrap()), "the key stands in the record");

    // What somebody else put there, and what was cut off half way.
    machine.put(&format!("{FOLDER}/client.key"), &other.key);
    assert_eq!(missing(&step, &machine), format!("{FOLDER}/client.key is not the key of the certificate"));
    apply(&step, &machine, &shown).unwrap();
    let newer = client(&authority, &other);
    assert_eq!(missing(&newer, &machine), format!("{FOLDER}/client.crt is another one"));
    crate::machine::bare(|context| step.undo(&machine, context)).unwrap();
    assert!(!key.exists() && !place(&machine, RECORD).exists());
}

#[test]
fn an_api_server_that_runs_with_other_files_is_not_done() {
    let machine = Machine::new();
    let authority = Authority::generate("etcd", Timestamp::now()).unwrap();
    let shown = issued(&authority);
    let step = client(&authority, &shown);
    apply(&step, &machine, &shown).unwrap();
    // Cut off between the files and the API server.
    machine.put(RECORD, "{}");
    assert_eq!(missing(&step, &machine), "what runs has not been started anew");
    let facts = Facts::of(&shown.certificate).unwrap();
    assert!(step.to_string().contains(&facts.serial), "{step}");
}

#[test]
fn an_etcd_is_claimed_from_here_for_the_authority_that_is_here() {
    let machine = Machine::new();
    let claim = |endpoint: &str| {
        let claim = EtcdClaim {
            program: "/nowhere/sealock".into(),
            cluster: "plant-7".into(),
            endpoints: vec![endpoint.to_owned()],
        };
        Step::new("etcd/claim", claim)
    };
    let step = claim("https://10.77.0.31:2379");
    assert_eq!(missing(&step, &machine), "the cluster has no authority yet");
    let authority = Authority::generate("kubernetes", Timestamp::now()).unwrap();
    machine.put("/etc/kubernetes/pki/ca.crt", authority.certificate());
    assert_eq!(missing(&step, &machine), "it is not claimed from here");
}

/// kubeadm changes no etcd that is elsewhere, and there is no manifest of one to be missed.
#[test]
fn an_upgrade_misses_no_member_that_was_never_there() {
    let machine = Machine::new();
    let phase = KubeadmPhase {
        command: KubeadmCommand::UpgradeApply,
        phase: "control-plane".into(),
        node: "cp1".into(),
        config: "kind: UpgradeConfiguration\n".into(),
    };
    let step = Step::new("kubeadm/upgrade-apply/control-plane", phase);
    let manifest = |servers: &str| {
        format!("spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers={servers}\n")
    };
    for name in ["kube-controller-manager", "kube-scheduler"] {
        machine.put(&format!("/etc/kubernetes/manifests/{name}.yaml"), "kind: Pod\n");
    }
    machine.put(MANIFEST, &manifest("https://127.0.0.1:2379"));
    assert_eq!(missing(&step, &machine), "/etc/kubernetes/manifests/etcd.yaml is not there");
    machine.put(MANIFEST, &manifest("https://10.77.0.31:2379,https://10.77.0.32:2379"));
    assert_eq!(missing(&step, &machine), "it has not run");
}
