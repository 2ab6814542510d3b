//! Components: fetched, verified, unpacked, linked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use sealock_node::pull::Client;
use sealock_node::request::Secrets;
use sealock_node::source::Source;
use sealock_node::step::{Artifact, Component, ComponentFile, Packing};
use sealock_node::{Context, Probe, Step, StepError, StepKind};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::machine::{Machine, apply, probe, undo};
use crate::registry::{Answer, Registry};

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn component(artifact: Artifact, packing: Packing, files: &[(&str, &str)]) -> Step {
    let files = files.iter().map(|(member, link)| ComponentFile { member: (*member).into(), link: (*link).into() });
    Step::new(
        "c",
        Component {
            name: "tool".into(),
            version: "v1.0.0".into(),
            artifact,
            packing,
            files: files.collect(),
            staged: false,
            replaces: Default::default(),
        },
    )
}

fn install(step: &Step, machine: &Machine, registry: &Registry, admitted: &[&Artifact]) -> Result<(), StepError> {
    let source = Source::Registry(Client::new(&registry.endpoint).unwrap());
    let admitted: BTreeSet<_> = admitted.iter().map(|artifact| artifact.digest.clone()).collect();
    let context =
        Context { source: Some(&source), admitted: &admitted, secrets: &Secrets::default(), progress: &|_| {} };
    step.apply(machine, &context)?;
    step.verify(machine, &context)
}

const FILES: &[(&str, &str)] = &[("bin/one", "/usr/local/bin/one"), ("two", "/usr/local/sbin/two")];

#[test]
fn an_archive_is_installed_repaired_and_taken_back() {
    let (machine, registry) = (Machine::new(), Registry::start());
    let before = machine.tree();
    let content = archive(&[("./bin/one", b"1"), ("two", b"22"), ("LICENSE", b"text")]);
    let artifact = registry.artifact("github.com/tool", &content, vec![Answer::Whole(content.clone())]);
    let step = component(artifact.clone(), Packing::TarGzip, FILES);
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }));
    install(&step, &machine, &registry, &[&artifact]).unwrap();
    assert_eq!(machine.text("/opt/sealock/tool/v1.0.0/bin/one"), "1");
    let link = fs::read_link(machine.path().join("usr/local/sbin/two")).unwrap();
    assert_eq!(link.to_str(), Some("/opt/sealock/tool/v1.0.0/two"));
    let asked = registry.asked();
    let installed = machine.tree();
    assert!(!installed.keys().any(|path| path.contains("LICENSE") || path.contains(".layer")));
    install(&step, &machine, &registry, &[&artifact]).unwrap();
    assert_eq!(registry.asked(), asked, "what is there is not fetched again");
    machine.put("/opt/sealock/tool/v1.0.0/two", "flipped");
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }));
    install(&step, &machine, &registry, &[&artifact]).unwrap();
    assert_eq!(machine.tree(), installed);
    undo(&step, &machine);
    let left: Vec<_> = machine.tree().into_iter().filter(|entry| !before.contains_key(&entry.0)).collect();
    assert!(left.iter().all(|(_, what)| what == "755 folder"), "{left:?}");
}

/// What is fetched ahead changes nothing that runs, and is not fetched again when its time has come.
#[test]
fn what_is_staged_is_not_linked() {
    let (machine, registry) = (Machine::new(), Registry::start());
    machine.put("/opt/sealock/tool/v0.9.0/tool", "older");
    std::os::unix::fs::symlink("/opt/sealock/tool/v0.9.0/tool", machine.path().join("usr/bin/tool")).unwrap();
    let artifact = registry.artifact("dl.k8s.io/tool", b"newer", vec![Answer::Whole(b"newer".to_vec())]);
    let linked = component(artifact.clone(), Packing::Plain, &[("tool", "/usr/bin/tool")]);
    let mut staged = linked.clone();
    let StepKind::Component(component) = &mut staged.action else { panic!("{staged}") };
    component.staged = true;
    install(&staged, &machine, &registry, &[&artifact]).unwrap();
    assert_eq!(machine.text("/opt/sealock/tool/v1.0.0/tool"), "newer");
    let target = || fs::read_link(machine.path().join("usr/bin/tool")).unwrap();
    assert_eq!(target().to_str(), Some("/opt/sealock/tool/v0.9.0/tool"));
    let asked = registry.asked();
    install(&linked, &machine, &registry, &[&artifact]).unwrap();
    assert_eq!(target().to_str(), Some("/opt/sealock/tool/v1.0.0/tool"));
    assert_eq!(registry.asked(), asked);
}

