//! What is fetched out of a copy of the store.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_node::request::Secrets;
use sealock_node::source::{Source, StoreCopy};
use sealock_node::step::{Artifact, Component, ComponentFile, Packing};
use sealock_node::{Context, Step, StepError};
use sealock_store::Store;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use tempfile::TempDir;

use crate::machine::Machine;

struct Stick {
    folder: TempDir,
}

impl Stick {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Store::init(&folder.path().join("store")).unwrap();
        Self { folder }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.store().join("blobs/sha256").join(digest.hex())
    }

    fn put(&self, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        fs::write(self.place(&digest), content).unwrap();
        digest
    }

    fn artifact(&self, content: &[u8]) -> (Artifact, Digest) {
        let layer = self.put(content);
        let manifest = format!(r#"{{"layers":[{{"digest":"{layer}","size":{}}}]}}"#, content.len());
        (Artifact { repository: "dl.k8s.io/tool".into(), digest: self.put(manifest.as_bytes()) }, layer)
    }
}

fn step(artifact: &Artifact) -> Step {
    let files = vec![ComponentFile { member: "tool".into(), link: "/usr/bin/tool".into() }];
    let (name, version) = ("tool".into(), "v1.0.0".into());
    let packing = Packing::Plain;
    Step::new(
        "tool",
        Component {
            name,
            version,
            artifact: artifact.clone(),
            packing,
            files,
            staged: false,
            replaces: Default::default(),
        },
    )
}

fn install(artifact: &Artifact, machine: &Machine, store: &Path, admitted: bool) -> Result<(), StepError> {
    let source = Source::Store(StoreCopy::open(store).unwrap());
    let admitted: BTreeSet<Digest> = admitted.then(|| artifact.digest.clone()).into_iter().collect();
    let context =
        Context { source: Some(&source), admitted: &admitted, secrets: &Secrets::default(), progress: &|_| {} };
    let step = step(artifact);
    step.apply(machine, &context)?;
    step.verify(machine, &context)
}

#[test]
fn a_program_is_installed_from_a_copy_of_the_store() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, _) = stick.artifact(b"a program");
    install(&artifact, &machine, &stick.store(), true).unwrap();
    assert_eq!(machine.text("/opt/sealock/tool/v1.0.0/tool"), "a program");
}

#[test]
fn what_the_release_does_not_name_is_not_taken_from_a_copy_either() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, _) = stick.artifact(b"a program");
    let error = install(&artifact, &machine, &stick.store(), false).unwrap_err();
    assert_eq!(error.code(), Some(Code::NotInRelease));
}

#[test]
fn a_blob_that_is_another_one_is_refused_and_nothing_is_linked() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, layer) = stick.artifact(b"a program");
    fs::write(stick.place(&layer), b"a pr0gram").unwrap();
    let error = install(&artifact, &machine, &stick.store(), true).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error:?}");
    assert!(!machine.tree().contains_key("/usr/bin/tool") && !machine.tree().contains_key("usr/bin/tool"));
}

#[test]
fn a_blob_that_was_cut_short_is_refused_as_damage() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, layer) = stick.artifact(b"a program");
    fs::write(stick.place(&layer), b"a prog").unwrap();
    let error = install(&artifact, &machine, &stick.store(), true).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(layer.hex()), "{said}");
}

#[test]
fn a_manifest_that_is_another_one_is_refused() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, _) = stick.artifact(b"a program");
    fs::write(stick.place(&artifact.digest), b"{}").unwrap();
    let error = install(&artifact, &machine, &stick.store(), true).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error:?}");
}

#[test]
fn a_copy_that_is_not_whole_is_named() {
    let (machine, stick) = (Machine::new(), Stick::new());
    let (artifact, layer) = stick.artifact(b"a program");
    fs::remove_file(stick.place(&layer)).unwrap();
    let error = install(&artifact, &machine, &stick.store(), true).unwrap_err();
    assert_eq!(error.code(), Some(Code::Incomplete), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&stick.store().display().to_string()) && said.contains(layer.hex()), "{said}");
}
