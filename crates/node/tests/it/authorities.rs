//! Authorities that take the place of others on one machine. The e2e scenario of that name carries it out on a cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, Purpose};
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT};
use sealock_node::request::Secrets;
use sealock_node::step::{
    Authorities, AuthoritiesForgotten, AuthoritiesMade, KubeletCertificate, Restarted, Stage, Workload,
};
use sealock_node::{Context, Probe, Step, StepError};
use sealock_trust::Digest;

use crate::machine::{Machine, apply, probe};

const CA: &str = "/etc/kubernetes/pki/ca.crt";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";

fn authority(name: &str) -> Authority {
    Authority::generate(name, Timestamp::now()).unwrap()
}

fn digest(authority: &Authority) -> Digest {
    Facts::of(authority.certificate()).unwrap().digest()
}

/// The digests of what a file holds, in their order.
fn held(machine: &Machine, path: &str) -> Vec<Digest> {
    Facts::all(&machine.text(path)).iter().map(Facts::digest).collect()
}

fn kubeconfig(believed: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(believed);
    format!("clusters:\n- cluster:\n    certificate-authority-data: {encoded}\n    server: https://a:6443\n")
}

/// What a kubeconfig believes.
fn believed(machine: &Machine, path: &str) -> String {
    use base64::Engine as _;
    let text = machine.text(path);
    let encoded = text.lines().find_map(|line| line.trim().strip_prefix("certificate-authority-data: ")).unwrap();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
}

fn worker(old: &Authority) -> Machine {
    let machine = Machine::new();
    machine.put(CA, old.certificate());
    machine.put(KUBELET_CONF, &kubeconfig(old.certificate()));
    machine
}

fn step(stage: Stage, old: &BTreeMap<String, Digest>) -> Step {
    authorities(stage, old, old.len() > 1)
}

fn authorities(stage: Stage, old: &BTreeMap<String, Digest>, control_plane: bool) -> Step {
    let (lost, config) = (BTreeSet::new(), String::new());
    Step::new("authorities", Authorities { stage, control_plane, old: old.clone(), lost, config })
}

fn of_worker(stage: Stage, old: &Authority) -> Step {
    step(stage, &BTreeMap::from([(CA.to_owned(), digest(old))]))
}

fn trust(machine: &Machine, step: &Step, sent: &BTreeMap<&str, &str>) -> Result<(), StepError> {
    let sent = serde_json::to_string(sent).unwrap();
    let secrets: Secrets = [("authorities".to_owned(), sent)].into_iter().collect();
    let admitted = BTreeSet::new();
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
    step.apply(machine, &context)?;
    step.verify(machine, &context)
}

