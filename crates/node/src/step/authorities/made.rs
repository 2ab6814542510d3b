//! New authorities, made on the control plane host that speaks for the cluster or brought to it by the station: they are kept where the
//! present ones are.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::supplied::{certificate, check_key, in_words, keys_sent};
use super::{Bundle, has_key};
use crate::certificates::{Authority, Facts};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::kubernetes_certificates::{AUTHORITIES, AuthorityFiles, NEXT_AUTHORITIES, read};
use crate::step::{Act, Mode, Probe};

/// Makes the authorities that come next, or keeps those that somebody else has made. They issue nothing yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthoritiesMade {
    /// The digests of the authorities that they are to replace, by file.
    pub old: BTreeMap<String, Digest>,
    /// The certificates of those that somebody else has made to come next, PEM, by the file whose authority each is to replace; their private
    /// keys arrive when the step runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub supplied: BTreeMap<String, String>,
}

impl fmt::Display for AuthoritiesMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.supplied.is_empty() {
            return write!(f, "make {} new authorities", self.old.len());
        }
        write!(f, "keep the new authorities of the spec: {}", in_words(&self.supplied))
    }
}

impl Act for AuthoritiesMade {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        for files in AUTHORITIES {
            if let Some(old) = self.old.get(files.certificate)
                && !self.waits(host, files, old)?
            {
                return Ok(Probe::not_done(format!("{} holds no new authority", files.next)));
            }
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if !self.supplied.is_empty() {
            return self.keep(host, context);
        }
        host.alter(Alteration::MakeDirectory { path: NEXT_AUTHORITIES, mode: Mode::new(0o700) })?;
        for files in AUTHORITIES {
            let Some(old) = self.old.get(files.certificate) else { continue };
            if self.waits(host, files, old)? {
                continue;
            }
            let bundle = Bundle::read(host, files)?;
            let name = bundle.find(old).map(|old| old.name.clone());
            let name = name.ok_or_else(|| super::invalid(&format!("{} is not what is replaced", files.certificate)))?;
            let made =
                Authority::generate(&name, Timestamp::now()).map_err(|error| super::invalid(&error.to_string()))?;
            host::write(host, files.next_key, Mode::PRIVATE, made.key().as_bytes())?;
            host::write(host, files.next, Mode::PRIVATE, made.certificate().as_bytes())?;
        }
        Ok(())
    }

    /// Nobody believes them yet.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(host.alter(Alteration::RemoveTree { path: NEXT_AUTHORITIES })?)
    }
}

impl AuthoritiesMade {
    /// Keeps what the station has sent. Whether all of it came, and belongs together, is seen first.
    fn keep(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let keys = keys_sent(context)?;
        let mut kept = Vec::new();
        for files in AUTHORITIES.into_iter().filter(|files| self.old.contains_key(files.certificate)) {
            let supplied = self.supplied.get(files.certificate);
            let supplied =
                supplied.ok_or_else(|| super::invalid(&format!("nothing is supplied for {}", files.certificate)))?;
            let supplied = certificate(files, supplied)?;
            kept.push((files, check_key(&keys, files, &supplied)?, supplied));
        }
        host.alter(Alteration::MakeDirectory { path: NEXT_AUTHORITIES, mode: Mode::new(0o700) })?;
        for (files, key, supplied) in kept {
            host::write(host, files.next_key, Mode::PRIVATE, key.as_bytes())?;
            host::write(host, files.next, Mode::PRIVATE, supplied.pem().as_bytes())?;
        }
        Ok(())
    }

    /// Whether one waits that is another than `old`, with its key; where one is supplied, that very one.
    fn waits(&self, host: &dyn Host, files: AuthorityFiles, old: &Digest) -> Result<bool, StepError> {
        let Some(next) = read(host, files.next)?.filter(|next: &Facts| next.authority && next.digest() != *old) else {
            return Ok(false);
        };
        if let Some(supplied) = self.supplied.get(files.certificate)
            && certificate(files, supplied)? != next
        {
            return Ok(false);
        }
        has_key(host, files.next_key, &next)
    }
}
