//! A certificate for a kubelet whose own has ended: what was sent is looked at before it takes the place of the old one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Purpose};
use sealock_node::request::Secrets;
use sealock_node::step::KubeletCertificate;
use sealock_node::{Context, Probe, Step, StepError};

use crate::machine::{Machine, probe};

const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

fn issued(name: &str, days: u32) -> String {
    let now = Timestamp::now();
    let authority = Authority::generate("kubernetes", now).unwrap();
    let begun = now - jiff::SignedDuration::from_hours(24 * 10);
    let issued = authority.issue(Purpose::Client, name, &[], (begun, days)).unwrap();
    format!("{}{}", issued.certificate, issued.key.as_str())
}

fn apply(machine: &Machine, pem: &str) -> Result<(), StepError> {
    let secrets: Secrets = [("kubelet-certificate".to_owned(), pem.to_owned())].into_iter().collect();
    let admitted = BTreeSet::new();
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
    step().apply(machine, &context)
}

fn step() -> Step {
    Step::new("kubelet", KubeletCertificate { node: "w1".into(), replaced: None, signed: None })
}

#[test]
fn kubelet_gets_what_was_sent_beside_what_it_had() {
    let machine = Machine::new();
    machine.put("/etc/systemd/system/kubelet.service", "[Service]");
    machine.put(CURRENT, &issued("system:node:w1", 9));
    let Probe::NotDone { because } = probe(&step(), &machine) else { panic!("it has ended a day ago") };
    assert!(because.contains("it has ended at"), "{because}");
    let new = issued("system:node:w1", 30);
    apply(&machine, &new).unwrap();
    // As kubelet keeps them: by a link with the whole path, which leads out of the folder that is this machine.
    let target = std::fs::read_link(machine.path().join(&CURRENT[1..])).unwrap();
    let target = target.to_str().unwrap();
    assert!(target.starts_with("/var/lib/kubelet/pki/kubelet-client-20"), "{target}");
    assert_eq!(machine.text(target), new);
    assert!(machine.is_active("kubelet.service"));
}

#[test]
fn what_is_of_no_use_does_not_take_its_place() {
    let machine = Machine::new();
    let old = issued("system:node:w1", 9);
    machine.put(CURRENT, &old);
    for pem in [issued("system:node:w2", 30), issued("system:node:w1", 9), "nothing".to_owned()] {
        let error = apply(&machine, &pem).unwrap_err();
        assert!(matches!(error, StepError::Invalid { .. }), "{error}");
        assert_eq!(machine.text(CURRENT), old);
    }
    assert_eq!(machine.calls(), [""; 0]);
}
