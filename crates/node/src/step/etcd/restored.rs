//! etcd's data, restored from a snapshot.
//!
//! etcd's own program restores into a folder inside the data directory; the result gets its place by one rename. What was there
//! before has been set aside by an earlier step: a data directory that holds something is never written into.

use std::fmt;
use std::time::Duration;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::MEMBER;
use crate::changes::{Changes, NODE_FOLDER};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::step::file::check_path;
use crate::step::{Act, Mode, Probe};

const UNFINISHED: &str = ".sealock-restoring";
/// 8 GiB from and to a slow disk.
const RESTORES: Duration = Duration::from_secs(1800);

/// etcd's data directory, restored from a snapshot as the first data of a new cluster. The revision is raised and all before it
/// marked as compacted, so that whoever watched the cluster before finds out, and lists anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdRestored {
    /// Absolute path of the snapshot.
    pub snapshot: String,
    /// Its digest.
    pub digest: Digest,
    /// Absolute path of `etcdutl`, of the version that will run.
    pub etcdutl: String,
    /// The data directory.
    pub data: String,
    /// The member's name.
    pub member: String,
    /// Where its peers reach it.
    pub peer_url: String,
    /// All members of the new cluster, as `name=peer URL`, separated by commas.
    pub initial_cluster: String,
    /// Tells the new cluster from any other.
    pub token: String,
    /// By how much the revision is raised.
    pub bump_revision: u64,
    /// Tells this restore from an earlier one of the same snapshot.
    pub run: String,
}

impl fmt::Display for EtcdRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restore {} from {} ({})", self.data, self.snapshot, &self.digest.to_string()[..19])
    }
}

impl Act for EtcdRestored {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if !host::exists(host, &self.place())? {
            return Ok(Probe::not_done(format!("{} holds no data", self.data)));
        }
        match host::read_text(host, &mark())? {
            Some(text) if text == self.words() && host::exists(host, &self.unfinished())? => {
                Ok(Probe::not_done(format!("{} is left over", self.unfinished())))
            }
            Some(text) if text == self.words() => Ok(Probe::Done),
            _ => Ok(Probe::foreign(format!("{} holds data that this restore did not make", self.data))),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        if host::exists(host, &self.place())? {
            return Ok(host.alter(Alteration::RemoveTree { path: &self.unfinished() })?);
        }
        let found = host::digest(host, &self.snapshot)?;
        if found != self.digest {
            let problem = format!("{} is {found}, and the plan says {}", self.snapshot, self.digest);
            return Err(StepError::Invalid { problem });
        }
        let mut changes = Changes::load(host)?;
        changes.before_folder_of(host, &self.data)?;
        changes.make_folder(host, &self.data, Mode::new(0o700))?;
        let unfinished = self.unfinished();
        host.alter(Alteration::RemoveTree { path: &unfinished })?;
        (context.progress)("restoring the snapshot");
        self.command(&unfinished).must(host)?;
        // Before the data gets its place: found with the mark it is ours, and without data the mark says nothing.
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        host::write(host, &mark(), Mode::PRIVATE, self.words().as_bytes())?;
        let made = format!("{unfinished}/{MEMBER}");
        host.alter(Alteration::Move { path: &made, target: &self.place() })?;
        Ok(host.alter(Alteration::RemoveTree { path: &unfinished })?)
    }

    /// The restored data stays; what was there before is given back by the step that set it aside.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(host.alter(Alteration::RemoveTree { path: &self.unfinished() })?)
    }
}

impl EtcdRestored {
    fn check(&self) -> Result<(), StepError> {
        [&self.snapshot, &self.etcdutl, &self.data].into_iter().try_for_each(|path| check_path(path))
    }

    fn place(&self) -> String {
        format!("{}/{MEMBER}", self.data)
    }

    fn unfinished(&self) -> String {
        format!("{}/{UNFINISHED}", self.data)
    }

    fn words(&self) -> String {
        format!("{} {} {}\n", self.run, self.digest, self.data)
    }

    fn command(&self, into: &str) -> Command {
        let bump = self.bump_revision.to_string();
        let mut args = vec!["snapshot", "restore", &self.snapshot, "--data-dir", into, "--name", &self.member];
        args.extend(["--initial-cluster", &self.initial_cluster, "--initial-cluster-token", &self.token]);
        args.extend(["--initial-advertise-peer-urls", &self.peer_url]);
        if self.bump_revision > 0 {
            args.extend(["--bump-revision", &bump, "--mark-compacted"]);
        }
        Command::new(&self.etcdutl, args).timeout(RESTORES)
    }
}

/// Which restore made the data that is there.
pub(crate) fn mark() -> String {
    format!("{NODE_FOLDER}/etcd-restored")
}
