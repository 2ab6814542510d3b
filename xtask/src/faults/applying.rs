//! A `cluster apply`, or another command, that goes on while faults are set.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::journal::{At, Since};
use crate::story::{self, Desk};

/// As long as any apply here may take, and all that it waits for in vain.
const LONGEST: Duration = Duration::from_secs(600);

/// The command, and what it says.
pub(crate) struct Applying {
    command: &'static [&'static str],
    child: Child,
    said: PathBuf,
}

impl Applying {
    pub(crate) fn begin(desk: &Desk) -> Result<Self> {
        Self::of(desk, &["cluster", "apply", "--yes"])
    }

    /// The same for another command that changes hosts.
    pub(crate) fn of(desk: &Desk, words: &'static [&'static str]) -> Result<Self> {
        let said = desk.lab.dir().join("apply.log");
        let log = File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
        let mut command = desk.station(words);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { command: words, child, said })
    }

    /// Goes on until the journal has `at`.
    pub(crate) fn until(&mut self, since: &Since, at: At) -> Result<()> {
        let deadline = Instant::now() + LONGEST;
        while !since.has(at)? {
            if let Some(status) = self.child.try_wait()? {
                bail!("apply ended with {status} before {at:?}:\n{}", fs::read_to_string(&self.said)?);
            }
            ensure!(Instant::now() < deadline, "no {at:?} after {} s", LONGEST.as_secs());
            std::thread::park_timeout(Duration::from_millis(2));
        }
        Ok(())
    }

    /// `kill -9` for what carries out steps on `node`, as soon as the journal has `at`.
    pub(crate) fn kill_runner(&mut self, desk: &Desk, node: &str, since: &Since, at: At) -> Result<()> {
        self.until(since, at)?;
        let deadline = Instant::now() + LONGEST;
        // Where the record is of an earlier run, the next one has yet to begin.
        while !kill_runner(desk, node)? {
            ensure!(self.child.try_wait()?.is_none(), "apply ended before its runner on {node} could be killed");
            ensure!(Instant::now() < deadline, "no runner on {node} after {} s", LONGEST.as_secs());
            std::thread::park_timeout(Duration::from_millis(2));
        }
        println!("      killed on {node} at {at:?}; its journal ends with: {}", since.last()?);
        Ok(())
    }

    /// Its exit code, and what it said.
    pub(crate) fn end(mut self) -> Result<(i32, String)> {
        let deadline = Instant::now() + LONGEST;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let code = status.code().context("apply was killed")?;
                return Ok((code, fs::read_to_string(&self.said)?));
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                bail!("apply goes on after {} s:\n{}", LONGEST.as_secs(), fs::read_to_string(&self.said)?);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Takes the command away from its operator, as a station does that loses its power.
    pub(crate) fn kill(mut self, desk: &Desk) -> Result<()> {
        let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -KILL $p; done", self.command.join(" "));
        story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
        ensure!(!self.child.wait()?.success(), "apply was through before it was killed");
        Ok(())
    }

    /// It must end with exit code 0.
    pub(crate) fn ends_well(self) -> Result<String> {
        let (code, said) = self.end()?;
        ensure!(code == 0, "apply ended with {code}, not with 0:\n{said}");
        Ok(said)
    }

    /// It must fail, and say each of `sentences`.
    pub(crate) fn fails(self, sentences: &[&str]) -> Result<String> {
        let (code, said) = self.end()?;
        ensure!(matches!(code, 1 | 4), "apply ended with {code}, not with a failure that may be tried again:\n{said}");
        for sentence in sentences {
            ensure!(said.contains(sentence), "apply does not say {sentence:?}:\n{said}");
        }
        Ok(said)
    }
}

/// Whether there was something to kill: from outside of the machine, so that nothing in there could notice.
fn kill_runner(desk: &Desk, node: &str) -> Result<bool> {
    let group = desk.lab.group_of(node);
    let mut killed = false;
    for entry in fs::read_dir("/proc").context("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let arguments = fs::read(path.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
        let is_runner = words.windows(3).any(|words| words == [b"node".as_slice(), b"run", b"--request"]);
        // The shell that starts it names it, too.
        let is_itself = words.first().is_some_and(|program| program.ends_with(b"/sealock"));
        let is_there = || fs::read_to_string(path.join("cgroup")).is_ok_and(|groups| groups.contains(&group));
        if let Some(pid) = Pid::from_raw(pid).filter(|_| is_runner && is_itself && is_there()) {
            killed |= kill_process(pid, Signal::KILL).is_ok();
        }
    }
    Ok(killed)
}
