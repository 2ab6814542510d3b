//! What an API server shows to an etcd that is elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::certificates::Facts;
use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::external_etcd::{API_SERVER, AUTHORITY, CERTIFICATE, KEY, KEY_SECRET};
use crate::host::{self, Entry, Host};
use crate::step::anew::Anew;
use crate::step::{Act, Mode, Probe};

/// What ran when the files had just changed: it is to be ended.
pub(in crate::step) const RECORD: &str = "/var/lib/sealock/node/etcd-client.json";
const FILES: [&str; 3] = [AUTHORITY, CERTIFICATE, KEY];
const LIMIT: u64 = 1 << 20;

/// Files that the API server of this control plane shows to an etcd that is elsewhere, or believes it by, and the API server started anew
/// where it runs with others. The private key stands in no plan: it arrives when the step runs, and is known by its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdClient {
    /// Certificates of which one issued those of etcd's members, PEM.
    pub authority: String,
    /// The certificate that is shown, PEM.
    pub certificate: String,
    /// Only laid down: what reads them is started anew by a later step. Where certificates of the API server have ended, too, it does not
    /// serve before those are new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub laid_only: bool,
}

impl fmt::Display for EtcdClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Facts::of(&self.certificate) {
            Ok(facts) => write!(
                f,
                "lay down what the API server shows to the external etcd: certificate {} of {}, which ends on {}",
                facts.serial,
                facts.name,
                facts.not_after.strftime("%Y-%m-%d")
            ),
            Err(_) => f.write_str("lay down what the API server shows to the external etcd"),
        }
    }
}

impl Act for EtcdClient {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        if let Some(because) = self.differs(host)? {
            return Ok(Probe::not_done(because));
        }
        if self.laid_only {
            return Ok(Probe::Done);
        }
        Ok(self.anew().unread(host)?.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if self.differs(host)?.is_some() {
            self.write(host, context)?;
        }
        // What reads them is not there yet, or is started anew with all else by a later step.
        let is_read = !self.laid_only && host::exists(host, API_SERVER)?;
        if is_read { self.anew().start(host, context) } else { self.anew().note(host) }
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for path in FILES {
            changes.undo(host, &Subject::File { path: path.to_owned() })?;
        }
        Ok(host.alter(host::Alteration::RemoveFile { path: RECORD })?)
    }
}

impl EtcdClient {
    /// What of the files is not as it is to be.
    fn differs(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        for (path, mode, content) in self.public() {
            if let Some(because) = unlike(host, path, mode)? {
                return Ok(Some(because));
            }
            if host::digest(host, path)? != Digest::sha256(content.as_bytes()) {
                return Ok(Some(format!("{path} is another one")));
            }
        }
        if let Some(because) = unlike(host, KEY, Mode::PRIVATE)? {
            return Ok(Some(because));
        }
        let key = host::read(host, KEY, LIMIT)?.map(Zeroizing::new).unwrap_or_default();
        let is_its = self.is_key(&String::from_utf8_lossy(&key));
        Ok((!is_its).then(|| format!("{KEY} is not the key of the certificate")))
    }

    fn write(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let key = context.secrets.find(KEY_SECRET).ok_or_else(|| StepError::NoSecret { name: KEY_SECRET.into() })?;
        if !self.is_key(key) {
            let problem = "the private key at the station is not the one of the certificate in the plan".to_owned();
            return Err(StepError::Invalid { problem });
        }
        let mut changes = Changes::load(host)?;
        // The key last: whatever is cut off before it is seen by the certificate not being its own.
        let public = self.public().map(|(path, mode, content)| (path, mode, content.as_bytes()));
        for (path, mode, content) in public.into_iter().chain([(KEY, Mode::PRIVATE, key.as_bytes())]) {
            changes.before_file(host, path, &Digest::sha256(content))?;
            host::write(host, path, mode, content)?;
        }
        Ok(())
    }

    fn public(&self) -> [(&'static str, Mode, &str); 2] {
        [(AUTHORITY, Mode::FILE, &self.authority), (CERTIFICATE, Mode::FILE, &self.certificate)]
    }

    fn is_key(&self, key: &str) -> bool {
        Facts::of(&self.certificate).is_ok_and(|facts| facts.has_key(key).unwrap_or(false))
    }

    fn anew(&self) -> Anew {
        let reads = self.public().map(|(path, _, content)| (path, Digest::sha256(content.as_bytes())));
        let reads: BTreeMap<String, String> =
            reads.into_iter().map(|(path, digest)| (path.to_owned(), digest.to_string())).collect();
        Anew { path: RECORD, reads, components: &["kube-apiserver"] }
    }
}

/// Why there is no file with this mode.
fn unlike(host: &dyn Host, path: &str, mode: Mode) -> Result<Option<String>, StepError> {
    Ok(match host.inspect(path)? {
        Entry::File { mode: found, .. } if found == mode => None,
        Entry::File { mode: found, .. } => Some(format!("{path} has mode {found}")),
        _ => Some(format!("{path} is not there")),
    })
}
