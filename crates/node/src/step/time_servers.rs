//! The time from the site's servers, and from nobody else.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::node_ready::settle;
use super::unit::{State, start_after_failures};
use super::{Act, Mode, Probe};
use crate::changes::{Before, Change, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Command, Entry, Host, HostError};
use crate::time::{self, Problem, TimeDaemon, chrony, timesyncd};

/// Once this is there, the host is a node.
const NODE: &str = "/etc/kubernetes/kubelet.conf";

/// Tells the program that sets the clock of these servers, puts all others out of use, and, before Kubernetes comes to the host, waits until
/// one of them has answered. A node asks them, and that nobody answers is none of its steps' business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TimeServers {
    /// Addresses and names, in the order of the spec.
    pub servers: Vec<String>,
    /// The program that is on the host.
    pub daemon: TimeDaemon,
    /// How long to wait for an answer.
    pub timeout_seconds: u32,
}

/// A file that is to have this content.
struct Wanted {
    path: String,
    content: String,
    is_made: bool,
}

impl fmt::Display for TimeServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, daemon, timeout_seconds } = self;
        write!(f, "take the time from {} and from nobody else, by {daemon}", servers.join(", "))?;
        write!(f, " (at most {timeout_seconds} s)")
    }
}

impl Act for TimeServers {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let Some(unit) = self.unit(host)? else {
            return Ok(Probe::not_done(format!("there is no {}", self.daemon)));
        };
        let files = match self.files(host) {
            Err(StepError::Foreign { found }) => return Ok(Probe::foreign(found)),
            Err(StepError::Unknown { because }) => return Ok(Probe::unknown(because)),
            files => files?,
        };
        let changes = Changes::load(host)?;
        if let Some(Wanted { path, .. }) = files.iter().find(|file| !file.is_made) {
            let servers = self.servers.join(", ");
            return Ok(Probe::not_done(format!("by {path} the time is not from {servers} alone")));
        }
        if let Some(Wanted { path, .. }) = files.iter().find(|file| !is_ours(&changes, file)) {
            return Ok(Probe::not_done(format!("{path} has lines that somebody has added since")));
        }
        self.look(host, unit, needs_answer(host)?)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        let unit =
            self.unit(host)?.ok_or_else(|| StepError::NotHeld { because: format!("there is no {}", self.daemon) })?;
        let files = self.files(host)?;
        let before = State::of(host, unit)?;
        let mut changes = Changes::load(host)?;
        // Of one that ran and was enabled, too: what it is when it is told again is not what it was.
        let was = Before::unit(before.active, before.enabled);
        changes.before(host, Subject::Unit { name: unit.to_owned() }, was)?;
        let mut is_new = false;
        for file in &files {
            if !file.is_made || !is_ours(&changes, file) {
                let mode = match host.inspect(&file.path)? {
                    Entry::File { mode, .. } => mode,
                    _ => Mode::FILE,
                };
                changes.before_file(host, &file.path, &Digest::sha256(file.content.as_bytes()))?;
                host::write(host, &file.path, mode, file.content.as_bytes())?;
                is_new = true;
            }
        }
        if !before.enabled {
            Command::new("systemctl", ["enable", unit]).must(host)?;
        }
        // It reads its settings when it starts. To wait for an answer needs no start, and what it has measured would be lost by one.
        if is_new || !self.look(host, unit, Answer::Spared)?.is_done() {
            start_after_failures(host, unit)?;
        }
        let answer = needs_answer(host)?;
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the clock is not kept by the site's time servers", || self.look(host, unit, answer))
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        give_back(host, context)?;
        let Some(unit) = self.unit(host)? else { return Ok(()) };
        Ok(Changes::load(host)?.undo(host, &Subject::Unit { name: unit.to_owned() })?)
    }
}

