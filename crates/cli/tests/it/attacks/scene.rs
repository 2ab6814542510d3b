//! A station, and copies of it that attacks are tried on.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealock_bundle::Manifest;
use sealock_bundle::delta::{Baseline, Bases};
use sealock_trust::{Digest, SiteRoot};

use super::Expected;
use super::forge::{Cargo, Parts, Publisher};
use crate::sandbox::Sandbox;
use crate::site;

/// A station that believes one publisher, and has accepted nothing yet.
pub struct Station {
    sandbox: Sandbox,
    publisher: Publisher,
}

impl Station {
    pub fn new() -> Self {
        let (sandbox, publisher) = (Sandbox::new(), Publisher::new());
        site::spec(&sandbox, "plant-7");
        sandbox.must(&["site", "init", "--unencrypted-keys"]);
        sandbox.write("root.json", &publisher.roots[0]);
        let fingerprint = Digest::sha256(&publisher.roots[0]).to_string();
        sandbox.must(&["trust", "enroll", "root.json", "--fingerprint", &fingerprint]);
        Self { sandbox, publisher }
    }

    /// A copy of it.
    pub fn scene(&self) -> Scene<'_> {
        let sandbox = Sandbox::new();
        copy(&self.sandbox.join("state"), sandbox.path());
        Scene { sandbox, publisher: &self.publisher, files: Cell::new(0) }
    }
}

/// A station of its own for one attack.
pub struct Scene<'a> {
    pub sandbox: Sandbox,
    pub publisher: &'a Publisher,
    files: Cell<u32>,
}

/// What the site said.
pub struct Verdict {
    pub exit: i32,
    /// The reason code; `-` where there is none.
    pub code: String,
    /// The files of the site that are not what they were.
    pub changed: Vec<PathBuf>,
    pub seen: String,
}

impl Verdict {
    pub fn fits(&self, expected: Expected) -> bool {
        match expected {
            Expected::Refused(code) => self.exit == 3 && self.code == code && self.changed.is_empty(),
            Expected::RefusedKeepingRoots(code) => self.is_refused_keeping(code, |path| path.ends_with(".root.json")),
            Expected::RefusedKeepingList(code) => {
                self.is_refused_keeping(code, |path| path.contains("/trust/revocations/")) && !self.changed.is_empty()
            }
            Expected::RefusedAndFrozen(code) => {
                let is_freeze = |path: &PathBuf| path.ends_with("trust/frozen.json");
                self.exit == 3 && self.code == code && self.changed.iter().all(is_freeze)
            }
            Expected::NoEffect => self.exit == 0 && self.changed.is_empty(),
            Expected::Accepted => self.exit == 0 && !self.changed.is_empty(),
        }
    }

    /// Nothing changed but what is valid by itself, and the sealed state that names it.
    fn is_refused_keeping(&self, code: &str, is_kept: impl Fn(&str) -> bool) -> bool {
        let is_state = |path: &PathBuf| path.ends_with("trust/state.json") || path.ends_with("trust/mirror.json");
        let may_change = |path: &PathBuf| is_state(path) || is_kept(&path.to_string_lossy());
        self.exit == 3 && self.code == code && self.changed.iter().all(may_change)
    }
}

