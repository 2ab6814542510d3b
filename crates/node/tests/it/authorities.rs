//! Authorities that take the place of others on one machine. The e2e scenario of that name carries it out on a cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, Purpose};
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT};
use sealock_node::request::Secrets;
use sealock_node::step::{Authorities, AuthoritiesMade, KubeletCertificate, Stage};
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
    Step::new("authorities", Authorities { stage, old: old.clone(), lost: BTreeSet::new(), config: String::new() })
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
    let step = Step::new("kubelet", KubeletCertificate { node: "w1".into(), replaced: Some(digest(&old)) });
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
    let made = Step::new("authorities", AuthoritiesMade { old: old.clone() });
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
    let (machine, old) = plane();
    apply(&Step::new("authorities", AuthoritiesMade { old: old.clone() }), &machine).unwrap();
    let mut sent = BTreeMap::new();
    for files in AUTHORITIES {
        sent.extend([(files.next, machine.text(files.next)), (files.next_key, machine.text(files.next_key))]);
    }
    cut_off(&machine, &step(Stage::Trust, &old), &sent);
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

#[test]
fn somebodys_own_signer_is_not_taken_over() {
    let (machine, old) = plane();
    apply(&Step::new("authorities", AuthoritiesMade { old: old.clone() }), &machine).unwrap();
    machine.put(MANIFEST, "    - --cluster-signing-cert-file=/etc/own/ca.crt\n");
    let Probe::Foreign { found } = probe(&step(Stage::Trust, &old), &machine) else { panic!("it is nobody's") };
    assert!(found.contains("/etc/own/ca.crt"), "{found}");
}