fn missing(step: &Step, machine: &Machine) -> String {
    match probe(step, machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_believes_the_old_one_then_both_and_then_the_new_one_alone() {
    let (old, new) = (authority("kubernetes"), authority("kubernetes"));
    let machine = worker(&old);
    let next = AUTHORITIES[0].next;
    assert_eq!(missing(&of_worker(Stage::Trust, &old), &machine), format!("{CA} does not hold the new authority"));
    trust(&machine, &of_worker(Stage::Trust, &old), &BTreeMap::from([(next, new.certificate())])).unwrap();
    assert_eq!(held(&machine, CA), [digest(&old), digest(&new)], "the first one issues: that is the old one");
    assert_eq!(believed(&machine, KUBELET_CONF), machine.text(CA));
    assert!(machine.text(KUBELET_CONF).contains("    server: https://a:6443\n"));

    let too_early = apply(&of_worker(Stage::Drop, &old), &machine).unwrap_err();
    assert!(too_early.to_string().contains("still names the old authority first"), "{too_early}");
    assert_eq!(held(&machine, CA).len(), 2);

    apply(&of_worker(Stage::Issue, &old), &machine).unwrap();
    assert_eq!(held(&machine, CA), [digest(&new), digest(&old)]);
    assert_eq!(probe(&of_worker(Stage::Trust, &old), &machine), Probe::Done, "it is beyond that");
    apply(&of_worker(Stage::Drop, &old), &machine).unwrap();
    assert_eq!(held(&machine, CA), [digest(&new)]);
    assert_eq!(believed(&machine, KUBELET_CONF), machine.text(CA));
    assert_eq!(probe(&of_worker(Stage::Drop, &old), &machine), Probe::Done);
}

#[test]
fn what_is_no_new_authority_is_not_believed() {
    let old = authority("kubernetes");
    let leaf = old.issue(Purpose::Client, "somebody", &[], (Timestamp::now(), 1)).unwrap();
    let machine = worker(&old);
    let before = machine.tree();
    for sent in [leaf.certificate.as_str(), old.certificate(), "nothing"] {
        let next = BTreeMap::from([(AUTHORITIES[0].next, sent)]);
        let error = trust(&machine, &of_worker(Stage::Trust, &old), &next).unwrap_err();
        assert!(matches!(error, StepError::Invalid { .. }), "{error}");
        assert_eq!(machine.tree(), before);
    }
}

#[test]
fn an_authority_whose_key_is_lost_is_forgotten_for_the_next_one() {
    let (old, lost, new) = (authority("kubernetes"), authority("kubernetes"), authority("kubernetes"));
    let machine = worker(&old);
    machine.put(CA, &format!("{}{}", old.certificate(), lost.certificate()));
    machine.put(KUBELET_CONF, &kubeconfig(&machine.text(CA)));
    assert_eq!(probe(&of_worker(Stage::Trust, &old), &machine), Probe::Done);
    let old_by_file = BTreeMap::from([(CA.to_owned(), digest(&old))]);
    let again = Authorities {
        stage: Stage::Trust,
        control_plane: false,
        old: old_by_file,
        lost: BTreeSet::from([digest(&lost)]),
        config: String::new(),
    };
    let again = Step::new("authorities", again);
    assert_eq!(missing(&again, &machine), format!("{CA} does not hold the new authority"));
    trust(&machine, &again, &BTreeMap::from([(AUTHORITIES[0].next, new.certificate())])).unwrap();
    assert_eq!(held(&machine, CA), [digest(&old), digest(&new)]);
}

#[test]
fn a_kubelets_certificate_is_to_be_the_new_authoritys() {
    let (old, new) = (authority("kubernetes"), authority("kubernetes"));
    let machine = worker(&old);
    machine.put("/etc/systemd/system/kubelet.service", "[Service]");
    machine.put(CA, &format!("{}{}", new.certificate(), old.certificate()));
    let issued = |by: &Authority| {
        let issued = by.issue(Purpose::Client, "system:node:w1", &[], (Timestamp::now(), 9)).unwrap();
        format!("{}{}", issued.certificate, issued.key.as_str())
    };
    machine.put(KUBELET_CLIENT, &issued(&old));
    let step =
        Step::new("kubelet", KubeletCertificate { node: "w1".into(), replaced: Some(digest(&old)), signed: None });
    assert_eq!(missing(&step, &machine), "it is not issued by the new authority");
    machine.put(KUBELET_CLIENT, &issued(&new));
    assert_eq!(probe(&step, &machine), Probe::Done);
}

/// A control plane with authorities of its own, and nothing that runs.
fn plane() -> (Machine, BTreeMap<String, Digest>) {
    let machine = Machine::new();
    let mut old = BTreeMap::new();
    for (files, name) in AUTHORITIES.iter().zip(["kubernetes", "front-proxy-ca", "etcd-ca"]) {
        let authority = authority(name);
        machine.put(files.certificate, authority.certificate());
        machine.put(files.key, &authority.key());
        old.insert(files.certificate.to_owned(), digest(&authority));
    }
    machine.put(KUBELET_CONF, &kubeconfig(&machine.text(CA)));
    let manifest =
        format!("    - --client-ca-file={CA}\n    - --cluster-signing-cert-file={CA}\n    - --root-ca-file={CA}\n");
    machine.put(MANIFEST, &manifest);
    (machine, old)
}

#[test]
fn new_authorities_have_the_names_of_the_old_ones_and_are_made_once() {
    let (machine, old) = plane();
    let made = Step::new("authorities", AuthoritiesMade { old: old.clone(), supplied: BTreeMap::new() });
    apply(&made, &machine).unwrap();
    let first = machine.tree();
    apply(&made, &machine).unwrap();
    assert_eq!(machine.tree(), first);
    for (files, name) in AUTHORITIES.iter().zip(["kubernetes", "front-proxy-ca", "etcd-ca"]) {
        let next = Facts::of(&machine.text(files.next)).unwrap();
        assert_eq!((next.name.as_str(), next.authority), (name, true));
        assert!(next.has_key(&machine.text(files.next_key)).unwrap());
        assert_ne!(Some(&next.digest()), old.get(files.certificate));
        assert_eq!(held(&machine, files.certificate).len(), 1, "nobody believes it yet");
    }
    // A certificate without its key is of no use.
    machine.put(AUTHORITIES[1].next_key, "torn");
    assert!(missing(&made, &machine).contains("front-proxy-ca.crt holds no new authority"));
    apply(&made, &machine).unwrap();
}

/// Nothing runs on this machine, so the step is cut off before it would wait for that.
fn cut_off(machine: &Machine, step: &Step, sent: &BTreeMap<&str, String>) {
    let sent = sent.iter().map(|(path, text)| (*path, text.as_str())).collect();
    // Ending containers is the first thing that is run after all files are written: kubelet is not installed here.
    let error = trust(machine, step, &sent).unwrap_err();
    assert!(error.to_string().contains("kubelet"), "{error}");
}

#[test]
fn a_control_plane_keeps_the_new_keys_and_signs_with_one_certificate() {
    let (machine, old, sent) = trusting_plane();
    let text = machine.text(MANIFEST);
    assert!(text.contains("--cluster-signing-cert-file=/etc/kubernetes/pki/ca-signer.crt\n"), "{text}");
    assert!(text.contains(&format!("--root-ca-file={CA}\n")), "{text}");
    assert_eq!(held(&machine, "/etc/kubernetes/pki/ca-signer.crt"), held(&machine, CA)[..1]);
    for files in AUTHORITIES {
        let next = Facts::of(&sent[files.next]).unwrap().digest();
        assert_eq!(held(&machine, files.certificate), [old[files.certificate].clone(), next]);
    }
    cut_off(&machine, &step(Stage::Issue, &old), &BTreeMap::new());
    for files in AUTHORITIES {
        let next = Facts::of(&sent[files.next]).unwrap();
        assert_eq!(held(&machine, files.certificate)[0], next.digest());
        assert!(next.has_key(&machine.text(files.key)).unwrap(), "{}", files.key);
        assert_ne!(machine.text(files.replaced_key), machine.text(files.key));
    }
    assert_eq!(held(&machine, "/etc/kubernetes/pki/ca-signer.crt"), held(&machine, CA)[..1]);
}

/// A control plane that believes both, and keeps the new ones' keys; what is replaced, and what was sent to it.
fn trusting_plane() -> (Machine, BTreeMap<String, Digest>, BTreeMap<&'static str, String>) {
    let (machine, old) = plane();
    apply(&Step::new("authorities", AuthoritiesMade { old: old.clone(), supplied: BTreeMap::new() }), &machine)
        .unwrap();
    let mut sent = BTreeMap::new();
    for files in AUTHORITIES {
        sent.extend([(files.next, machine.text(files.next)), (files.next_key, machine.text(files.next_key))]);
    }
    cut_off(&machine, &step(Stage::Trust, &old), &sent);
    (machine, old, sent)
}

/// What is served is the old ones', and what issues stands first: waiting for the servers would be in vain.
#[test]
fn a_control_plane_that_was_cut_off_while_new_ones_begin_to_issue_is_beyond_believing_them() {
    let (machine, old, _) = trusting_plane();
    assert!(matches!(probe(&step(Stage::Trust, &old), &machine), Probe::NotDone { .. }), "nothing was started anew");
    // The key comes first, and then what the files hold, one after the other: cut off after each change.
    for changes in 2..20 {
        let (machine, old, _) = trusting_plane();
        machine.fail_after(changes);
        let _ = apply(&step(Stage::Issue, &old), &machine);
        machine.heal();
        assert_eq!(probe(&step(Stage::Trust, &old), &machine), Probe::Done, "after {changes} changes");
        cut_off(&machine, &step(Stage::Issue, &old), &BTreeMap::new());
        for files in AUTHORITIES {
            assert!(Facts::all(&machine.text(files.certificate))[0].has_key(&machine.text(files.key)).unwrap());
        }
    }
}

/// What comes late gets the keys, also where another file of it is further.
#[test]
fn a_key_that_is_missing_is_kept_though_another_one_issues_already() {
    let (machine, old, _) = trusting_plane();
    let [_, front_proxy, _] = AUTHORITIES;
    let sent: BTreeMap<&str, String> = AUTHORITIES
        .iter()
        .flat_map(|files| [files.next, files.next_key])
        .map(|path| (path, machine.text(path)))
        .collect();
    machine.fail_after(4);
    let _ = apply(&step(Stage::Issue, &old), &machine);
    machine.heal();
    machine.put(front_proxy.next_key, "torn");
    let late = missing(&step(Stage::Trust, &old), &machine);
    assert_eq!(late, format!("{} is not the key of the new authority", front_proxy.next_key));
    let texts = sent.iter().map(|(path, text)| (*path, text.as_str())).collect();
    trust(&machine, &step(Stage::Trust, &old), &texts).unwrap();
    assert_eq!(machine.text(front_proxy.next_key), sent[front_proxy.next_key]);
}

#[test]
fn old_ones_that_are_dropped_leave_nothing_behind_wherever_it_was_cut_off() {
    let signer = "/etc/kubernetes/pki/ca-signer.crt";
    for changes in 0..16 {
        let (machine, old, _) = trusting_plane();
        cut_off(&machine, &step(Stage::Issue, &old), &BTreeMap::new());
        let kubelet =
            Authority::from_pem(&Facts::all(&machine.text(CA))[0].pem(), &machine.text(AUTHORITIES[0].key)).unwrap();
        let kubelet = kubelet.issue(Purpose::Client, "system:node:cp1", &[], (Timestamp::now(), 9)).unwrap();
        machine.put(KUBELET_CLIENT, &format!("{}{}", kubelet.certificate, kubelet.key.as_str()));
        machine.fail_after(changes);
        let _ = apply(&step(Stage::Drop, &old), &machine);
        machine.heal();
        // The same plan goes on; and so does another one, made where no file tells any more what was dropped.
        let believed = AUTHORITIES.iter().map(|files| held(&machine, files.certificate).len()).max();
        let known = if believed == Some(1) { BTreeMap::new() } else { old };
        cut_off(&machine, &authorities(Stage::Drop, &known, true), &BTreeMap::new());
        let text = machine.text(MANIFEST);
        assert!(text.contains(&format!("--cluster-signing-cert-file={CA}\n")), "after {changes} changes: {text}");
        assert!(!machine.path().join(&signer[1..]).exists(), "after {changes} changes");
        for files in AUTHORITIES {
            assert_eq!(held(&machine, files.certificate).len(), 1);
        }
        let forgotten = Step::new("authorities", AuthoritiesForgotten {});
        assert!(missing(&forgotten, &machine).contains("is still there"), "whoever plans sees that it is not over");
        apply(&forgotten, &machine).unwrap();
        assert_eq!(probe(&forgotten, &machine), Probe::Done);
    }
}

#[test]
fn pods_are_started_anew_once_for_each_set_of_authorities() {
    let [first, second, third] = [(); 3].map(|()| authority("kubernetes"));
    let machine = worker(&first);
    let step = Step::new(
        "restart",
        Restarted {
            workload: Workload::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
            because: "trust".into(),
            timeout_seconds: 1,
        },
    );
    assert_eq!(missing(&step, &machine), "there is no kubectl");
    machine.put("/run/api/deployment/other.json", "{}");
    assert_eq!(probe(&step, &machine), Probe::Done, "it was deleted meanwhile");
    let deployed = |mark: &str| {
        let annotations = serde_json::json!({"sealock/restarted-for": mark});
        let status =
            serde_json::json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        let template = serde_json::json!({"metadata": {"annotations": annotations}});
        let spec = serde_json::json!({"replicas": 2, "template": template});
        serde_json::json!({"metadata": {"generation": 1}, "spec": spec, "status": status}).to_string()
    };
    let believe = |some: [&Authority; 2]| machine.put(CA, &some.map(Authority::certificate).concat());
    let mark = |some: [&Authority; 2]| {
        let mut digests = some.map(|one| digest(one).to_string());
        digests.sort();
        format!("trust-{}", &Digest::sha256(digests.join(" ").as_bytes()).hex()[..12])
    };
    believe([&first, &second]);
    machine.put("/run/api/deployment/web.json", &deployed(&mark([&first, &second])));
    assert_eq!(probe(&step, &machine), Probe::Done);
    believe([&second, &first]);
    assert_eq!(probe(&step, &machine), Probe::Done, "which of them issues does not matter");
    believe([&first, &third]);
    assert_eq!(missing(&step, &machine), "web has not been started anew");
}

#[test]
fn somebodys_own_signer_is_not_taken_over() {
    let (machine, old) = plane();
    apply(&Step::new("authorities", AuthoritiesMade { old: old.clone(), supplied: BTreeMap::new() }), &machine)
        .unwrap();
    machine.put(MANIFEST, "    - --cluster-signing-cert-file=/etc/own/ca.crt\n");
    let Probe::Foreign { found } = probe(&step(Stage::Trust, &old), &machine) else { panic!("it is nobody's") };
    assert!(found.contains("/etc/own/ca.crt"), "{found}");
}
