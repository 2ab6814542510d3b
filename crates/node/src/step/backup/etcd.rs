//! etcd's data, restored from a backup by the program that comes in etcd's own image.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FOLDER, check_below};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::image_programs;
use crate::step::{Act, EtcdRestored, Probe};

/// etcd's data as a backup holds it, before etcd starts for the first time on this host. When it has its place, the unpacked backup
/// goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdFromBackup {
    /// The image of etcd that will run, by its whole name.
    pub image: String,
    /// Absolute path of the folder that the backup was unpacked into.
    pub folder: String,
    /// How it is restored; snapshot and `etcdutl` lie in that folder.
    pub restored: EtcdRestored,
}

impl fmt::Display for EtcdFromBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.restored.fmt(f)
    }
}

impl Act for EtcdFromBackup {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        match self.restored.probe(host, context)? {
            Probe::Done if host::exists(host, &self.folder)? => {
                Ok(Probe::not_done(format!("{} still holds the cluster's keys", self.folder)))
            }
            probe => Ok(probe),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        if !self.restored.probe(host, context)?.is_done() {
            let programs = self.programs();
            image_programs::take(host, &self.image, &["etcdutl"], &programs)?;
            self.restored.apply(host, context)?;
        }
        Ok(host.alter(Alteration::RemoveTree { path: &self.folder })?)
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.restored.undo(host, context)?;
        Ok(host.alter(Alteration::RemoveTree { path: &self.folder })?)
    }
}

impl EtcdFromBackup {
    fn programs(&self) -> String {
        format!("{}/programs", self.folder)
    }

    fn check(&self) -> Result<(), StepError> {
        check_below(FOLDER, &self.folder)?;
        check_below(&self.folder, &self.restored.snapshot)?;
        if self.restored.etcdutl != format!("{}/etcdutl", self.programs()) {
            return Err(StepError::Invalid {
                problem: format!("{} is not taken from the image", self.restored.etcdutl),
            });
        }
        Ok(())
    }
}
