//! Certificates that an authority outside has signed, laid down with the keys that wait for them.

use std::collections::BTreeMap;
use std::fmt;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::pair::{Signed, make_folder_of};
use crate::certificates::{Facts, is_pair};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::kubernetes_certificates::{
    AUTHORITIES, AuthorityFiles, SERVICE_ACCOUNTS, SERVICE_ACCOUNTS_SECRET, read_all,
};
use crate::step::{Act, Mode, Probe};
use crate::suitable;

/// Tells that the keys of the cluster's authorities are kept outside.
pub(in crate::step) const OUTSIDE: &str = "/var/lib/sealock/node/authorities-outside";
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// Lays down certificates that an authority outside has signed, each with the key that waits for it on the host.
///
/// kubeadm takes what it finds. What is in its place with its key stays what it is; what another authority stands in the place of is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatesSigned {
    /// The node's name in the cluster.
    pub node: String,
    /// The authorities, PEM, by the file in which kubeadm keeps each. They are laid down first, and never over another one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<String, String>,
    /// The certificates, PEM, by the path of what shows them.
    pub certificates: BTreeMap<String, String>,
    /// Whether the private key of service accounts arrives when the step runs ([`SERVICE_ACCOUNTS_SECRET`]): a further control plane needs the
    /// cluster's own. Where a cluster begins it is made here, since kubeadm makes none beside an authority without a key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service_accounts_sent: bool,
}

impl fmt::Display for CertificatesSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.certificates.len();
        write!(f, "lay down {number} certificate{} signed outside", if number == 1 { "" } else { "s" })?;
        if self.service_accounts_sent { f.write_str(", and the key of service accounts") } else { Ok(()) }
    }
}

impl Act for CertificatesSigned {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match self.laid_down(host)? {
            Probe::Done => self.settled(host),
            other => Ok(other),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.lay_down(host, context)?;
        self.settle(host)
    }

    /// Takes away what it brought. The keys go with their certificates: other ones are requested anew.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        for one in self.each()? {
            if one.missing(host)?.is_none() {
                one.take_away(host)?;
            }
        }
        for (files, authority) in self.authorities()? {
            if matches!(read_all(host, files.certificate)?.as_slice(), [alone] if *alone == authority) {
                host.alter(Alteration::RemoveFile { path: files.certificate })?;
            }
        }
        if self.needs_service_accounts() {
            for path in [SERVICE_ACCOUNTS.private, SERVICE_ACCOUNTS.public] {
                host.alter(Alteration::RemoveFile { path })?;
            }
        }
        Ok(host.alter(Alteration::RemoveFile { path: OUTSIDE })?)
    }
}

impl CertificatesSigned {
    /// Whether all of it is in its place.
    pub(in crate::step) fn laid_down(&self, host: &dyn Host) -> Result<Probe, StepError> {
        let mut missing = None;
        for (files, authority) in self.authorities()? {
            match standing(host, files, &authority)? {
                Probe::Done => {}
                Probe::NotDone { because } => missing = missing.or(Some(because)),
                other => return Ok(other),
            }
        }
        for one in self.each()? {
            missing = match missing {
                None => one.missing(host)?,
                missing => missing,
            };
        }
        if missing.is_none() && !self.authorities.is_empty() && !host::exists(host, OUTSIDE)? {
            missing = Some(format!("{OUTSIDE} is not there"));
        }
        if missing.is_none() && self.needs_service_accounts() && !has_service_accounts(host)? {
            missing = Some(format!("{} is not there", SERVICE_ACCOUNTS.private));
        }
        Ok(missing.map_or(Probe::Done, Probe::not_done))
    }

    /// Whether, of what is in its place, no key waits any more.
    pub(in crate::step) fn settled(&self, host: &dyn Host) -> Result<Probe, StepError> {
        for one in self.each()? {
            if let Some(because) = one.waits(host)? {
                return Ok(Probe::not_done(because));
            }
        }
        Ok(Probe::Done)
    }

    /// Puts all of it into its place. The keys wait on until it is [settled](Self::settle).
    pub(in crate::step) fn lay_down(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let (authorities, all) = (self.authorities()?, self.each()?);
        // Whether all of it belongs together, before any of it is laid down.
        for (files, authority) in &authorities {
            if let Probe::Foreign { found } = standing(host, *files, authority)? {
                return Err(StepError::Foreign { found });
            }
        }
        for one in &all {
            one.key(host)?;
        }
        if self.needs_service_accounts() {
            lay_down_service_accounts(host, self.service_accounts_sent.then_some(context))?;
        }
        for (files, authority) in &authorities {
            if !standing(host, *files, authority)?.is_done() {
                make_folder_of(host, files.certificate)?;
                host::write(host, files.certificate, Mode::FILE, authority.pem().as_bytes())?;
            }
        }
        for one in &all {
            if one.missing(host)?.is_some() {
                one.lay_down(host)?;
            }
        }
        if !authorities.is_empty() {
            host::write(host, OUTSIDE, Mode::PRIVATE, b"")?;
        }
        Ok(())
    }

