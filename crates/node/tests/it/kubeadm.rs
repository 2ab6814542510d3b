//! Phases of kubeadm: secrets, marks, phases that nobody knows.

use std::collections::BTreeSet;
use std::fs;

use sealock_node::host::{Command, Host};
use sealock_node::request::Secrets;
use sealock_node::step::{KubeadmCommand, KubeadmPhase, RanBefore, RunAs};
use sealock_node::{Context, Probe, Step, StepError};
use sealock_trust::Digest;

use crate::machine::{GHOST, Machine, apply, probe};

fn phase(phase: &str, config: &str) -> Step {
    let (phase, config) = (phase.to_owned(), config.to_owned());
    Step::new("k", KubeadmPhase { command: KubeadmCommand::Join, phase, node: "w1".into(), config })
}

#[test]
fn a_secret_is_in_a_private_file_for_as_long_as_the_phase_runs_and_nowhere_else() {
    let machine = Machine::new();
    let secrets: Secrets = [("bootstrap-token".to_owned(), "abcdef.0123456789abcdef".to_owned())].into_iter().collect();
    let admitted = BTreeSet::new();
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
    let step = phase("preflight", "token: ${secret:bootstrap-token}\n");
    step.apply(&machine, &context).unwrap();
    step.verify(&machine, &context).unwrap();
    let calls = machine.calls();
    assert_eq!(
        calls,
        [
            "kubeadm join phase preflight --config /run/sealock/kubeadm-join-preflight.yaml".to_owned(),
            "0600 token: abcdef.0123456789abcdef\n".to_owned(),
        ]
    );
    assert!(!machine.path().join("run/sealock/kubeadm-join-preflight.yaml").exists());
    assert!(!format!("{secrets:?}").contains("0123456789"));
}

#[test]
fn a_secret_that_was_not_sent_and_an_unknown_phase_run_nothing() {
    let machine = Machine::new();
    let error = apply(&phase("preflight", "token: ${secret:bootstrap-token}"), &machine).unwrap_err();
    assert!(matches!(error, StepError::NoSecret { .. }), "{error}");
    let error = apply(&phase("make-coffee", ""), &machine).unwrap_err();
    assert!(matches!(error, StepError::Invalid { .. }), "{error}");
    assert_eq!(machine.calls(), [""; 0]);
}

#[test]
fn another_configuration_is_another_phase() {
    let machine = Machine::new();
    apply(&phase("preflight", "a"), &machine).unwrap();
    assert_eq!(probe(&phase("preflight", "a"), &machine), Probe::Done);
    assert!(matches!(probe(&phase("preflight", "b"), &machine), Probe::NotDone { .. }));
}

/// Running kubeadm again over a node that is up would be an upgrade, or a ruin, that nobody has asked for.
#[test]
fn a_node_that_is_complete_is_not_made_anew_by_another_configuration() {
    let machine = Machine::new();
    apply(&phase("preflight", "a"), &machine).unwrap();
    fs::write(machine.path().join("var/lib/sealock/node/phases/join-kubelet-wait-bootstrap"), "sha256:00").unwrap();
    assert_eq!(probe(&phase("preflight", "a"), &machine), Probe::Done);
    let Probe::Foreign { found } = probe(&phase("preflight", "b"), &machine) else { panic!("it would run again") };
    assert!(found.contains("went through with another configuration"), "{found}");
}

/// An upgrade goes over a node that is complete; afterwards the node counts as made with the newer configuration.
#[test]
fn an_upgrade_leaves_the_node_as_made_with_what_it_has_become() {
    let machine = Machine::new();
    for name in ["preflight", "kubelet-wait-bootstrap"] {
        machine.put(&format!("/var/lib/sealock/node/phases/join-{name}"), &Digest::sha256(b"old").to_string());
    }
    machine.put("/var/lib/sealock/node/phases/init-preflight", "sha256:00");
    let upgrade = |config: &str| {
        let (phase, config) = ("preflight".to_owned(), config.to_owned());
        Step::new("k", KubeadmPhase { command: KubeadmCommand::UpgradeApply, phase, node: "cp1".into(), config })
    };
    apply(&upgrade("apply: v1.36.4"), &machine).unwrap();
    assert_eq!(
        machine.calls()[0],
        "kubeadm upgrade apply phase preflight --config /run/sealock/kubeadm-upgrade-apply-preflight.yaml --yes"
    );
    assert!(matches!(probe(&upgrade("apply: v1.37.2"), &machine), Probe::NotDone { .. }), "the next one is another");

    let config = Digest::sha256(b"new");
    let run_as = RunAs { command: KubeadmCommand::Join, config: config.clone(), version: "v1.37.2".into() };
    let run_as = Step::new("r", run_as);
    assert!(matches!(probe(&run_as, &machine), Probe::NotDone { .. }));
    apply(&run_as, &machine).unwrap();
    assert_eq!(probe(&phase("preflight", "new"), &machine), Probe::Done);
    assert_eq!(machine.text("/var/lib/sealock/node/phases/init-preflight"), "sha256:00", "another way into a cluster");
}

