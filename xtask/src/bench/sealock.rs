//! Our own rows: lock and build from a registry, import into a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::measure::{self, Cost};
use crate::registries::Build;

/// A packager's folder and a site's state, both temporary.
pub struct Sealock {
    program: PathBuf,
    desk: PathBuf,
}

impl Sealock {
    /// The release build, at work in `folder`.
    pub fn new(root: &Path, folder: &Path) -> Result<Self> {
        let program = Build::Release.program(root)?;
        let desk = folder.join("sealock");
        fs::create_dir_all(desk.join("home/.config/sealock"))?;
        Ok(Self { program, desk })
    }

    /// Writes spec and settings for images `bench.example/corpus:TAG` that a registry on `address` has.
    pub fn prepare(&self, address: &str, tags: &[String]) -> Result<()> {
        let settings = format!("mirrors: {{bench.example: \"http://{address}\"}}\n");
        fs::write(self.desk.join("home/.config/sealock/config.yaml"), settings)?;
        self.run(&["init", ".", "--name", "bench", "--site", "bench", "--unencrypted-keys"])?;
        let mut spec = "apiVersion: sealock/v1alpha1\nkind: Bundle\nmetadata: {name: bench, stream: base}\nspec:\n  \
             audience: {sites: [bench]}\n  platforms: [linux/amd64]\n  images:\n"
            .to_owned();
        for tag in tags {
            spec.push_str(&format!("    - {{ref: \"bench.example/corpus:{tag}\", verify: {{unsigned: corpus}}}}\n"));
        }
        fs::write(self.desk.join("sealock.yaml"), spec)?;
        self.run(&["lock"]).map(drop)
    }

    /// `sealock build`, after the lock.
    pub fn build(&self) -> Result<Cost> {
        self.run(&["build", "--to", "bench.tar"])
    }

    /// `sealock import` into a site that was just made.
    pub fn import(&self) -> Result<Cost> {
        self.begin_site("state")?;
        self.run(&["import", "bench.tar"])
    }

    /// `sealock import --in-place` of a copy of the bundle into another such site: what is served then is the bundle itself.
    pub fn import_in_place(&self) -> Result<Cost> {
        self.begin_site("state-in-place")?;
        fs::copy(self.bundle(), self.desk.join("lent.tar"))?;
        self.run_at("state-in-place", &["import", "--in-place", "lent.tar"])
    }

    /// A site that believes the packager.
    fn begin_site(&self, state: &str) -> Result<()> {
        let site = "apiVersion: sealock/v1alpha1\nkind: Site\nmetadata: {name: bench}\nspec:\n  \
             registry: {name: registry.bench, address: 127.0.0.1}\n";
        fs::write(self.desk.join("site.yaml"), site)?;
        self.run_at(state, &["site", "init", "--unencrypted-keys"])?;
        let root = fs::read(self.desk.join("trust/root.json"))?;
        let fingerprint = format!("sha256:{}", hex::encode(Sha256::digest(root)));
        let enroll = ["trust", "enroll", "trust/root.json", "--stream", "base", "--fingerprint", &fingerprint];
        self.run_at(state, &enroll).map(drop)
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The state folder of the site.
    pub fn state(&self) -> PathBuf {
        self.desk.join("state")
    }

    /// The bundle that was built.
    pub fn bundle(&self) -> PathBuf {
        self.desk.join("bench.tar")
    }

    /// `sealock` with these arguments, in its folder.
    pub fn run(&self, args: &[&str]) -> Result<Cost> {
        self.run_at("state", args)
    }

    fn run_at(&self, state: &str, args: &[&str]) -> Result<Cost> {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--quiet").arg("--state-dir").arg(self.desk.join(state));
        command.current_dir(&self.desk).env("HOME", self.desk.join("home")).env_remove("XDG_CONFIG_HOME");
        measure::run(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }
}
