//! What a control plane host says about a renewal, before, between and after its halves. The e2e scenario of three control planes
//! carries it out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, Purpose};
use sealock_node::step::Renewal;
use sealock_node::{Probe, Step};

use crate::machine::{Machine, probe};

const PATH: &str = "/etc/kubernetes/pki/apiserver.crt";
const RECORD: &str = "/var/lib/sealock/node/renewal.json";

/// Puts a new certificate into the file, and answers its serial.
fn issue(machine: &Machine) -> String {
    let now = Timestamp::now();
    let authority = Authority::generate("kubernetes", now).unwrap();
    let issued = authority.issue(Purpose::Server, "kube-apiserver", &["kubernetes".to_owned()], (now, 365)).unwrap();
    machine.put(PATH, &issued.certificate);
    Facts::of(&issued.certificate).unwrap().serial
}

fn renewal(serial: &str) -> Step {
    let serials = BTreeMap::from([(PATH.to_owned(), serial.to_owned())]);
    Step::new("certificates", Renewal { serials, config: String::new(), made_only: false, signed: None })
}

fn missing(step: &Step, machine: &Machine) -> String {
    match probe(step, machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_done_when_all_that_runs_has_been_started_with_new_certificates_and_not_before() {
    let machine = Machine::new();
    let old = issue(&machine);
    assert_eq!(missing(&renewal(&old), &machine), format!("{PATH} is still the same"));

    let new = issue(&machine);
    assert_eq!(missing(&renewal(&old), &machine), "what runs has not been started anew");

    // A record of an earlier renewal says nothing of this one.
    machine.put(RECORD, &format!(r#"{{"serials":{{"{PATH}":"{old}"}},"outdated":{{"etcd":["1"]}}}}"#));
    assert_eq!(missing(&renewal(&old), &machine), "what runs has not been started anew");
    machine.put(RECORD, "torn");
    assert_eq!(missing(&renewal(&old), &machine), "what runs has not been started anew");

    machine.put(RECORD, &format!(r#"{{"serials":{{"{PATH}":"{new}"}},"outdated":{{"etcd":["1"]}}}}"#));
    assert_eq!(missing(&renewal(&old), &machine), "etcd is not running");
}

#[test]
fn it_is_not_taken_back() {
    let machine = Machine::new();
    assert!(crate::machine::bare(|context| renewal("01").undo(&machine, context)).is_err());
}