    /// No key waits any more: what shows the certificates has them.
    pub(in crate::step) fn settle(&self, host: &dyn Host) -> Result<(), StepError> {
        Ok(self.each()?.iter().try_for_each(|one| one.settle(host))?)
    }

    fn authorities(&self) -> Result<Vec<(AuthorityFiles, Facts)>, StepError> {
        let ours = AUTHORITIES.into_iter().filter_map(|files| Some((files, self.authorities.get(files.certificate)?)));
        ours.map(|(files, text)| {
            let facts = Facts::of(text).ok().filter(|facts| facts.authority);
            let problem = || format!("what is to be {} is no authority", files.certificate);
            Ok((files, facts.ok_or_else(|| StepError::Invalid { problem: problem() })?))
        })
        .collect()
    }

    fn each(&self) -> Result<Vec<Signed>, StepError> {
        self.certificates.iter().map(|(path, text)| Signed::of(path, text, &self.node)).collect()
    }

    /// Where a control plane comes to be. Where one is, the key is there, or what does not work says so itself.
    fn needs_service_accounts(&self) -> bool {
        self.service_accounts_sent || (!self.authorities.is_empty() && self.certificates.contains_key(SUPER_ADMIN))
    }
}

/// Whether the authority stands in kubeadm's file, and its key nowhere: it is kept outside.
fn standing(host: &dyn Host, files: AuthorityFiles, authority: &Facts) -> Result<Probe, StepError> {
    if host::exists(host, files.key)? {
        let found = format!("{} is there: the key of an authority that is kept outside lies on no host", files.key);
        return Ok(Probe::foreign(found));
    }
    Ok(match read_all(host, files.certificate)?.as_slice() {
        [] if host::exists(host, files.certificate)? => {
            Probe::foreign(format!("{} is there, and is no authority", files.certificate))
        }
        [] => Probe::not_done(format!("{} is not there", files.certificate)),
        [alone] if alone == authority => Probe::Done,
        _ => Probe::foreign(format!("{} is there, and is not the authority of the spec", files.certificate)),
    })
}

fn has_service_accounts(host: &dyn Host) -> Result<bool, StepError> {
    let private = host::read_text(host, SERVICE_ACCOUNTS.private)?.map(Zeroizing::new);
    let public = host::read_text(host, SERVICE_ACCOUNTS.public)?;
    Ok(private.zip(public).is_some_and(|(private, public)| is_pair(&private, &public).unwrap_or_default()))
}

/// The key of service accounts: what is there stays, and where there is none it is what was `sent`, or is made.
fn lay_down_service_accounts(host: &dyn Host, sent: Option<&Context<'_>>) -> Result<(), StepError> {
    let there = host::read_text(host, SERVICE_ACCOUNTS.private)?.map(Zeroizing::new);
    let sent = sent.map(|context| context.reveal(&format!("${{secret:{SERVICE_ACCOUNTS_SECRET}}}"))).transpose()?;
    let key = match (there.clone(), sent) {
        (Some(there), Some(sent)) if public_key(&there)? != public_key(&sent)? => {
            let found = format!("{} is there, and is not the key of the cluster", SERVICE_ACCOUNTS.private);
            return Err(StepError::Foreign { found });
        }
        (Some(there), _) => there,
        (None, Some(sent)) => sent,
        (None, None) => made()?,
    };
    let public = public_key(&key)?;
    make_folder_of(host, SERVICE_ACCOUNTS.private)?;
    if there.is_none() {
        host::write(host, SERVICE_ACCOUNTS.private, Mode::PRIVATE, key.as_bytes())?;
    }
    Ok(host::write(host, SERVICE_ACCOUNTS.public, Mode::FILE, public.as_bytes())?)
}

/// A key as kubeadm makes one.
fn made() -> Result<Zeroizing<String>, StepError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
    let key = key.map_err(|error| StepError::Invalid { problem: format!("no key could be made: {error}") })?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

fn public_key(private: &str) -> Result<String, StepError> {
    // What is wrong with it is told without its text.
    suitable::service_accounts(private)
        .map_err(|error| StepError::Invalid { problem: format!("the key of service accounts: {error}") })
}
