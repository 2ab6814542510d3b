//! Authorities that somebody else has made, laid down on a machine before kubeadm looks for any.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts};
use sealock_node::kubernetes_certificates::AUTHORITIES;
use sealock_node::request::Secrets;
use sealock_node::step::{AuthoritiesMade, AuthoritiesSupplied};
use sealock_node::{Context, Probe, Step, StepError, suitable};

use crate::machine::{Machine, probe};

const CA: &str = "/etc/kubernetes/pki/ca.crt";
const KEY: &str = "/etc/kubernetes/pki/ca.key";
const TOKENS: &str = "/etc/kubernetes/pki/sa.key";

fn made() -> Vec<Authority> {
    AUTHORITIES.iter().map(|_| Authority::generate("Plant", Timestamp::now()).unwrap()).collect()
}

fn certificates(made: &[Authority]) -> BTreeMap<String, String> {
    AUTHORITIES
        .iter()
        .zip(made)
        .map(|(files, one)| (files.certificate.to_owned(), one.certificate().to_owned()))
        .collect()
}

fn keys(made: &[Authority], tokens: Option<&Authority>) -> BTreeMap<String, String> {
    let keys = AUTHORITIES.iter().zip(made).map(|(files, one)| (files.key.to_owned(), one.key().to_string()));
    keys.chain(tokens.map(|one| (TOKENS.to_owned(), one.key().to_string()))).collect()
}

fn supplied(made: &[Authority], tokens: Option<&Authority>) -> Step {
    let service_accounts = tokens.map(|one| suitable::service_accounts(&one.key()).unwrap());
    Step::new("authorities/supplied", AuthoritiesSupplied { certificates: certificates(made), service_accounts })
}

fn run(step: &Step, machine: &Machine, keys: &BTreeMap<String, String>) -> Result<(), StepError> {
    let sent = ("supplied-authorities".to_owned(), serde_json::to_string(keys).unwrap());
    let (secrets, admitted): (Secrets, _) = ([sent].into_iter().collect(), BTreeSet::new());
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

fn in_the_way(step: &Step, machine: &Machine) -> String {
    match probe(step, machine) {
        Probe::Foreign { found } => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_of_them_come_or_none_and_their_keys_are_roots_alone() {
    let machine = Machine::new();
    let (made, tokens) = (made(), Authority::generate("sa", Timestamp::now()).unwrap());
    let step = supplied(&made, Some(&tokens));
    assert_eq!(missing(&step, &machine), format!("{CA} is not there"));
    let mut sent = keys(&made, None);
    let refused = run(&step, &machine, &sent).unwrap_err();
    assert!(refused.to_string().contains("holds no private key for /etc/kubernetes/pki/sa.key"), "{refused}");
    sent = keys(&made, Some(&tokens));
    sent.insert(KEY.to_owned(), made[1].key().to_string());
    let refused = run(&step, &machine, &sent).unwrap_err();
    assert!(refused.to_string().contains("is not the one of the certificate in the plan"), "{refused}");
    assert_eq!(missing(&step, &machine), format!("{CA} is not there"), "nothing was laid down");

    run(&step, &machine, &keys(&made, Some(&tokens))).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    for path in keys(&made, Some(&tokens)).keys() {
        let metadata = std::fs::metadata(machine.path().join(&path[1..])).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{path}");
    }
    assert_eq!(machine.text(KEY), *made[0].key());
    assert!(machine.text("/etc/kubernetes/pki/sa.pub").starts_with("-----BEGIN PUBLIC KEY-----"));
    crate::machine::bare(|context| step.undo(&machine, context)).unwrap();
    assert_eq!(missing(&step, &machine), format!("{CA} is not there"));
}

#[test]
fn what_was_cut_off_is_finished_and_what_is_anothers_is_left_alone() {
    let machine = Machine::new();
    let (made, others) = (made(), made());
    let step = supplied(&made, None);
    // Killed between the certificate and its key.
    machine.put(CA, &Facts::of(made[0].certificate()).unwrap().pem());
    assert_eq!(missing(&step, &machine), format!("{KEY} is not there"));
    run(&step, &machine, &keys(&made, None)).unwrap();

    machine.put(KEY, &others[0].key());
    assert_eq!(in_the_way(&step, &machine), format!("{KEY} is there, and is not the key of {CA}"));
    machine.put(CA, others[0].certificate());
    assert_eq!(in_the_way(&step, &machine), format!("{CA} is there, and is not the authority of the spec"));
    crate::machine::bare(|context| step.undo(&machine, context)).unwrap();
    assert_eq!(machine.text(CA), others[0].certificate(), "another's is not taken away");

    // While authorities are replaced there are two, and the key is that of the first one.
    machine.put(CA, &format!("{}{}", others[0].certificate(), made[0].certificate()));
    run(&step, &machine, &keys(&made, None)).unwrap();
    assert_eq!(Facts::all(&machine.text(CA)).len(), 2);
    assert_eq!(probe(&step, &machine), Probe::Done);
}

#[test]
fn tokens_are_signed_by_the_key_of_the_spec_or_by_none_of_ours() {
    let machine = Machine::new();
    let (made, tokens) = (made(), Authority::generate("sa", Timestamp::now()).unwrap());
    run(&supplied(&made, None), &machine, &keys(&made, None)).unwrap();
    let step = supplied(&made, Some(&tokens));
    machine.put("/etc/kubernetes/pki/sa.pub", &suitable::service_accounts(&made[1].key()).unwrap());
    assert!(in_the_way(&step, &machine).contains("sa.pub is there, and is not what the spec says"));
    machine
        .put("/etc/kubernetes/pki/sa.pub", &suitable::service_accounts(&tokens.key()).unwrap().replace('\n', "\r\n"));
    assert_eq!(missing(&step, &machine), format!("{TOKENS} is not there"));
    machine.put(TOKENS, &made[1].key());
    assert!(in_the_way(&step, &machine).contains("sa.key is there, and is not the key of"));
}

/// The same by which authorities are replaced that nobody supplies: only that none is made.
#[test]
fn new_ones_are_kept_as_they_were_brought() {
    let machine = Machine::new();
    let (old, next, others) = (made(), made(), made());
    let digest = |one: &Authority| Facts::of(one.certificate()).unwrap().digest();
    let old = AUTHORITIES.iter().zip(&old).map(|(files, one)| (files.certificate.to_owned(), digest(one))).collect();
    let step = Step::new("authorities", AuthoritiesMade { old, supplied: certificates(&next) });
    let waits = AUTHORITIES[0].next;
    assert_eq!(missing(&step, &machine), format!("{waits} holds no new authority"));
    let refused = run(&step, &machine, &keys(&others, None)).unwrap_err();
    assert!(refused.to_string().contains("is not the one of the certificate in the plan"), "{refused}");
    assert_eq!(missing(&step, &machine), format!("{waits} holds no new authority"), "nothing is kept");
    run(&step, &machine, &keys(&next, None)).unwrap();
    assert_eq!(machine.text(AUTHORITIES[2].next_key), *next[2].key());
    machine.put(waits, others[0].certificate());
    machine.put(AUTHORITIES[0].next_key, &others[0].key());
    assert_eq!(missing(&step, &machine), format!("{waits} holds no new authority"), "another one waits");
}