impl Scene<'_> {
    /// A new file in the scene.
    pub fn path(&self) -> PathBuf {
        self.files.set(self.files.get() + 1);
        self.sandbox.join(&format!("{}.tar", self.files.get()))
    }

    /// The bundle that the publisher makes of `cargo`.
    pub fn honest(&self, cargo: &Cargo) -> Vec<u8> {
        self.signed_by(self.publisher, cargo)
    }

    pub fn signed_by(&self, publisher: &Publisher, cargo: &Cargo) -> Vec<u8> {
        let path = cargo.write(&self.path());
        publisher.sign(&path);
        fs::read(path).expect("a bundle")
    }

    /// As [`Self::honest`], with a revocation list.
    pub fn carrying(&self, cargo: &Cargo, list: Vec<u8>) -> Vec<u8> {
        let path = cargo.write_with(&self.path(), Some(list));
        self.publisher.sign(&path);
        fs::read(path).expect("a bundle")
    }

    /// The site has accepted `first`, whose receipt lies in the sandbox; answers its manifest.
    pub fn after_the_first(&self, first: &Cargo) -> Vec<u8> {
        let bundle = self.honest(first);
        self.sandbox.write("first.tar", &bundle);
        self.sandbox.must(&["import", "first.tar", "--receipt", "receipt.json"]);
        Parts::of(&bundle).content("tuf/targets/manifest.json").clone()
    }

    /// What a delta on the receipt in the sandbox is made from; `claimed` is the manifest of what it says the site holds.
    pub fn baseline(&self, claimed: &[u8]) -> (Baseline, Bases) {
        let root = SiteRoot::open(&fs::read(self.sandbox.join("state/trust/site-root.json")).expect("a root"));
        let receipt = fs::read(self.sandbox.join("receipt.json")).expect("a receipt");
        let mut bases = Bases::default();
        bases.add(claimed).expect("a manifest");
        (Baseline::open(&receipt, &root.expect("a site root")).expect("a receipt"), bases)
    }

    /// The bundle of `cargo` under this manifest.
    pub fn signed_as(&self, cargo: &Cargo, manifest: &Manifest) -> Vec<u8> {
        let path = cargo.write_as(&self.path(), manifest);
        self.publisher.sign(&path);
        fs::read(path).expect("a bundle")
    }

    /// The site takes `bytes`, a bundle or a revocation list.
    pub fn take(&self, bytes: &[u8]) {
        let verdict = self.import(bytes);
        assert_eq!(verdict.exit, 0, "{}", verdict.seen);
    }

    /// Puts the folders `names` of the site back to what they were before `between`.
    pub fn put_back(&self, names: &[&str], between: impl FnOnce()) {
        let (state, kept) = (self.sandbox.join("state"), self.sandbox.join("kept"));
        copy(&state, &kept);
        between();
        for name in names {
            fs::remove_dir_all(state.join(name)).expect("a folder");
            copy(&kept.join(name), &state.join(name));
        }
    }

    /// The site accepts the publisher's bundle number `sequence`.
    pub fn accept(&self, sequence: u64) {
        let bundle = self.honest(&Cargo::sample(sequence));
        let verdict = self.import(&bundle);
        assert_eq!(verdict.exit, 0, "{}", verdict.seen);
    }

    pub fn import(&self, bundle: &[u8]) -> Verdict {
        fs::write(self.sandbox.join("attack.tar"), bundle).expect("room");
        self.attempt(&["import", "attack.tar"])
    }

    /// What the site says to a command, and whether it is what it was.
    pub fn attempt(&self, args: &[&str]) -> Verdict {
        attempt(&self.sandbox, &[], args)
    }

    /// The same, where another program starts the command.
    pub fn attempt_under(&self, runner: &[String], args: &[&str]) -> Verdict {
        attempt(&self.sandbox, runner, args)
    }
}

/// What a command says, and which files of the station, and of the packager where there is one, are not what they were.
pub fn attempt(sandbox: &Sandbox, runner: &[String], args: &[&str]) -> Verdict {
    let before = state(sandbox);
    let mut command = match runner {
        [] => sandbox.command(args),
        runner => sandbox.command_under(runner, args),
    };
    let output = command.output().expect("the command runs");
    let seen = sandbox.seen(&output);
    let code = seen.split("error[").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("-").to_owned();
    Verdict { exit: output.status.code().unwrap_or(-1), code, changed: differing(&before, &state(sandbox)), seen }
}

/// Every file of the station and of the packager with its content; locks, and what a build goes on with, aside.
fn state(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in ["state", "plant"].map(|name| sandbox.join(name)).iter().filter(|folder| folder.exists()) {
        collect(folder, &mut files);
    }
    files.retain(|path, _| !path.ends_with("lock") && !path.to_string_lossy().contains(".partial"));
    files
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", from.display());
}

fn differing(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let kind = fs::symlink_metadata(&path).expect("metadata").file_type();
        if kind.is_dir() {
            collect(&path, files);
        } else if kind.is_symlink() {
            files.insert(path.clone(), fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes());
        } else {
            files.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
}
