//! A whole run: fence, signatures, journal, events.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_node::request::{Event, EventKind, RUN_FORMAT, Secrets};
use sealock_node::runner::{self, Run, RunError};
use sealock_node::step::{Claim, File, Mode};
use sealock_node::{RunRequest, Step, admission, journal};
use sealock_store::release::{self, Cause, Release};
use sealock_trust::dsse::Envelope;
use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer, SiteRoot};

use crate::machine::Machine;

struct Site {
    key: FileKey,
    root: SiteRoot,
}

impl Site {
    fn new() -> Self {
        let key = FileKey::generate(Scheme::Ed25519).unwrap();
        let keys = || KeySet::new([key.public_key().clone()], 1).unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["registry.lab".to_owned()]).unwrap();
        let spec = SiteRootSpec {
            id: "plant-7".parse().unwrap(),
            issued: Timestamp::UNIX_EPOCH,
            classification: None,
            root: keys(),
            site: keys(),
            approver: None,
            stale_grace_days: None,
            retained_releases: None,
            registry: Registry {
                name: "registry.lab".into(),
                address: "10.77.0.2:443".into(),
                ca: certificate.cert.pem(),
            },
        };
        let root = SiteRoot::create(&spec, &[&key]).unwrap();
        Self { key, root }
    }

    fn release(&self) -> Vec<u8> {
        let release = Release {
            format: release::FORMAT.into(),
            number: 1,
            previous: None,
            cause: Cause::Import { stream: "base".into(), sequence: 1 },
            issued: Timestamp::UNIX_EPOCH,
            streams: Vec::new(),
            references: Vec::new(),
            trust_generation: None,
            exceptions: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        let payload = jcs::to_vec(&release).unwrap();
        Envelope::sign(release::PAYLOAD_TYPE, &payload, &[&self.key]).unwrap().to_json().unwrap()
    }
}

fn request(generation: u64, steps: Vec<Step>) -> RunRequest {
    RunRequest {
        format: RUN_FORMAT.into(),
        plan: Digest::sha256(b"plan"),
        node: "cp1".into(),
        generation,
        nonce: "n".into(),
        registry: None,
        steps,
    }
}

fn steps() -> Vec<Step> {
    let file = |path: &str| File { path: path.into(), content: "ours".into(), mode: Mode::FILE, replaces: None };
    vec![
        Step::new("claim", Claim { cluster: "plant-7".into(), running: None }),
        Step::new("a", file("/etc/a")),
        Step::new("b", file("/etc/b")),
    ]
}

struct Outcome {
    result: Result<(), RunError>,
    events: Vec<EventKind>,
}

impl Outcome {
    fn changed(&self) -> Vec<&str> {
        let changed = self.events.iter().filter_map(|event| match event {
            EventKind::StepDone { step, changed: true, .. } => Some(step.as_str()),
            _ => None,
        });
        changed.collect()
    }
}

fn run(machine: &Machine, request: &RunRequest, site: &Site, release: &[u8]) -> Outcome {
    let events = RefCell::new(Vec::new());
    let secrets = Secrets::default();
    let run = Run { request, site_root: site.root.as_bytes(), release, store: None, secrets: &secrets };
    let folder = machine.path().join("var/lib/sealock/node");
    let result = runner::run(run, machine, &folder, &|event: Event| events.borrow_mut().push(event.what));
    Outcome { result, events: events.into_inner() }
}

#[test]
fn a_run_does_all_steps_and_the_next_one_changes_nothing() {
    let (machine, site) = (Machine::new(), Site::new());
    let first = run(&machine, &request(1, steps()), &site, &site.release());
    first.result.as_ref().unwrap();
    assert_eq!(first.changed(), ["claim", "a", "b"]);
    assert_eq!(first.events.last(), Some(&EventKind::RunEnded { error: None }));
    let tree = machine.tree();
    let second = run(&machine, &request(2, steps()), &site, &site.release());
    second.result.as_ref().unwrap();
    assert_eq!(second.changed(), [""; 0]);
    assert_eq!(machine.tree(), tree);
    let path = machine.path().join("var/lib/sealock/node/journal").join(Digest::sha256(b"plan").hex());
    assert!(!journal::is_open(&journal::read(&path).unwrap()));
}

#[test]
fn what_stands_in_the_way_stops_the_run_before_later_steps() {
    let (machine, site) = (Machine::new(), Site::new());
    machine.put("/etc/a", "theirs");
    let outcome = run(&machine, &request(1, steps()), &site, &site.release());
    let error = outcome.result.unwrap_err();
    assert_eq!(error.code(), Some(Code::Foreign));
    let Some(EventKind::RunEnded { error: Some(failure) }) = outcome.events.last() else { panic!() };
    assert_eq!((failure.code.as_deref(), failure.retryable), (Some("FOREIGN"), false));
    assert!(failure.message.contains("/etc/a"), "{}", failure.message);
    assert!(!machine.path().join("etc/b").exists());
}

#[test]
fn a_stale_operator_another_site_and_an_unsigned_release_change_nothing() {
    let (machine, site, other) = (Machine::new(), Site::new(), Site::new());
    run(&machine, &request(5, vec![]), &site, &site.release()).result.unwrap();
    let before = machine.tree();
    let code = |outcome: Outcome| outcome.result.unwrap_err().code();
    assert_eq!(code(run(&machine, &request(4, steps()), &site, &site.release())), Some(Code::StalePlan));
    assert_eq!(code(run(&machine, &request(5, steps()), &other, &other.release())), Some(Code::NotEnrolled));
    assert!(code(run(&machine, &request(5, steps()), &site, &other.release())).is_some());
    let mut flipped = site.release();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(code(run(&machine, &request(5, steps()), &site, &flipped)).is_some());
    let mut twice = steps();
    twice.extend(steps());
    assert_eq!(code(run(&machine, &request(5, twice), &site, &site.release())), Some(Code::Format));
    assert_eq!(machine.tree(), before);
}

/// Who asks before anything is used that a site root vouches for.
#[test]
fn a_machine_knows_the_site_that_it_kept_and_no_other() {
    let (machine, site, other) = (Machine::new(), Site::new(), Site::new());
    let before = machine.tree();
    assert!(!admission::is_known(&machine, other.root.as_bytes()).unwrap(), "whoever comes first could be anybody");
    assert_eq!(machine.tree(), before, "to ask changes nothing");
    run(&machine, &request(1, vec![]), &site, &site.release()).result.unwrap();
    assert!(admission::is_known(&machine, site.root.as_bytes()).unwrap());
    let refused = admission::is_known(&machine, other.root.as_bytes()).unwrap_err();
    assert_eq!(refused.code(), Some(Code::NotEnrolled));
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_finished_by_the_next() {
    let site = Site::new();
    let release = site.release();
    for cut in 0.. {
        let machine = Machine::new();
        machine.fail_after(cut);
        let outcome = run(&machine, &request(1, steps()), &site, &release);
        if outcome.result.is_ok() {
            assert!(cut > 8, "the cuts reached the steps ({cut})");
            break;
        }
        machine.heal();
        run(&machine, &request(1, steps()), &site, &release)
            .result
            .unwrap_or_else(|error| panic!("after {cut}: {error:?}"));
        assert_eq!(machine.text("/etc/b"), "ours");
    }
}