fn control_plane_upgrade() -> Step {
    let (phase, config) = ("control-plane".to_owned(), "v1.37.2".to_owned());
    Step::new("k", KubeadmPhase { command: KubeadmCommand::UpgradeApply, phase, node: "cp1".into(), config })
}

/// kubeadm says that it has done nothing, and calls that a success.
#[test]
fn add_ons_wait_for_the_cluster_to_forget_a_control_plane_that_was_taken_out() {
    let machine = Machine::new();
    machine.put(GHOST, "kube-apiserver-cp2");
    let (phase, config) = ("addon all".to_owned(), "v1.37.2".to_owned());
    let kind = KubeadmPhase { command: KubeadmCommand::UpgradeApply, phase, node: "cp1".into(), config };
    let step = Step::new("k", kind);
    apply(&step, &machine).unwrap();
    let ran = machine.calls().iter().filter(|call| call.starts_with("kubeadm upgrade apply phase addon all")).count();
    assert_eq!(ran, 2);
    assert_eq!(probe(&step, &machine), Probe::Done);
}

const MANIFESTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// kubeadm moves an old manifest away before the new one gets its place. Cut off between the two, nothing would start etcd again.
#[test]
fn a_manifest_that_an_earlier_run_moved_away_is_put_back_before_kubeadm_runs() {
    let machine = Machine::new();
    for name in MANIFESTS {
        machine.put(&format!("/etc/kubernetes/manifests/{name}.yaml"), "now");
    }
    machine.put("/etc/kubernetes/manifests/etcd.yaml", "");
    for (attempt, content) in [("2026-11-26-10-00-00", "older"), ("2026-11-26-11-00-00", "newer")] {
        machine.put(&format!("/etc/kubernetes/tmp/kubeadm-backup-manifests-{attempt}/etcd.yaml"), content);
    }
    // There is no kubectl on this machine by which the API server could be seen to serve again.
    apply(&control_plane_upgrade(), &machine).unwrap_err();
    assert_eq!(machine.text("/etc/kubernetes/manifests/etcd.yaml"), "newer");
    assert_eq!(machine.text("/etc/kubernetes/manifests/kube-apiserver.yaml"), "now");
    assert!(!machine.calls().iter().any(|call| call.starts_with("kubeadm")));
}

/// They are as large as the database, and one is made at each attempt.
#[test]
fn kubeadms_copies_of_etcds_data_do_not_fill_the_disk() {
    let machine = Machine::new();
    for name in MANIFESTS.into_iter().chain(["etcd"]) {
        machine.put(&format!("/etc/kubernetes/manifests/{name}.yaml"), "now");
    }
    machine.put("/etc/kubernetes/tmp/kubeadm-backup-etcd-2026-11-26-10-00-00/etcd/member/snap/db", "data");
    machine.put("/etc/kubernetes/tmp/kubeadm-backup-manifests-2026-11-26-10-00-00/etcd.yaml", "older");
    apply(&control_plane_upgrade(), &machine).unwrap();
    let left = fs::read_dir(machine.path().join("etc/kubernetes/tmp")).unwrap().count();
    assert_eq!(left, 1, "the manifests stay");
}

/// kubeadm repeats tokens and keys on its output, which would end in the journal and at the operator.
#[test]
fn a_phase_that_fails_does_not_repeat_secrets() {
    let machine = Machine::new();
    let secrets: Secrets = [("bootstrap-token".to_owned(), "coffee.0123456789abcdef".to_owned())].into_iter().collect();
    let admitted = BTreeSet::new();
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
    let error = phase("preflight", "token: ${secret:bootstrap-token}\n").apply(&machine, &context).unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("Using token") && !said.contains("0123456789abcdef"), "{said}");
}

/// The bootstrap token goes as soon as kubelet has credentials of its own, on workers too.
#[test]
fn the_bootstrap_token_does_not_outlive_the_bootstrap() {
    let machine = Machine::new();
    let put = |path: &str| {
        let path = machine.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    let bootstrap = "etc/kubernetes/bootstrap-kubelet.conf";
    put(bootstrap);
    // kubelet bootstraps while the phase waits for it.
    let bootstraps = |_: &str| {
        assert!(machine.path().join(bootstrap).exists());
        put("var/lib/kubelet/pki/kubelet-client-current.pem");
        put("etc/kubernetes/kubelet.conf");
    };
    let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &bootstraps };
    let step = phase("kubelet-wait-bootstrap", "a");
    step.apply(&machine, &context).unwrap();
    assert!(!machine.path().join(bootstrap).exists());
    assert_eq!(probe(&step, &machine), Probe::Done);
    put(bootstrap);
    assert!(matches!(probe(&step, &machine), Probe::NotDone { because } if because.contains("bootstrap token")));
}

