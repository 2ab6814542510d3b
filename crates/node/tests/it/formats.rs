//! What a node keeps, of other major versions: not guessed at, and left alone.

use sealock_node::changes::{Changes, ChangesError};
use sealock_node::step::{Claim, Kept, ObjectsKept};
use sealock_node::{Probe, Step};
use sealock_trust::format;

use crate::machine::{Machine, apply, bare};

const CHANGES: &str = "/var/lib/sealock/node/backup/changes.json";
const CLAIM: &str = "/var/lib/sealock/node/claim.json";

/// Frozen: documents of 1.0.
const CHANGES_1: &str = r#"{"format":"node-changes/1.0","changes":[]}"#;
const CLAIM_1: &str = r#"{"format":"node-claim/1.0","cluster":"plant-7","tables":["inet filter"]}"#;

#[test]
fn records_of_changes_of_another_major_are_refused_by_name() {
    let machine = Machine::new();
    machine.put(CHANGES, CHANGES_1);
    assert_eq!(Changes::load(&machine).unwrap().iter().count(), 0);
    for version in ["2.0", "0.9"] {
        machine.put(CHANGES, &CHANGES_1.replace("1.0", version).replace("[]", "{}"));
        let error = Changes::load(&machine).unwrap_err();
        let ChangesError::Format(unknown) = error else { panic!("{error}") };
        assert_eq!(unknown.known, format::NODE_CHANGES);
        assert!(unknown.found.ends_with(version));
    }
}

#[test]
fn a_claim_of_another_major_is_nobody_elses_and_not_ours() {
    let claim = Step::new("claim", Claim { cluster: "plant-7".into(), running: None });
    let machine = Machine::new();
    machine.put(CLAIM, CLAIM_1);
    apply(&claim, &machine).unwrap();
    for version in ["2.0", "0.9"] {
        let bent = CLAIM_1.replace("1.0", version);
        machine.put(CLAIM, &bent);
        let error = apply(&claim, &machine).unwrap_err();
        assert!(error.to_string().contains(&format!("node-claim/{version}")), "{error}");
        assert_eq!(machine.text(CLAIM), bent);
    }
}

const KEPT: &str = "/var/lib/sealock/node/kept.json";
const OBJECTS: &str = "/var/lib/sealock/node/kept-objects.json";
const KEPT_1: &str = r#"{"format":"node-kept/1.0","since":"v1.36.3","files":{"/etc/kubernetes/manifests/etcd.yaml":{"mode":"0600","content":"image: etcd"}},"links":{},"marks":{}}"#;
const OBJECTS_1: &str = r#"{"format":"node-kept-objects/1.0","since":"v1.36.3","objects":[]}"#;

/// What an upgrade has kept is neither put back nor kept anew by a Sealock that does not read it.
#[test]
fn what_an_upgrade_kept_of_another_major_is_left_alone() {
    let (kept, objects) = (Kept { since: "v1.36.3".into() }, ObjectsKept { since: "v1.36.3".into() });
    let cases = [(Step::new("kept", kept), KEPT, KEPT_1), (Step::new("objects", objects), OBJECTS, OBJECTS_1)];
    for (step, path, document) in cases {
        let machine = Machine::new();
        machine.put(path, document);
        let probed = bare(|context| step.probe(&machine, context)).unwrap();
        assert_eq!(probed, Probe::Done, "{document}");
        for version in ["2.0", "0.9"] {
            let bent = document.replace("1.0", version);
            machine.put(path, &bent);
            let error = apply(&step, &machine).unwrap_err();
            assert!(error.to_string().contains(&format!("/{version} is")), "{error}");
            assert_eq!(machine.text(path), bent);
        }
    }
}
