//! Kernel settings.

use super::{Act, File, Mode, Probe, Sysctl};
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Command, Host, HostError};

const FILE: &str = "/etc/sysctl.d/90-sealock.conf";

impl Act for Sysctl {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        for (key, value) in &self.settings {
            check(key, value)?;
            match current(host, key)? {
                None => return Ok(Probe::unknown(format!("the kernel has no setting {key}"))),
                Some(found) if found != normal(value) => return Ok(Probe::not_done(format!("{key} is {found}"))),
                Some(_) => {}
            }
        }
        self.file().probe(host, context)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.file().apply(host, context)?;
        let mut changes = Changes::load(host)?;
        for (key, value) in &self.settings {
            let found = current(host, key)?
                .ok_or_else(|| StepError::Unknown { because: format!("the kernel has no setting {key}") })?;
            if found != normal(value) {
                changes.before(host, Subject::Sysctl { key: key.clone() }, Before::Value { value: found })?;
                set(host, key, value)?;
            }
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for key in self.settings.keys() {
            changes.undo(host, &Subject::Sysctl { key: key.clone() })?;
        }
        self.file().undo(host, context)
    }
}

impl Sysctl {
    fn file(&self) -> File {
        let mut content = "# Written by Sealock. Changes are drift: put them into the cluster spec.\n".to_owned();
        for (key, value) in &self.settings {
            content.push_str(&format!("{key} = {value}\n"));
        }
        File { path: FILE.to_owned(), content, mode: Mode::FILE, replaces: None }
    }
}

/// Sets `key` now.
pub(crate) fn set(host: &dyn Host, key: &str, value: &str) -> Result<(), HostError> {
    Command::new("sysctl", ["-q", "-w", &format!("{key}={value}")]).must(host).map(drop)
}

fn current(host: &dyn Host, key: &str) -> Result<Option<String>, HostError> {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    Ok(host::read_text(host, &path)?.map(|text| normal(&text)))
}

fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check(key: &str, value: &str) -> Result<(), StepError> {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if key.is_empty() || key.contains("..") || !key.bytes().all(name) || value.contains('\n') {
        return Err(StepError::Invalid { problem: format!("{key:?} is not a kernel setting") });
    }
    Ok(())
}
