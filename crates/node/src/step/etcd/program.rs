//! Programs that lie on the host already: from a USB stick, or taken out of the station's store.
//!
//! They stand in `/opt/sealock/<name>/<version>/`, and their usual places are links to there. Their bytes are those of the plan's
//! digest, or nothing is linked.

use std::fmt;
use std::io::{self, Read};

use sealock_trust::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host};
use crate::step::file::{check_path, name};
use crate::step::{Act, Mode, Probe};

const FOLDER: &str = "/opt/sealock";

/// Programs brought to their place from where they lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalProgram {
    /// Like `etcd`.
    pub name: String,
    /// Like `v3.6.8`.
    pub version: String,
    /// The programs.
    pub files: Vec<LocalFile>,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalFile {
    /// Where it lies.
    pub source: String,
    /// Of its content.
    pub digest: Digest,
    /// Absolute path of the link to it, like `/usr/local/bin/etcd`.
    pub link: String,
}

impl fmt::Display for LocalProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links: Vec<&str> = self.files.iter().map(|file| file.link.as_str()).collect();
        write!(f, "install {} {} ({})", self.name, self.version, links.join(", "))
    }
}

impl Act for LocalProgram {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let mut probe = Probe::Done;
        for file in &self.files {
            let place = self.place(file);
            if !is_whole(host, &place, file)? {
                probe = Probe::not_done(format!("{place} is missing or another"));
            }
            match host.inspect(&file.link)? {
                Entry::Link { target } if target == place => {}
                Entry::Link { target } if target.starts_with("/opt/sealock/") => {
                    probe = Probe::not_done(format!("{} points to {target}", file.link));
                }
                Entry::Missing => probe = Probe::not_done(format!("{} is not there", file.link)),
                other => {
                    let found = format!("{} is {} that Sealock did not install", file.link, name(&other));
                    return Ok(Probe::foreign(found));
                }
            }
        }
        Ok(probe)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if let Probe::Foreign { found } = self.probe(host, context)? {
            return Err(StepError::Foreign { found });
        }
        let mut changes = Changes::load(host)?;
        changes.before_folder_of(host, &self.folder())?;
        changes.before(host, Subject::Tree { path: self.folder() }, Before::Absent)?;
        host.alter(Alteration::MakeDirectory { path: &self.folder(), mode: Mode::EXECUTABLE })?;
        for file in &self.files {
            let place = self.place(file);
            if !is_whole(host, &place, file)? {
                // What has another digest than the plan says fails in its last read, before it gets its name.
                let mut content = Promised::new(host.open(&file.source)?, file.digest.clone());
                host.write(&place, Mode::EXECUTABLE, &mut content)?;
            }
        }
        for file in &self.files {
            changes.before_folder_of(host, &file.link)?;
            changes.before(host, Subject::Link { path: file.link.clone() }, Before::Absent)?;
            host.alter(Alteration::Link { path: &file.link, target: &self.place(file) })?;
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for file in self.files.iter().rev() {
            changes.undo(host, &Subject::Link { path: file.link.clone() })?;
        }
        Ok(changes.undo(host, &Subject::Tree { path: self.folder() })?)
    }
}

impl LocalProgram {
    fn folder(&self) -> String {
        format!("{FOLDER}/{}/{}", self.name, self.version)
    }

    /// The name of the link, and of the content: two builds that say the same version do not meet.
    fn place(&self, file: &LocalFile) -> String {
        let name = file.link.rsplit('/').next().unwrap_or_default();
        format!("{}/{name}-{}", self.folder(), &file.digest.hex()[..12])
    }

    fn check(&self) -> Result<(), StepError> {
        let plain = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0']);
        if !plain(&self.name) || !plain(&self.version) {
            return Err(StepError::Invalid { problem: format!("{} {} is not a program", self.name, self.version) });
        }
        self.files.iter().try_for_each(|file| check_path(&file.link).and_then(|()| check_path(&file.source)))
    }
}

fn is_whole(host: &dyn Host, place: &str, file: &LocalFile) -> Result<bool, StepError> {
    match host.inspect(place)? {
        Entry::File { mode, .. } if mode == Mode::EXECUTABLE => Ok(host::digest(host, place)? == file.digest),
        _ => Ok(false),
    }
}

/// Reads what has a digest, and fails at the end if it has another.
struct Promised<R> {
    inner: R,
    hasher: Option<Hasher>,
    digest: Digest,
}

impl<R> Promised<R> {
    fn new(inner: R, digest: Digest) -> Self {
        Self { inner, hasher: Some(Hasher::new(Algorithm::Sha256)), digest }
    }
}

impl<R: Read> Read for Promised<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != self.digest => {
                let problem = format!("it has the digest {found}, and the plan says {}", self.digest);
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
            _ => Ok(0),
        }
    }
}
