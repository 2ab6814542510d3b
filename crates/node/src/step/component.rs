//! Binaries of the release.
//!
//! They stand in `/opt/sealock/<name>/<version>/`, and their usual places are links to there: a change of version is a change
//! of links. `.component.json` beside them says from which artifact they came and what their digests are, so a probe is
//! honest without the network.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use sealock_trust::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::file::{check_path, name};
use super::{Act, Component, ComponentFile, Mode, Packing, Probe};
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host, HostError};
use crate::pull::Descriptor;
use crate::source::Source;

/// Where components stand.
const FOLDER: &str = "/opt/sealock";
const RECORD: &str = ".component.json";
const DOWNLOAD: &str = ".layer";
/// An archive may not unpack to more than this.
const UNPACKED_LIMIT: u64 = 4 << 30;
const ENTRIES_LIMIT: usize = 10_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    artifact: Digest,
    files: BTreeMap<String, Digest>,
}

impl Act for Component {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if self.staged {
            return self.probe_files(host);
        }
        let links = self.probe_links(host)?;
        if matches!(links, Probe::Foreign { .. }) {
            return Ok(links);
        }
        match self.probe_files(host)? {
            Probe::Done => Ok(links),
            probe => Ok(probe),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        if let Probe::Foreign { found } = self.probe_links(host)?
            && !self.staged
        {
            return Err(StepError::Foreign { found });
        }
        context.admit(&self.artifact.repository, &self.artifact.digest)?;
        let mut changes = Changes::load(host)?;
        changes.before_folder_of(host, &self.folder())?;
        changes.before(host, Subject::Tree { path: self.folder() }, Before::Absent)?;
        if !self.probe_files(host)?.is_done() {
            self.fetch(host, context)?;
        }
        if self.staged { Ok(()) } else { self.link(host, &mut changes) }
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for file in self.files.iter().rev().filter(|_| !self.staged) {
            changes.undo(host, &Subject::Link { path: file.link.clone() })?;
        }
        Ok(changes.undo(host, &Subject::Tree { path: self.folder() })?)
    }
}

impl Component {
    fn folder(&self) -> String {
        format!("{FOLDER}/{}/{}", self.name, self.version)
    }

    fn place(&self, file: &ComponentFile) -> String {
        format!("{}/{}", self.folder(), file.member)
    }

    fn check(&self) -> Result<(), StepError> {
        let plain = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0']);
        if !plain(&self.name) || !plain(&self.version) {
            return Err(StepError::Invalid { problem: format!("{} {} is not a component", self.name, self.version) });
        }
        for file in &self.files {
            check_path(&file.link)?;
            check_path(&self.place(file))?;
        }
        Ok(())
    }

    fn probe_links(&self, host: &dyn Host) -> Result<Probe, StepError> {
        let mut probe = Probe::Done;
        for file in &self.files {
            match host.inspect(&file.link)? {
                Entry::Link { target } if target == self.place(file) => {}
                Entry::Link { target } if target.starts_with("/opt/sealock/") => {
                    probe = Probe::not_done(format!("{} points to {target}", file.link));
                }
                Entry::Missing => probe = Probe::not_done(format!("{} is not there", file.link)),
                Entry::File { .. } if self.is_replaced(host, &file.link)? => {
                    probe = Probe::not_done(format!("{} is the program that the plan replaces", file.link));
                }
                Entry::Link { target } => {
                    return Ok(Probe::foreign(format!(
                        "{} points to {target}, which Sealock did not install",
                        file.link
                    )));
                }
                other => {
                    return Ok(Probe::foreign(format!(
                        "{} is {} that Sealock did not install",
                        file.link,
                        name(&other)
                    )));
                }
            }
        }
        Ok(probe)
    }

    /// Whether what stands at `link` is what the plan keeps aside.
    fn is_replaced(&self, host: &dyn Host, link: &str) -> Result<bool, HostError> {
        let Some(replaced) = self.replaces.get(link) else { return Ok(false) };
        Ok(host::digest(host, link)? == *replaced)
    }

    fn probe_files(&self, host: &dyn Host) -> Result<Probe, StepError> {
        let folder = self.folder();
        let text = host::read(host, &format!("{folder}/{RECORD}"), 1 << 20)?;
        let Some(record) = text.and_then(|text| serde_json::from_slice::<Record>(&text).ok()) else {
            return Ok(Probe::not_done(format!("{folder} is not complete")));
        };
        if record.artifact != self.artifact.digest {
            return Ok(Probe::not_done(format!("{folder} came from {}", record.artifact)));
        }
        for file in &self.files {
            let place = self.place(file);
            let intact = match host.inspect(&place)? {
                Entry::File { mode, .. } if mode == Mode::EXECUTABLE => {
                    record.files.get(&file.member) == Some(&host::digest(host, &place)?)
                }
                _ => false,
            };
            if !intact {
                return Ok(Probe::not_done(format!("{place} is missing or damaged")));
            }
        }
        Ok(Probe::Done)
    }

