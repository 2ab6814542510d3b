//! Who works where: the packager's desk outside, the station inside, and the lab around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::binaries::Binaries;
use crate::lab::Lab;
use crate::repo;

/// The scenario in `e2e/` that says what the main job is.
const MAIN_JOB: &str = "across-the-gap";

/// Where the operator's files stand on the station.
pub const STATION_HOME: &str = "/root/site";

/// The lab, the two builds, and the packager's folder.
pub struct Desk {
    /// The sealed lab.
    pub lab: Lab,
    /// The two builds of `sealock`.
    pub binaries: Binaries,
    /// The packager's folder, outside.
    pub outside: PathBuf,
    /// What a person wrote for this scenario: specs, values, manifests.
    scenario: PathBuf,
    /// The nodes of the cluster.
    pub nodes: &'static [&'static str],
}

impl Desk {
    /// Builds both binaries and lays out a fresh packager's folder for a scenario in `e2e/`.
    pub fn set_up(lab: Lab, scenario: &str, nodes: &'static [&'static str]) -> Result<Self> {
        Self::laid_out(lab, scenario, nodes, Binaries::build(&repo::root()?)?)
    }

    /// Lays out a fresh packager's folder for a scenario in `e2e/`, which `binaries` go through.
    pub fn laid_out(lab: Lab, scenario: &str, nodes: &'static [&'static str], binaries: Binaries) -> Result<Self> {
        let outside = lab.dir().join("desk");
        if outside.exists() {
            fs::remove_dir_all(&outside)?;
        }
        fs::create_dir_all(outside.join("home"))?;
        Ok(Self { binaries, lab, outside, scenario: repo::root()?.join("e2e").join(scenario), nodes })
    }

    /// Builds both binaries and goes on with the packager's folder that is there.
    pub fn open(lab: Lab, scenario: &str, nodes: &'static [&'static str]) -> Result<Self> {
        let root = repo::root()?;
        let (scenario, outside) = (root.join("e2e").join(scenario), lab.dir().join("desk"));
        Ok(Self { binaries: Binaries::build(&root)?, lab, outside, scenario, nodes })
    }

    /// What a person wrote for this scenario; where it has nothing of that name, for the main job.
    pub fn written(&self, name: &str) -> PathBuf {
        let own = self.scenario.join(name);
        if own.exists() { own } else { self.scenario.with_file_name(MAIN_JOB).join(name) }
    }

    /// `sealock …` outside, in the packager's folder.
    pub fn packager(&self, args: &[&str]) -> Command {
        let sealock = self.binaries.outside.to_string_lossy().into_owned();
        let argv: Vec<&str> = std::iter::once(sealock.as_str()).chain(args.iter().copied()).collect();
        let mut command = self.lab.exec("outside", &argv);
        command.current_dir(&self.outside).env("HOME", self.outside.join("home")).env_remove("XDG_CONFIG_HOME");
        command
    }

    /// `sealock …` at the station, in the operator's folder.
    pub fn station(&self, args: &[&str]) -> Command {
        let argv: Vec<&str> = ["env", "-C", STATION_HOME, "sealock"].into_iter().chain(args.iter().copied()).collect();
        self.lab.exec("station", &argv)
    }

    /// `kubectl …` on the first control plane host, as its administrator.
    pub fn kubectl(&self, args: &[&str]) -> Command {
        self.kubectl_on("cp1", args)
    }

    /// `kubectl …` on a control plane host, as its administrator.
    pub fn kubectl_on(&self, plane: &str, args: &[&str]) -> Command {
        let own = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"];
        self.lab.exec(plane, &[&own[..], args].concat())
    }

    /// Copies a file or a folder onto a machine, as one carries a medium.
    pub fn carry(&self, from: &Path, machine: &str, to: &str) -> Result<()> {
        let target = self.lab.root_of(machine).join(to.trim_start_matches('/'));
        copy(from, &target).with_context(|| format!("cannot carry {} to {machine}", from.display()))
    }
}

/// Copies a file, or a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}
