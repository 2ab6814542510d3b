//! Files of a control plane, put back by digest.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::{FOLDER, check_below};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::step::{Act, Mode, Probe};

/// Where files are put back: a reset takes all of it.
const KUBERNETES: &str = "/etc/kubernetes";
const AUTHORITIES: &str = "/etc/kubernetes/pki/";
/// Certificates, keys and configurations.
const LARGEST: u64 = 1 << 20;

/// Files of a backup, put into their places. What stands there and is something else is never overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BackupFiles {
    /// Absolute path of the folder that the backup was unpacked into.
    pub folder: String,
    /// The files.
    pub files: Vec<BackupFile>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BackupFile {
    /// Its path in the folder.
    pub source: String,
    /// Its place.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
    /// Its permission bits.
    pub mode: Mode,
}

impl fmt::Display for BackupFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put {} files of the backup into {KUBERNETES}", self.files.len())?;
        let others = self.files.iter().filter(|file| !file.path.starts_with(AUTHORITIES));
        others.into_iter().try_for_each(|file| write!(f, ", with {}", file.path))
    }
}

impl Act for BackupFiles {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        for file in &self.files {
            if !host::exists(host, &file.path)? {
                return Ok(Probe::not_done(format!("{} is not there", file.path)));
            }
            if host::digest(host, &file.path)? != file.digest {
                return Ok(Probe::foreign(format!("{} is there, and is not what the backup holds", file.path)));
            }
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        for file in &self.files {
            if host::exists(host, &file.path)? {
                continue;
            }
            let source = format!("{}/{}", self.folder, file.source);
            let content = host::read(host, &source, LARGEST)?;
            let content = content.ok_or_else(|| StepError::Invalid { problem: format!("{source} is not there") })?;
            let found = Digest::sha256(&content);
            if found != file.digest {
                let problem = format!("{source} is {found}, and the plan says {}", file.digest);
                return Err(StepError::Invalid { problem });
            }
            host.alter(Alteration::MakeDirectory { path: host::parent(&file.path), mode: Mode::EXECUTABLE })?;
            host::write(host, &file.path, file.mode, &content)?;
        }
        Ok(())
    }

    /// Takes away what is still what it brought.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        for file in &self.files {
            if host::exists(host, &file.path)? && host::digest(host, &file.path)? == file.digest {
                host.alter(Alteration::RemoveFile { path: &file.path })?;
            }
        }
        Ok(())
    }
}

impl BackupFiles {
    fn check(&self) -> Result<(), StepError> {
        check_below(FOLDER, &self.folder)?;
        for file in &self.files {
            check_below(KUBERNETES, &file.path)?;
            check_below(&self.folder, &format!("{}/{}", self.folder, file.source))?;
        }
        Ok(())
    }
}
