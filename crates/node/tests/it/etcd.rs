//! What a machine needs to run etcd.

use sealock_node::certificates::{Authority, Facts};
use sealock_node::changes::{Changes, Subject};
use sealock_node::host::Entry;
use sealock_node::step::{
    EtcdCertificates, EtcdRestored, EtcdStopped, GiveBack, LocalFile, LocalProgram, Mode, SetAside,
};
use sealock_node::{Host, Probe, Step, StepError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::machine::{Machine, apply, probe, undo};

fn program(content: &str) -> Step {
    let digest = Digest::sha256(content.as_bytes());
    let file = LocalFile { source: "/media/etcd".into(), digest, link: "/usr/local/bin/etcd".into() };
    Step::new("p", LocalProgram { name: "etcd".into(), version: "v3.6.8".into(), files: vec![file] })
}

fn aside() -> Step {
    Step::new("a", SetAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-26T07-00-00Z".into() })
}

fn certificates(names: &[&str], new_authority: bool) -> Step {
    let step = EtcdCertificates {
        folder: "/etc/etcd/pki".into(),
        member: "m1".into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        new_authority,
        days: 90,
        renew_before_days: 30,
    };
    Step::new("c", step)
}

fn restored(run: &str) -> Step {
    let step = EtcdRestored {
        snapshot: "/media/snapshot.db".into(),
        digest: Digest::sha256(b"the snapshot"),
        etcdutl: "/usr/local/bin/etcdutl".into(),
        data: "/var/lib/etcd".into(),
        member: "m1".into(),
        peer_url: "https://10.0.0.1:2380".into(),
        initial_cluster: "m1=https://10.0.0.1:2380".into(),
        token: "t".into(),
        bump_revision: 9,
        run: run.into(),
    };
    Step::new("r", step)
}

/// Cuts `step` off after each of its changes in turn, and lets it run again: it must end as if it had never been cut off.
pub(crate) fn at_every_change(prepare: impl Fn() -> Machine, step: &Step, holds: impl Fn(&Machine)) {
    let whole = prepare();
    apply(step, &whole).unwrap();
    holds(&whole);
    for changes in 0..100 {
        let machine = prepare();
        machine.fail_after(changes);
        let cut = apply(step, &machine);
        machine.heal();
        apply(step, &machine).unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        holds(&machine);
        assert_eq!(probe(step, &machine), Probe::Done);
        if cut.is_ok() {
            assert!(changes > 1, "it changes nothing");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_program_is_brought_by_its_digest_linked_and_taken_back() {
    let prepare = || {
        let machine = Machine::new();
        machine.put("/media/etcd", "etcd 3.6.8");
        machine
    };
    let machine = prepare();
    let before = machine.tree();
    apply(&program("etcd 3.6.8"), &machine).unwrap();
    let Entry::Link { target } = machine.inspect("/usr/local/bin/etcd").unwrap() else { panic!("no link") };
    assert_eq!(machine.text(&target), "etcd 3.6.8");
    at_every_change(prepare, &program("etcd 3.6.8"), |_| {});
    undo(&program("etcd 3.6.8"), &machine);
    let after: Vec<_> = machine.tree().into_keys().filter(|path| !before.contains_key(path)).collect();
    assert!(after.iter().all(|path| !path.contains("v3.6.8")), "{after:?}");
}

#[test]
fn a_program_that_changed_since_the_plan_is_not_linked() {
    let machine = Machine::new();
    machine.put("/media/etcd", "something else");
    let error = apply(&program("etcd 3.6.8"), &machine).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error}");
    assert_eq!(machine.inspect("/usr/local/bin/etcd").unwrap(), Entry::Missing);
    machine.put("/usr/local/bin/etcd", "the distribution's");
    machine.put("/media/etcd", "etcd 3.6.8");
    assert!(matches!(apply(&program("etcd 3.6.8"), &machine), Err(StepError::Foreign { .. })));
}

#[test]
fn data_is_moved_aside_and_back_and_never_deleted() {
    let prepare = || {
        let machine = Machine::new();
        machine.put("/var/lib/etcd/member/snap/db", "data");
        machine
    };
    at_every_change_of_one(prepare, &aside());
    let machine = prepare();
    assert!(matches!(probe(&aside(), &machine), Probe::NotDone { .. }));
    apply(&aside(), &machine).unwrap();
    assert_eq!(machine.text("/var/lib/etcd.2026-11-26T07-00-00Z/member/snap/db"), "data");
    // What comes into the folder later is not the old data.
    machine.put("/var/lib/etcd/member/snap/db", "new");
    assert_eq!(probe(&aside(), &machine), Probe::Done);
    assert_eq!(probe(&aside(), &Machine::new()), Probe::Done, "where nothing is, nothing is moved");
    let machine = prepare();
    let before = machine.tree();
    apply(&aside(), &machine).unwrap();
    undo(&aside(), &machine);
    assert_eq!(machine.tree(), before);
}

fn at_every_change_of_one(prepare: impl Fn() -> Machine, step: &Step) {
    let machine = prepare();
    machine.fail_after(0);
    apply(step, &machine).unwrap_err();
    assert_eq!(machine.text("/var/lib/etcd/member/snap/db"), "data");
}

#[test]
fn certificates_are_made_issued_again_for_another_name_and_survive_being_cut_off() {
    let step = certificates(&["10.0.0.1", "m1"], true);
    let whole = |machine: &Machine| {
        let ca = Facts::of(&machine.text("/etc/etcd/pki/ca.crt")).unwrap();
        for name in ["server", "peer", "client", "apiserver-etcd-client"] {
            let facts = Facts::of(&machine.text(&format!("/etc/etcd/pki/{name}.crt"))).unwrap();
            assert!(
                facts.is_issued_by(&ca) && facts.has_key(&machine.text(&format!("/etc/etcd/pki/{name}.key"))).unwrap()
            );
            let Entry::File { mode, .. } = machine.inspect(&format!("/etc/etcd/pki/{name}.key")).unwrap() else {
                panic!()
            };
            assert_eq!(mode, Mode::PRIVATE);
        }
    };
    at_every_change(Machine::new, &step, whole);

    let machine = Machine::new();
    apply(&step, &machine).unwrap();
    let (ca, client) = (machine.text("/etc/etcd/pki/ca.crt"), machine.text("/etc/etcd/pki/client.crt"));
    let wider = certificates(&["10.0.0.1", "m1", "10.0.0.9"], false);
    assert!(probe(&wider, &machine).to_string().contains("does not name 10.0.0.9"));
    apply(&wider, &machine).unwrap();
    assert_eq!(machine.text("/etc/etcd/pki/ca.crt"), ca);
    assert_eq!(machine.text("/etc/etcd/pki/client.crt"), client, "what is right stays");
    let facts = Facts::of(&machine.text("/etc/etcd/pki/peer.crt")).unwrap();
    assert!(facts.names.contains(&"10.0.0.9".to_owned()), "{facts:?}");
}

#[test]
fn a_member_that_joins_needs_the_clusters_authority_and_no_other_is_made() {
    let machine = Machine::new();
    let step = certificates(&["10.0.0.2"], false);
    let error = apply(&step, &machine).unwrap_err();
    assert!(matches!(&error, StepError::Foreign { found } if found.contains("ca.crt")), "{error}");
    let authority = Authority::generate("etcd", jiff::Timestamp::now()).unwrap();
    machine.put("/etc/etcd/pki/ca.crt", authority.certificate());
    let error = apply(&step, &machine).unwrap_err();
    assert!(matches!(&error, StepError::Foreign { found } if found.contains("ca.key")), "{error}");
    machine.put("/etc/etcd/pki/ca.key", &authority.key());
    apply(&step, &machine).unwrap();
    undo(&step, &machine);
    assert_eq!(machine.text("/etc/etcd/pki/ca.crt"), authority.certificate(), "what was brought stays");
    assert_eq!(machine.inspect("/etc/etcd/pki/peer.key").unwrap(), Entry::Missing);

    let lost = Machine::new();
    lost.put("/etc/etcd/pki/ca.key", &authority.key());
    let error = apply(&certificates(&["10.0.0.1"], true), &lost).unwrap_err();
    assert!(matches!(error, StepError::Foreign { .. }), "a key that may have issued something is not written over");
}

#[test]
fn a_restore_survives_being_cut_off_and_never_touches_data_that_is_there() {
    let prepare = || {
        let machine = Machine::new();
        machine.put("/media/snapshot.db", "the snapshot");
        machine
    };
    let whole = |machine: &Machine| {
        assert_eq!(machine.text("/var/lib/etcd/member/snap/db"), "the snapshot");
        assert_eq!(machine.list("/var/lib/etcd").unwrap(), ["member"]);
    };
    at_every_change(prepare, &restored("one"), whole);

    let machine = prepare();
    machine.put("/var/lib/etcd/member/snap/db", "data");
    let error = apply(&restored("one"), &machine).unwrap_err();
    assert!(matches!(error, StepError::Foreign { .. }), "{error}");
    assert_eq!(machine.text("/var/lib/etcd/member/snap/db"), "data");

    let machine = prepare();
    apply(&restored("one"), &machine).unwrap();
    assert!(matches!(probe(&restored("two"), &machine), Probe::Foreign { .. }), "another restore of the same snapshot");

    let machine = prepare();
    machine.put("/media/snapshot.db", "another");
    let error = apply(&restored("one"), &machine).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(machine.inspect("/var/lib/etcd/member").unwrap(), Entry::Missing);
}

#[test]
fn etcd_counts_as_stopped_only_when_it_has_let_go_of_its_data() {
    let machine = Machine::new();
    let stopped = |unit: Option<&str>, manifest: Option<&str>| {
        let (unit, manifest) = (unit.map(str::to_owned), manifest.map(str::to_owned));
        Step::new("s", EtcdStopped { unit, manifest, data: "/var/lib/etcd".into() })
    };
    assert_eq!(probe(&stopped(None, None), &machine), Probe::Done, "there is no data");
    machine.put("/var/lib/etcd/member/snap/db", "data");
    machine.put("/var/lib/etcd/member/snap/db.held", "");
    assert!(probe(&stopped(None, None), &machine).to_string().contains("something holds /var/lib/etcd"));
    std::fs::remove_file(machine.path().join("var/lib/etcd/member/snap/db.held")).unwrap();
    assert_eq!(probe(&stopped(None, None), &machine), Probe::Done);
    machine.put("/etc/kubernetes/manifests/etcd.yaml", "kind: Pod");
    let pod = stopped(None, Some("/etc/kubernetes/manifests/etcd.yaml"));
    apply(&pod, &machine).unwrap();
    assert_eq!(machine.inspect("/etc/kubernetes/manifests/etcd.yaml").unwrap(), Entry::Missing);
}

#[test]
fn what_was_changed_is_given_back_in_one_step() {
    let machine = Machine::new();
    machine.put("/media/etcd", "etcd 3.6.8");
    let before = machine.tree();
    apply(&program("etcd 3.6.8"), &machine).unwrap();
    apply(&certificates(&["10.0.0.1"], true), &machine).unwrap();
    let subjects: Vec<Subject> =
        Changes::load(&machine).unwrap().iter().rev().map(|change| change.subject.clone()).collect();
    let step = Step::new("g", GiveBack { subjects });
    at_least_some(&step, &machine);
    apply(&step, &machine).unwrap();
    assert_eq!(machine.tree(), before);
    assert_eq!(probe(&step, &machine), Probe::Done);
}

fn at_least_some(step: &Step, machine: &Machine) {
    assert!(matches!(probe(step, machine), Probe::NotDone { .. }));
}