    fn fetch(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let folder = self.folder();
        host.alter(Alteration::MakeDirectory { path: &folder, mode: Mode::EXECUTABLE })?;
        let source = context.source()?;
        (context.progress)(&format!("fetching {} {}", self.name, self.version));
        let manifest = source.manifest(&self.artifact.repository, &self.artifact.digest)?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(self.malformed(format!("it has {} layers, not one", manifest.layers.len())));
        };
        let files = match self.packing {
            Packing::Plain => self.fetch_plain(host, source, layer)?,
            Packing::TarGzip => self.fetch_archive(host, source, layer)?,
        };
        let record = Record { artifact: self.artifact.digest.clone(), files };
        let text = serde_json::to_vec(&record).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, &format!("{folder}/{RECORD}"), Mode::FILE, &text)?)
    }

    fn fetch_plain(
        &self,
        host: &dyn Host,
        source: &Source,
        layer: &Descriptor,
    ) -> Result<BTreeMap<String, Digest>, StepError> {
        let [file] = self.files.as_slice() else {
            return Err(StepError::Invalid { problem: "a plain component is one file".to_owned() });
        };
        let mut blob = Hashing::new(source.blob(&self.artifact.repository, layer)?);
        host.write(&self.place(file), Mode::EXECUTABLE, &mut blob)?;
        Ok(BTreeMap::from([(file.member.clone(), blob.finish())]))
    }

    /// Nothing is unpacked before the whole archive has shown its digest: it is written to disk first.
    fn fetch_archive(
        &self,
        host: &dyn Host,
        source: &Source,
        layer: &Descriptor,
    ) -> Result<BTreeMap<String, Digest>, StepError> {
        let download = format!("{}/{DOWNLOAD}", self.folder());
        let mut blob = source.blob(&self.artifact.repository, layer)?;
        host.write(&download, Mode::PRIVATE, &mut blob)?;
        let files = self.unpack(host, &download)?;
        host.alter(Alteration::RemoveFile { path: &download })?;
        if let Some(file) = self.files.iter().find(|file| !files.contains_key(&file.member)) {
            return Err(self.malformed(format!("the archive has no {}", file.member)));
        }
        Ok(files)
    }

    fn unpack(&self, host: &dyn Host, download: &str) -> Result<BTreeMap<String, Digest>, StepError> {
        let read_error = |source: io::Error| StepError::Host(HostError::io("unpack", download)(source));
        let mut archive = tar::Archive::new(GzDecoder::new(host.open(download)?).take(UNPACKED_LIMIT));
        let mut files = BTreeMap::new();
        for (count, entry) in archive.entries().map_err(read_error)?.enumerate() {
            if count == ENTRIES_LIMIT {
                return Err(self.malformed(format!("the archive has more than {ENTRIES_LIMIT} entries")));
            }
            let entry = entry.map_err(read_error)?;
            let member = entry.path().map_err(read_error)?.to_string_lossy().trim_start_matches("./").to_owned();
            let Some(file) = self.files.iter().find(|file| file.member == member) else { continue };
            if !entry.header().entry_type().is_file() {
                return Err(self.malformed(format!("{member} in the archive is not a regular file")));
            }
            let place = self.place(file);
            host.alter(Alteration::MakeDirectory { path: host::parent(&place), mode: Mode::EXECUTABLE })?;
            let mut content = Hashing::new(entry);
            host.write(&place, Mode::EXECUTABLE, &mut content)?;
            files.insert(member, content.finish());
        }
        Ok(files)
    }

    fn link(&self, host: &dyn Host, changes: &mut Changes) -> Result<(), StepError> {
        for file in &self.files {
            changes.before_folder_of(host, &file.link)?;
            changes.before_link(host, &file.link)?;
            host.alter(Alteration::Link { path: &file.link, target: &self.place(file) })?;
        }
        Ok(())
    }

    fn malformed(&self, problem: String) -> StepError {
        StepError::Malformed { repository: self.artifact.repository.clone(), problem }
    }
}

/// Name and version of the component that `target` belongs to.
pub(crate) fn folder_of(target: &str) -> Option<(&str, &str)> {
    let mut parts = target.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/');
    Some((parts.next()?, parts.next()?))
}

/// Where the components that Sealock linked are not what was fetched, in words.
pub(crate) fn damaged(host: &dyn Host, changes: &Changes) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for change in changes.iter() {
        let Subject::Link { path } = &change.subject else { continue };
        match host.inspect(path)? {
            Entry::Link { target } if folder_of(&target).is_none() => {
                found.push(format!("{path} points to {target}, which Sealock did not install"));
            }
            Entry::Link { target } => {
                if !is_intact(host, &target)? {
                    found.push(format!("{target} is missing or damaged"));
                }
            }
            Entry::Missing => found.push(format!("{path} is not there")),
            other => found.push(format!("{path} is {} that Sealock did not install", name(&other))),
        }
    }
    Ok(found)
}

/// Whether the program at `target` is what was fetched.
pub(crate) fn is_intact(host: &dyn Host, target: &str) -> Result<bool, HostError> {
    let Some((name, version)) = folder_of(target) else { return Ok(false) };
    let folder = format!("{FOLDER}/{name}/{version}");
    let record = host::read(host, &format!("{folder}/{RECORD}"), 1 << 20)?;
    // A program that came from a file of this machine has no record of where it was fetched.
    let Some(record) = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok()) else {
        return host::exists(host, target);
    };
    let member = target.strip_prefix(&folder).map(|member| member.trim_start_matches('/'));
    let fetched = member.and_then(|member| record.files.get(member));
    Ok(host::exists(host, target)? && fetched == Some(&host::digest(host, target)?))
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256) }
    }

    fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
