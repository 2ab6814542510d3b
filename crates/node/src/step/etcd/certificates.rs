//! etcd's certificates: an authority of its own, and what it issues to this machine.

use std::fmt;

use jiff::Timestamp;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::certificates::{Authority, CertificateError, Facts, Issued, Purpose};
use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Host};
use crate::step::file::check_path;
use crate::step::{Act, Mode, Probe};

/// What stands in the folder beside the authority: name of the files, purpose, what the certificate's name ends in.
const LEAVES: &[(&str, Purpose, &str)] = &[
    ("server", Purpose::Server, ""),
    ("peer", Purpose::Peer, ""),
    ("client", Purpose::Client, "-client"),
    ("apiserver-etcd-client", Purpose::Client, "-apiserver-client"),
];
const CERTIFICATE_LIMIT: u64 = 1 << 20;

/// Certificates and keys of an etcd member, in one folder: `ca.crt`, `ca.key`, and for each of `server`, `peer`, `client` and
/// `apiserver-etcd-client` a `.crt` and a `.key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdCertificates {
    /// Absolute path.
    pub folder: String,
    /// The member's name.
    pub member: String,
    /// Host names and addresses at which the member is reached.
    pub names: Vec<String>,
    /// Make an authority where there is none. Else one must be there: the cluster's.
    pub new_authority: bool,
    /// How many days a certificate holds.
    pub days: u32,
    /// A certificate with fewer days left than this is issued again.
    pub renew_before_days: u32,
}

/// The names of the files in a folder of etcd's certificates, without `.crt` and `.key`.
pub fn certificate_files() -> impl Iterator<Item = &'static str> {
    std::iter::once("ca").chain(LEAVES.iter().map(|(name, ..)| *name))
}

impl fmt::Display for EtcdCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = if self.new_authority { "an authority and " } else { "" };
        write!(f, "make {authority}certificates for {} in {}", self.member, self.folder)
    }
}

impl Act for EtcdCertificates {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        check_path(&self.folder)?;
        let Some(ca) = self.certificate(host, "ca")? else {
            return Ok(match self.new_authority {
                true if self.is_foreign_key(host)? => {
                    Probe::foreign(format!("{} is there without its certificate", self.path("ca", "key")))
                }
                true => Probe::not_done(format!("{} is not there", self.path("ca", "crt"))),
                false => {
                    Probe::foreign(format!("{} is not there: it must be the cluster's own", self.path("ca", "crt")))
                }
            });
        };
        if !ca.authority {
            return Ok(Probe::foreign(format!("{} is no authority's certificate", self.path("ca", "crt"))));
        }
        if ca.days_left(Timestamp::now()) < 0 {
            return Ok(Probe::foreign(format!("{} has expired, on {}", self.path("ca", "crt"), ca.not_after)));
        }
        for (name, ..) in LEAVES {
            if let Some(problem) = self.problem(host, &ca, name)? {
                return Ok(Probe::not_done(format!("{} {problem}", self.path(name, "crt"))));
            }
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if let Probe::Foreign { found } = self.probe(host, context)? {
            return Err(StepError::Foreign { found });
        }
        let now = Timestamp::now();
        let mut changes = Changes::load(host)?;
        changes.before_folder_of(host, &self.folder)?;
        changes.make_folder(host, &self.folder, Mode::new(0o700))?;
        if self.certificate(host, "ca")?.is_none() {
            let authority = Authority::generate("etcd", now).map_err(|error| failed(&error))?;
            // The key first: a certificate without its key would look like an authority from elsewhere.
            let issued = Issued { certificate: authority.certificate().to_owned(), key: authority.key() };
            self.write(host, &mut changes, "ca", &issued)?;
        }
        let Some(ca) = self.certificate(host, "ca")? else { return Ok(()) };
        for (name, purpose, suffix) in LEAVES {
            if self.problem(host, &ca, name)?.is_some() {
                let member = format!("{}{suffix}", self.member);
                let names = if *purpose == Purpose::Client { &[][..] } else { &self.names };
                let issued = self
                    .authority(host)?
                    .issue(*purpose, &member, names, (now, self.days))
                    .map_err(|error| failed(&error))?;
                self.write(host, &mut changes, name, &issued)?;
                (context.progress)(&format!("issued {}", self.path(name, "crt")));
            }
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for name in certificate_files() {
            for ending in ["crt", "key"] {
                changes.undo(host, &Subject::File { path: self.path(name, ending) })?;
            }
        }
        Ok(changes.undo(host, &Subject::Directory { path: self.folder.clone() })?)
    }
}

impl EtcdCertificates {
    fn path(&self, name: &str, ending: &str) -> String {
        format!("{}/{name}.{ending}", self.folder)
    }

