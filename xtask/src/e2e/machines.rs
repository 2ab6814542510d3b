//! People on machines of their own, for scenarios that need no lab: a machine is a folder, and what it cannot see is what was
//! not copied to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::story::{Binaries, copy};
use crate::{repo, tools};

/// The machines of one scenario.
pub struct Machines {
    folder: PathBuf,
    binaries: Binaries,
    /// What a person wrote for this scenario.
    pub scenario: PathBuf,
}

impl Machines {
    /// None yet.
    pub fn set_up(scenario: &str) -> Result<Self> {
        let (root, folder) = (repo::root()?, tools::cache()?.join("e2e").join(scenario));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(Self { folder, binaries: Binaries::build(&root)?, scenario: root.join("e2e").join(scenario) })
    }

    /// Removes what nobody needs any more. A run that failed leaves it, to be looked at.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    /// A file of a machine.
    pub fn file(&self, machine: &str, name: &str) -> PathBuf {
        self.folder.join(machine).join(name)
    }

    /// `sealock …` on a machine outside, in its folder.
    pub fn outside(&self, machine: &str, args: &[&str]) -> Result<Command> {
        self.command(&self.binaries.outside, machine, args)
    }

    /// `sealock …` on a machine inside.
    pub fn inside(&self, machine: &str, args: &[&str]) -> Result<Command> {
        self.command(&self.binaries.inside, machine, args)
    }

    fn command(&self, program: &Path, machine: &str, args: &[&str]) -> Result<Command> {
        let folder = self.folder.join(machine);
        fs::create_dir_all(folder.join("home")).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = Command::new(program);
        command.args(args).current_dir(&folder).env_clear();
        command.env("HOME", folder.join("home")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SEALOCK_STATE_DIR", folder.join("state"));
        Ok(command)
    }

    /// Copies a file or folder from one machine to the same place on another.
    pub fn carry(&self, name: &str, from: &str, to: &str) -> Result<()> {
        self.carry_as(name, from, to, name)
    }

    /// Copies a file or folder from one machine to another.
    pub fn carry_as(&self, name: &str, from: &str, to: &str, as_name: &str) -> Result<()> {
        copy(&self.file(from, name), &self.file(to, as_name)).with_context(|| format!("from {from} to {to}"))
    }
}
