//! Kernel modules.

use super::{Act, File, KernelModule, Mode, Probe};
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Command, Host, HostError};

const FILE: &str = "/etc/modules-load.d/sealock.conf";

impl Act for KernelModule {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        for name in &self.modules {
            check(name)?;
            if !is_loaded(host, name)? {
                return Ok(Probe::not_done(format!("kernel module {name} is not loaded")));
            }
        }
        self.file().probe(host, context)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.file().apply(host, context)?;
        let mut changes = Changes::load(host)?;
        for name in &self.modules {
            if !is_loaded(host, name)? {
                changes.before(host, Subject::Module { name: name.clone() }, Before::Absent)?;
                Command::new("modprobe", [name]).must(host)?;
            }
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for name in &self.modules {
            changes.undo(host, &Subject::Module { name: name.clone() })?;
        }
        self.file().undo(host, context)
    }
}

impl KernelModule {
    fn file(&self) -> File {
        let mut content = "# Written by Sealock.\n".to_owned();
        for name in &self.modules {
            content.push_str(name);
            content.push('\n');
        }
        File { path: FILE.to_owned(), content, mode: Mode::FILE, replaces: None }
    }
}

/// Whether the kernel has the module, loaded or built in.
pub(crate) fn is_loaded(host: &dyn Host, name: &str) -> Result<bool, HostError> {
    if host::exists(host, &format!("/sys/module/{}", name.replace('-', "_")))? {
        return Ok(true);
    }
    // A file system that is built in has no folder in /sys/module, if it has no parameters.
    let filesystems = host::read_text(host, "/proc/filesystems")?.unwrap_or_default();
    if filesystems.lines().any(|line| line.split_whitespace().next_back() == Some(name)) {
        return Ok(true);
    }
    let release = host::read_text(host, "/proc/sys/kernel/osrelease")?.unwrap_or_default();
    let builtin =
        host::read_text(host, &format!("/lib/modules/{}/modules.builtin", release.trim()))?.unwrap_or_default();
    let file = format!("/{name}.ko");
    Ok(builtin.lines().any(|line| line.ends_with(&file)))
}

fn check(name: &str) -> Result<(), StepError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
        return Err(StepError::Invalid { problem: format!("{name:?} is not a kernel module") });
    }
    Ok(())
}