    fn text(&self, host: &dyn Host, name: &str, ending: &str) -> Result<Option<Zeroizing<String>>, StepError> {
        let bytes = host::read(host, &self.path(name, ending), CERTIFICATE_LIMIT)?;
        Ok(bytes.map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
    }

    fn certificate(&self, host: &dyn Host, name: &str) -> Result<Option<Facts>, StepError> {
        let Some(text) = self.text(host, name, "crt")? else { return Ok(None) };
        let unreadable = |error| StepError::Foreign { found: format!("{}: {error}", self.path(name, "crt")) };
        Facts::of(&text).map(Some).map_err(unreadable)
    }

    /// A key that Sealock did not write must not be lost; one that it wrote has issued nothing while it has no certificate.
    fn is_foreign_key(&self, host: &dyn Host) -> Result<bool, StepError> {
        let path = self.path("ca", "key");
        let Some(key) = self.text(host, "ca", "key")? else { return Ok(false) };
        Ok(!Changes::load(host)?.wrote(&path, &Digest::sha256(key.as_bytes())))
    }

    /// Why the certificate `name` has to be issued again.
    fn problem(&self, host: &dyn Host, ca: &Facts, name: &str) -> Result<Option<String>, StepError> {
        let Some(facts) = self.certificate(host, name)? else { return Ok(Some("is not there".to_owned())) };
        let Some(key) = self.text(host, name, "key")? else { return Ok(Some("has no key beside it".to_owned())) };
        if !facts.is_issued_by(ca) {
            return Ok(Some(format!("is not issued by {}", self.path("ca", "crt"))));
        }
        if !facts.has_key(&key).unwrap_or(false) {
            return Ok(Some("has another's key beside it".to_owned()));
        }
        let left = facts.days_left(Timestamp::now());
        if left < i64::from(self.renew_before_days) {
            return Ok(Some(format!("has {left} days left")));
        }
        let is_client = LEAVES.iter().any(|(known, purpose, _)| *known == name && *purpose == Purpose::Client);
        match facts.covers(&self.names) {
            Err(missing) if !is_client => Ok(Some(format!("does not name {missing}"))),
            _ => Ok(None),
        }
    }

    fn authority(&self, host: &dyn Host) -> Result<Authority, StepError> {
        let path = self.path("ca", "key");
        let missing = || StepError::Foreign {
            found: format!("{path} is not there, and without it no certificate can be issued to this member"),
        };
        let key = self.text(host, "ca", "key")?.ok_or_else(missing)?;
        let certificate = self.text(host, "ca", "crt")?.ok_or_else(missing)?;
        Authority::from_pem(&certificate, &key).map_err(|error| failed(&error))
    }

    /// The key before the certificate: cut off in between, the certificate is what is missing, and both are made anew.
    fn write(&self, host: &dyn Host, changes: &mut Changes, name: &str, issued: &Issued) -> Result<(), StepError> {
        for (ending, mode, content) in
            [("key", Mode::PRIVATE, issued.key.as_bytes()), ("crt", Mode::FILE, issued.certificate.as_bytes())]
        {
            let path = self.path(name, ending);
            changes.before_file(host, &path, &Digest::sha256(content))?;
            host::write(host, &path, mode, content)?;
        }
        Ok(())
    }
}

fn failed(error: &CertificateError) -> StepError {
    let mut problem = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        problem = format!("{problem}: {source}");
    }
    StepError::Invalid { problem }
}