impl TimeServers {
    fn check(&self) -> Result<(), StepError> {
        let plain = |server: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
            !server.is_empty() && !server.starts_with('-') && server.bytes().all(allowed)
        };
        if !self.servers.is_empty() && self.servers.iter().all(plain) {
            return Ok(());
        }
        Err(StepError::Invalid { problem: format!("{:?} are no servers of time", self.servers) })
    }

    fn unit(&self, host: &dyn Host) -> Result<Option<&'static str>, StepError> {
        Ok(match self.daemon {
            TimeDaemon::Chrony => chrony::unit(host)?,
            TimeDaemon::Timesyncd => timesyncd::is_there(host)?.then_some(timesyncd::UNIT),
        })
    }

    fn files(&self, host: &dyn Host) -> Result<Vec<Wanted>, StepError> {
        if self.daemon == TimeDaemon::Chrony {
            let edits = chrony::edits(host, &self.servers)?.into_iter();
            return Ok(edits
                .map(|edit| Wanted { path: edit.path, content: edit.content, is_made: edit.is_made })
                .collect());
        }
        let (path, content) = (timesyncd::DROP_IN.to_owned(), timesyncd::drop_in(&self.servers));
        let is_made = time::settings(host, &path)?.is_some_and(|text| text == content);
        Ok(vec![Wanted { path, content, is_made }])
    }

    /// Whether the program runs, and does what it was told.
    fn look(&self, host: &dyn Host, unit: &str, answer: Answer) -> Result<Probe, StepError> {
        let state = State::of(host, unit)?;
        if !state.active {
            return Ok(Probe::not_done(format!("{unit} does not run")));
        }
        if !state.enabled {
            return Ok(Probe::not_done(format!("{unit} is not started with the machine")));
        }
        Ok(match (time::problem_of(host, self.daemon, &self.servers)?, answer) {
            (None, _) | (Some(Problem::Answered(_)), Answer::Spared) => Probe::Done,
            (Some(Problem::Asked(problem) | Problem::Answered(problem)), _) => Probe::not_done(problem),
        })
    }
}

/// Whether one of the servers has to have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Needed,
    Spared,
}

/// Certificates are made on a host that has no Kubernetes yet. A node lives on without an answer: nothing done there for another reason
/// waits for one.
fn needs_answer(host: &dyn Host) -> Result<Answer, HostError> {
    Ok(if host::exists(host, NODE)? { Answer::Spared } else { Answer::Needed })
}

/// Whether what the file is to hold is what Sealock wrote there last: what somebody else has added since is taken over, by being written down.
fn is_ours(changes: &Changes, file: &Wanted) -> bool {
    let subject = Subject::File { path: file.path.clone() };
    let last = changes.find(&subject).and_then(|change| change.written.last());
    last.is_some_and(|written| *written == Digest::sha256(file.content.as_bytes()))
}

/// Gives back whom the host asked for the time before, and has the program that runs ask them again. Its main file comes last, and is
/// forgotten when all is done: cut off in between it is done again.
pub(crate) fn give_back(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let mut changes = Changes::load(host)?;
    let written: BTreeSet<String> = changes.iter().filter_map(of_file).collect();
    for main in chrony::MAINS.iter().filter(|main| written.contains(**main)) {
        for path in written.iter().filter(|path| path != main) {
            if chrony::is_edited(&time::settings(host, path)?.unwrap_or_default()) {
                changes.undo(host, &Subject::File { path: path.clone() })?;
            }
        }
        let unit = chrony::unit(host)?;
        changes.undo_and(host, &Subject::File { path: (*main).to_owned() }, || begin_anew(host, unit, context))?;
    }
    if written.contains(timesyncd::DROP_IN) {
        let unit = timesyncd::is_there(host)?.then_some(timesyncd::UNIT);
        let subject = Subject::File { path: timesyncd::DROP_IN.to_owned() };
        changes.undo_and(host, &subject, || begin_anew(host, unit, context))?;
    }
    Ok(())
}

fn of_file(change: &Change) -> Option<String> {
    match &change.subject {
        Subject::File { path } => Some(path.clone()),
        _ => None,
    }
}

/// Only where it runs. That it does not take its own settings of before is told, and keeps nobody from the rest.
fn begin_anew(host: &dyn Host, unit: Option<&str>, context: &Context<'_>) -> Result<(), StepError> {
    let Some(unit) = unit else { return Ok(()) };
    if State::of(host, unit)?.active {
        let output = host.run(&Command::new("systemctl", ["restart", unit]))?;
        if output.status != 0 {
            (context.progress)(&format!("{unit} does not start: {}", output.complaint()));
        }
    }
    Ok(())
}
