//! An etcd that does not run, and has let go of its data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MEMBER;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::step::file::check_path;
use crate::step::{Act, Probe};
use crate::wait;

/// etcd flushes, and hands its leadership over, before it ends.
const ENDS: Duration = Duration::from_secs(120);
/// What `flock` says of a file that somebody holds.
const HELD: i32 = 1;

/// etcd stopped, and its data let go of. Whoever runs it is told so: systemd, kubelet by taking the manifest away, or a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdStopped {
    /// The systemd unit that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The static pod's manifest by which kubelet runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The data directory.
    pub data: String,
}

impl fmt::Display for EtcdStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.unit, &self.manifest) {
            (Some(unit), _) => write!(f, "stop {unit}"),
            (None, Some(manifest)) => write!(f, "take {manifest} away, and wait until kubelet has stopped etcd"),
            (None, None) => write!(f, "wait until somebody has stopped the etcd that has {}", self.data),
        }
    }
}

impl Act for EtcdStopped {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if let Some(unit) = &self.unit
            && !rests(host, unit)?
        {
            return Ok(Probe::not_done(format!("{unit} runs, or is about to")));
        }
        if let Some(manifest) = &self.manifest
            && host::exists(host, manifest)?
        {
            return Ok(Probe::not_done(format!("{manifest} is there")));
        }
        match is_held(host, &self.data)? {
            true => Ok(Probe::not_done(format!("something holds {}", self.data))),
            false => Ok(Probe::Done),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        if let Some(unit) = &self.unit {
            Command::new("systemctl", ["stop", unit]).timeout(ENDS).must(host)?;
        }
        if let Some(manifest) = &self.manifest {
            host.alter(Alteration::RemoveFile { path: manifest })?;
        }
        if self.unit.is_none() {
            (context.progress)(&format!("waiting until etcd has ended: something holds {}", self.data));
        }
        let ended = wait::until(ENDS, Duration::from_millis(250), || {
            Ok::<_, StepError>((!is_held(host, &self.data)?).then_some(()))
        })?;
        let state = || format!("something holds {}", self.data);
        ended.ok_or_else(|| StepError::Late {
            what: "etcd has not ended".into(),
            seconds: ENDS.as_secs(),
            state: state(),
        })
    }

    /// What starts it again is a step of its own, which has the unit or the manifest.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        if let Some(unit) = &self.unit {
            Command::new("systemctl", ["start", unit]).timeout(ENDS).must(host)?;
        }
        Ok(())
    }
}

impl EtcdStopped {
    fn check(&self) -> Result<(), StepError> {
        check_path(&self.data)?;
        self.manifest.as_deref().map_or(Ok(()), check_path)
    }
}

/// Whether systemd has no intention of running `unit`: a member that was removed ends, and is started again and again.
fn rests(host: &dyn Host, unit: &str) -> Result<bool, StepError> {
    let state = Command::new("systemctl", ["show", "--property=ActiveState", "--", unit]).must(host)?;
    Ok(state.lines().any(|line| matches!(line, "ActiveState=inactive" | "ActiveState=failed")))
}

/// Whether an etcd has the database below `data` open: it holds a lock on it for as long as it runs.
fn is_held(host: &dyn Host, data: &str) -> Result<bool, StepError> {
    let database = format!("{data}/{MEMBER}/snap/db");
    if !host::exists(host, &database)? {
        return Ok(false);
    }
    let output = host.run(&Command::new("flock", ["--nonblock", &database, "true"]))?;
    match output.status {
        0 => Ok(false),
        HELD => Ok(true),
        _ => Err(StepError::Unknown { because: format!("whether {database} is held: {}", output.complaint()) }),
    }
}
