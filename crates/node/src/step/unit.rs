//! A systemd unit with its drop-ins.

use std::collections::BTreeMap;
use std::time::Duration;

use sealock_trust::Digest;

use super::act::{apply_parts, probe_parts, undo_parts};
use super::{Act, File, Mode, Probe, StepKind, Unit};
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Entry, Host, HostError};

const FOLDER: &str = "/etc/systemd/system";
/// What each unit was last started with.
pub(crate) const STARTED: &str = "/var/lib/sealock/node/units";
const START_TIMEOUT: Duration = Duration::from_secs(180);

impl Act for Unit {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let files = probe_parts(&self.files(), host, context)?;
        if !files.is_done() {
            return Ok(files);
        }
        let state = State::of(host, &self.name)?;
        if state.needs_reload {
            return Ok(Probe::not_done(format!("systemd has not read {} again", self.name)));
        }
        if !state.enabled {
            return Ok(Probe::not_done(format!("{} is not enabled", self.name)));
        }
        if self.running && !state.active {
            return Ok(Probe::not_done(format!("{} is not running", self.name)));
        }
        if self.running && self.started_with(host)? != Some(self.reads(host)?) {
            return Ok(Probe::not_done(format!("{} runs with an older configuration", self.name)));
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        apply_parts(&self.files(), host, context)?;
        let subject = Subject::Unit { name: self.name.clone() };
        Changes::load(host)?.before(host, subject, Before::Absent)?;
        Command::new("systemctl", ["daemon-reload"]).must(host)?;
        Command::new("systemctl", ["enable", &self.name]).must(host)?;
        if self.running {
            let reads = self.reads(host)?;
            start(host, &self.name)?;
            self.keep_started(host, &reads)?;
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        Changes::load(host)?.undo(host, &Subject::Unit { name: self.name.clone() })?;
        undo_parts(&self.files(), host, context)?;
        host.alter(Alteration::RemoveFile { path: &self.started_path() })?;
        Command::new("systemctl", ["daemon-reload"]).must(host)?;
        Ok(())
    }
}

impl Unit {
    fn check(&self) -> Result<(), StepError> {
        let plain = |text: &str| !text.is_empty() && !text.starts_with(['.', '-']) && !text.contains(['/', '\0']);
        if plain(&self.name) && self.drop_ins.keys().all(|name| plain(name)) {
            return Ok(());
        }
        Err(StepError::Invalid { problem: format!("{:?} is not the name of a unit", self.name) })
    }

    fn files(&self) -> Vec<StepKind> {
        let file = |path: String, content: &String| {
            let replaces = self.replaces.get(&path).cloned();
            StepKind::File(File { path, content: content.clone(), mode: Mode::FILE, replaces })
        };
        let unit = file(format!("{FOLDER}/{}", self.name), &self.content);
        let drop_in = |(name, content)| file(format!("{FOLDER}/{}.d/{name}", self.name), content);
        std::iter::once(unit).chain(self.drop_ins.iter().map(drop_in)).collect()
    }

    /// Digests of all that the unit reads at its start.
    fn reads(&self, host: &dyn Host) -> Result<BTreeMap<String, Digest>, HostError> {
        let mut reads = BTreeMap::new();
        for file in self.files() {
            if let StepKind::File(file) = file {
                reads.insert(file.path, Digest::sha256(file.content.as_bytes()));
            }
        }
        for path in &self.restart_on {
            collect(host, path, &mut reads)?;
        }
        Ok(reads)
    }

    fn started_path(&self) -> String {
        format!("{STARTED}/{}.json", self.name)
    }

    fn started_with(&self, host: &dyn Host) -> Result<Option<BTreeMap<String, Digest>>, HostError> {
        let text = host::read(host, &self.started_path(), 1 << 20)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn keep_started(&self, host: &dyn Host, reads: &BTreeMap<String, Digest>) -> Result<(), StepError> {
        host.alter(Alteration::MakeDirectory { path: STARTED, mode: Mode::new(0o700) })?;
        let text = serde_json::to_vec(reads).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, &self.started_path(), Mode::PRIVATE, &text)?)
    }
}

/// Starts a unit anew, whatever it was before; with the end of its log where it does not start.
fn start(host: &dyn Host, name: &str) -> Result<(), StepError> {
    let started = Command::new("systemctl", ["restart", name]).timeout(START_TIMEOUT);
    let Err(error) = started.must(host) else { return Ok(()) };
    let log = Command::new("journalctl", ["-u", name, "-n", "12", "-o", "cat", "--no-pager"]);
    let detail = host.run(&log).map(|output| output.complaint()).unwrap_or_default();
    match error {
        HostError::Command { line, status, .. } => Err(HostError::Command { line, status, detail }.into()),
        error => Err(error.into()),
    }
}

/// The same for a unit that may have failed so often that systemd does not start it any more.
pub(crate) fn start_after_failures(host: &dyn Host, name: &str) -> Result<(), StepError> {
    Command::new("systemctl", ["reset-failed", name]).must(host)?;
    start(host, name)
}

fn collect(host: &dyn Host, path: &str, reads: &mut BTreeMap<String, Digest>) -> Result<(), HostError> {
    match host.inspect(path)? {
        Entry::File { .. } => {
            reads.insert(path.to_owned(), host::digest(host, path)?);
        }
        // Components are linked by version: another version is another target.
        Entry::Link { target } => {
            reads.insert(path.to_owned(), Digest::sha256(target.as_bytes()));
        }
        Entry::Directory { .. } => {
            for name in host.list(path)? {
                collect(host, &format!("{path}/{name}"), reads)?;
            }
        }
        Entry::Missing | Entry::Other => {}
    }
    Ok(())
}

/// A unit as systemd sees it.
pub(crate) struct State {
    pub(crate) active: bool,
    pub(crate) enabled: bool,
    pub(crate) needs_reload: bool,
}

impl State {
    pub(crate) fn of(host: &dyn Host, name: &str) -> Result<Self, HostError> {
        let show = ["show", "--property=ActiveState,UnitFileState,NeedDaemonReload", "--", name];
        let text = Command::new("systemctl", show).must(host)?;
        let says = |line: &str| text.lines().any(|found| found == line);
        Ok(Self {
            active: says("ActiveState=active"),
            enabled: says("UnitFileState=enabled"),
            needs_reload: says("NeedDaemonReload=yes"),
        })
    }
}

/// Whether systemd calls `name` active.
///
/// # Errors
/// The host refuses.
pub fn is_active(host: &dyn Host, name: &str) -> Result<bool, HostError> {
    State::of(host, name).map(|state| state.active)
}