/// A join that was cut off before kubelet had credentials: the token that it has been given may have ended, and nobody would ever take it.
#[test]
fn a_kubelet_without_credentials_starts_again_with_the_token_of_this_run() {
    let machine = Machine::new();
    machine.put("/etc/systemd/system/kubelet.service", "[Service]");
    let start = sealock_node::host::Command::new("systemctl", ["start", "kubelet.service"]);
    start.must(&machine).unwrap();
    let config = "token: ${secret:bootstrap-token}\n";
    for file in ["config.yaml", "kubeadm-flags.env"] {
        machine.put(&format!("/var/lib/kubelet/{file}"), "");
    }
    machine.put("/var/lib/sealock/node/phases/join-kubelet-start", &Digest::sha256(config.as_bytes()).to_string());
    machine.put("/etc/kubernetes/bootstrap-kubelet.conf", "token: 111111.0123456789abcdef\n");
    let step = phase("kubelet-start", config);
    let found = |token: &str| {
        let (admitted, secrets) =
            (BTreeSet::new(), [("bootstrap-token".to_owned(), token.to_owned())].into_iter().collect());
        step.probe(&machine, &Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} })
            .unwrap()
    };
    assert_eq!(found("111111.0123456789abcdef"), Probe::Done);
    let Probe::NotDone { because } = found("222222.0123456789abcdef") else {
        panic!("it goes on with a token that has ended")
    };
    assert!(because.contains("bootstrap-kubelet.conf") && !because.contains("0123456789"), "{because}");
    assert_eq!(probe(&step, &machine), Probe::Done, "who sends no token does not ask for another");
    machine.put("/var/lib/kubelet/pki/kubelet-client-current.pem", "x");
    machine.put("/etc/kubernetes/kubelet.conf", "x");
    assert_eq!(found("222222.0123456789abcdef"), Probe::Done, "kubelet needs no token any more");
}

/// What others made by kubeadm counts as made, once all that its phases leave was seen.
#[test]
fn phases_that_ran_before_count_only_where_all_of_their_traces_are_there() {
    let machine = Machine::new();
    let phases = ["preflight", "kubelet-start", "kubelet-wait-bootstrap"].map(str::to_owned).to_vec();
    let config = Digest::sha256(b"a");
    let step = Step::new("r", RanBefore { command: KubeadmCommand::Join, phases, node: "w1".into(), config });
    let Probe::Foreign { found } = probe(&step, &machine) else { panic!("nothing is there") };
    assert!(
        found.contains("kubeadm join phase kubelet-start") && found.contains("config.yaml is not there"),
        "{found}"
    );
    assert!(matches!(apply(&step, &machine), Err(StepError::Foreign { .. })));
    let files = ["/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/etc/kubernetes/kubelet.conf"];
    for file in files.into_iter().chain(["/var/lib/kubelet/pki/kubelet-client-current.pem"]) {
        machine.put(file, "theirs");
    }
    // A node whose kubelet is down, as after a cut: earlier steps start it, and then it is looked at.
    let Probe::NotDone { because } = probe(&step, &machine) else { panic!("kubelet does not run") };
    assert_eq!(because, "kubelet is not running");
    machine.put("/etc/systemd/system/kubelet.service", "[Service]\n");
    machine.run(&Command::new("systemctl", ["restart", "kubelet.service"])).unwrap();
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }));
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    // To an apply with the same configuration the node is like one of its own.
    assert_eq!(probe(&phase("kubelet-start", "a"), &machine), Probe::Done);
    assert!(matches!(probe(&phase("kubelet-start", "b"), &machine), Probe::Foreign { .. }));
}

/// kubeadm advises to keep it in a safe place. Where the keys of the authorities are elsewhere, nobody on the host could make it again.
#[test]
fn the_second_kubeconfig_of_an_administrator_may_be_taken_away_from_a_node_that_runs() {
    let machine = Machine::new();
    let (command, config) = (KubeadmCommand::Init, "a".to_owned());
    let kind = KubeadmPhase { command, phase: "kubeconfig all".into(), node: "cp1".into(), config };
    let step = Step::new("k", kind);
    for file in ["admin", "super-admin", "kubelet", "controller-manager", "scheduler"] {
        machine.put(&format!("/etc/kubernetes/{file}.conf"), "x");
    }
    let mark = Digest::sha256(b"a").to_string();
    machine.put("/var/lib/sealock/node/phases/init-preflight", &mark);
    machine.put("/var/lib/sealock/node/phases/init-kubeconfig-all", &mark);
    assert_eq!(probe(&step, &machine), Probe::Done);
    let gone = |file: &str| fs::remove_file(machine.path().join("etc/kubernetes").join(file)).unwrap();
    gone("super-admin.conf");
    let Probe::NotDone { because } = probe(&step, &machine) else { panic!("kubeadm goes on to need it") };
    assert_eq!(because, "/etc/kubernetes/super-admin.conf is not there");
    machine.put("/var/lib/sealock/node/phases/init-addon-all", &mark);
    assert_eq!(probe(&step, &machine), Probe::Done);
    gone("admin.conf");
    let Probe::NotDone { because } = probe(&step, &machine) else { panic!("that one is needed") };
    assert_eq!(because, "/etc/kubernetes/admin.conf is not there");
}