#[test]
fn what_the_release_does_not_hold_is_not_asked_for() {
    let (machine, registry) = (Machine::new(), Registry::start());
    let artifact = registry.artifact("dl.k8s.io/tool", b"bytes", vec![Answer::Whole(b"bytes".to_vec())]);
    let step = component(artifact, Packing::Plain, &[("tool", "/usr/bin/tool")]);
    let before = machine.tree();
    let error = install(&step, &machine, &registry, &[]).unwrap_err();
    assert_eq!(error.code(), Some(Code::NotInRelease), "{error}");
    assert_eq!((registry.asked(), machine.tree()), (0, before));
}

#[test]
fn damage_on_the_way_leaves_nothing_that_could_run() {
    let (machine, registry) = (Machine::new(), Registry::start());
    let good = archive(&[("bin/one", b"1"), ("two", b"22")]);
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let artifact = registry.artifact("github.com/tool", &good, vec![Answer::Whole(bad), Answer::Whole(good.clone())]);
    let step = component(artifact.clone(), Packing::TarGzip, FILES);
    let error = install(&step, &machine, &registry, &[&artifact]).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error:?}");
    assert!(machine.tree().iter().all(|(path, what)| what.ends_with("folder") || !path.contains("tool")));
    install(&step, &machine, &registry, &[&artifact]).unwrap();
}

#[test]
fn an_archive_without_the_file_or_with_a_link_in_its_place_is_refused() {
    let (machine, registry) = (Machine::new(), Registry::start());
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "bin/one", "/etc/shadow").unwrap();
    let with_link = builder.into_inner().unwrap().finish().unwrap();
    for content in [archive(&[("two", b"22")]), with_link] {
        let artifact = registry.artifact("github.com/tool", &content, vec![Answer::Whole(content.clone())]);
        let step = component(artifact.clone(), Packing::TarGzip, FILES);
        let error = install(&step, &machine, &registry, &[&artifact]).unwrap_err();
        assert!(matches!(error, StepError::Malformed { .. }), "{error:?}");
        assert!(!machine.path().join("usr/local/bin/one").exists());
    }
}

#[test]
fn a_binary_of_someone_else_is_foreign() {
    let (machine, registry) = (Machine::new(), Registry::start());
    machine.put("/usr/bin/tool", "the distribution's");
    let artifact = registry.artifact("dl.k8s.io/tool", b"bytes", vec![Answer::Whole(b"bytes".to_vec())]);
    let step = component(artifact.clone(), Packing::Plain, &[("tool", "/usr/bin/tool")]);
    assert!(matches!(install(&step, &machine, &registry, &[&artifact]), Err(StepError::Foreign { .. })));
    assert!(matches!(apply(&step, &machine), Err(StepError::Foreign { .. })));
    assert_eq!(machine.text("/usr/bin/tool"), "the distribution's");
}

/// A program of others makes room where the plan names its very bytes, is kept, and comes back.
#[test]
fn a_program_of_others_is_kept_aside_and_given_back() {
    let (machine, registry) = (Machine::new(), Registry::start());
    machine.put("/usr/bin/tool", "the owner's");
    fs::set_permissions(machine.path().join("usr/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = machine.tree();
    let artifact = registry.artifact("dl.k8s.io/tool", b"ours", vec![Answer::Whole(b"ours".to_vec())]);
    let step = |replaced: Option<&[u8]>| {
        let mut step = component(artifact.clone(), Packing::Plain, &[("tool", "/usr/bin/tool")]);
        let StepKind::Component(component) = &mut step.action else { panic!("{step}") };
        component.replaces =
            replaced.map(|bytes| ("/usr/bin/tool".to_owned(), Digest::sha256(bytes))).into_iter().collect();
        step
    };
    for others in [None, Some(&b"another's"[..])] {
        assert!(matches!(probe(&step(others), &machine), Probe::Foreign { .. }), "{others:?}");
        assert!(matches!(install(&step(others), &machine, &registry, &[&artifact]), Err(StepError::Foreign { .. })));
    }
    assert_eq!(machine.tree(), before);
    let step = step(Some(b"the owner's"));
    install(&step, &machine, &registry, &[&artifact]).unwrap();
    let link = fs::read_link(machine.path().join("usr/bin/tool")).unwrap();
    assert_eq!(link.to_str(), Some("/opt/sealock/tool/v1.0.0/tool"));
    assert_eq!(machine.text("/opt/sealock/tool/v1.0.0/tool"), "ours");
    let kept = format!("/var/lib/sealock/node/backup/{}", Digest::sha256(b"the owner's").hex());
    assert_eq!(machine.text(&kept), "the owner's");
    install(&step, &machine, &registry, &[&artifact]).unwrap();
    undo(&step, &machine);
    assert_eq!(machine.text("/usr/bin/tool"), "the owner's");
    assert_eq!(machine.tree()["usr/bin/tool"], before["usr/bin/tool"]);
}
