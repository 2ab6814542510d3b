//! Authorities that somebody else has made, laid down where kubeadm looks for them before it makes any.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{has_key, invalid};
use crate::certificates::{Facts, is_pair};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::kubernetes_certificates::{AUTHORITIES, AuthorityFiles, SERVICE_ACCOUNTS, SUPPLIED_SECRET, read_all};
use crate::step::{Act, Mode, Probe};
use crate::suitable;

/// Lays down authorities that somebody else has made, and the key of service accounts where that is given, too. kubeadm takes what it finds.
///
/// No private key stands in a plan: they arrive when the step runs, and are known by the certificates. What stands there and is another
/// authority is never overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthoritiesSupplied {
    /// Their certificates, PEM, by the file in which kubeadm keeps each.
    pub certificates: BTreeMap<String, String>,
    /// The public key of service accounts, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<String>,
}

impl fmt::Display for AuthoritiesSupplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lay down the authorities of the spec: {}", in_words(&self.certificates))?;
        if self.service_accounts.is_some() { f.write_str(", and the key of service accounts") } else { Ok(()) }
    }
}

impl Act for AuthoritiesSupplied {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let mut missing = None;
        for (files, supplied) in self.authorities()? {
            match standing(host, files, &supplied)? {
                Probe::Done => {}
                Probe::NotDone { because } => missing = missing.or(Some(because)),
                other => return Ok(other),
            }
        }
        if let Some(public) = &self.service_accounts {
            match keys_of_service_accounts(host, public)? {
                Probe::Done => {}
                Probe::NotDone { because } => missing = missing.or(Some(because)),
                other => return Ok(other),
            }
        }
        Ok(missing.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let keys = keys_sent(context)?;
        // Whether all of them came, and are the right ones, before any is laid down.
        for (files, supplied) in self.authorities()? {
            check_key(&keys, files, &supplied)?;
        }
        if let Some(public) = &self.service_accounts {
            check_pair(&keys, public)?;
        }
        for (files, supplied) in self.authorities()? {
            if standing(host, files, &supplied)?.is_done() {
                continue;
            }
            make_folder_of(host, files.certificate)?;
            host::write(host, files.certificate, Mode::FILE, supplied.pem().as_bytes())?;
            write_key(host, files.key, &keys)?;
        }
        if let Some(public) = &self.service_accounts
            && !keys_of_service_accounts(host, public)?.is_done()
        {
            make_folder_of(host, SERVICE_ACCOUNTS.public)?;
            host::write(host, SERVICE_ACCOUNTS.public, Mode::FILE, public.as_bytes())?;
            write_key(host, SERVICE_ACCOUNTS.private, &keys)?;
        }
        Ok(())
    }

    /// Takes away what is still what it brought: the key first, which without its certificate would be nobody's.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        for (files, supplied) in self.authorities()? {
            if matches!(read_all(host, files.certificate)?.as_slice(), [alone] if *alone == supplied) {
                host.alter(Alteration::RemoveFile { path: files.key })?;
                host.alter(Alteration::RemoveFile { path: files.certificate })?;
            }
        }
        if let Some(public) = &self.service_accounts
            && keys_of_service_accounts(host, public)?.is_done()
        {
            host.alter(Alteration::RemoveFile { path: SERVICE_ACCOUNTS.private })?;
            host.alter(Alteration::RemoveFile { path: SERVICE_ACCOUNTS.public })?;
        }
        Ok(())
    }
}

impl AuthoritiesSupplied {
    fn authorities(&self) -> Result<Vec<(AuthorityFiles, Facts)>, StepError> {
        let supplied =
            AUTHORITIES.into_iter().filter_map(|files| Some((files, self.certificates.get(files.certificate)?)));
        supplied.map(|(files, text)| Ok((files, certificate(files, text)?))).collect()
    }
}

/// What `certificates` are, for a person: names, with their ends.
pub(super) fn in_words(certificates: &BTreeMap<String, String>) -> String {
    let of = |files: &AuthorityFiles| {
        let facts = Facts::of(certificates.get(files.certificate)?).ok()?;
        let digest = facts.digest().hex()[..12].to_owned();
        Some(format!("{} ({digest}, until {})", facts.name.escape_debug(), facts.not_after.strftime("%Y-%m-%d")))
    };
    AUTHORITIES.iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// The authority in a plan.
pub(super) fn certificate(files: AuthorityFiles, text: &str) -> Result<Facts, StepError> {
    let facts = Facts::of(text).map_err(|error| invalid(&format!("{}: {error}", files.certificate)))?;
    if facts.authority {
        Ok(facts)
    } else {
        Err(invalid(&format!("what is planned for {} is no authority", files.certificate)))
    }
}

/// The private keys that the station has sent, by the file in which kubeadm keeps each.
pub(super) fn keys_sent(context: &Context<'_>) -> Result<BTreeMap<String, Zeroizing<String>>, StepError> {
    let text = context.secrets.find(SUPPLIED_SECRET);
    let text = text.ok_or_else(|| StepError::NoSecret { name: SUPPLIED_SECRET.into() })?;
    // What is wrong with it is not told with its content.
    let keys: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| invalid("the private keys are no texts"))?;
    Ok(keys.into_iter().map(|(path, key)| (path, Zeroizing::new(key))).collect())
}

/// The key of `supplied`, where it was sent.
pub(super) fn check_key<'a>(
    keys: &'a BTreeMap<String, Zeroizing<String>>,
    files: AuthorityFiles,
    supplied: &Facts,
) -> Result<&'a str, StepError> {
    let key =
        keys.get(files.key).ok_or_else(|| invalid(&format!("the station holds no private key for {}", files.key)))?;
    match supplied.has_key(key).unwrap_or_default() {
        true => Ok(key),
        false => Err(invalid(&format!(
            "the private key at the station for {} is not the one of the certificate in the plan",
            files.key
        ))),
    }
}

fn check_pair(keys: &BTreeMap<String, Zeroizing<String>>, public: &str) -> Result<(), StepError> {
    let path = SERVICE_ACCOUNTS.private;
    let key = keys.get(path).ok_or_else(|| invalid(&format!("the station holds no private key for {path}")))?;
    match is_pair(key, public).unwrap_or_default() {
        true => Ok(()),
        false => Err(invalid(&format!("the private key at the station for {path} is not the one of the plan"))),
    }
}

/// How a file of kubeadm's stands to what is supplied. While authorities are replaced, it holds two.
fn standing(host: &dyn Host, files: AuthorityFiles, supplied: &Facts) -> Result<Probe, StepError> {
    let held = read_all(host, files.certificate)?;
    if held.is_empty() && !host::exists(host, files.certificate)? {
        return Ok(match host::exists(host, files.key)? {
            true => Probe::foreign(format!("{} is there, and no certificate to it", files.key)),
            false => Probe::not_done(format!("{} is not there", files.certificate)),
        });
    }
    if !held.contains(supplied) {
        return Ok(Probe::foreign(format!("{} is there, and is not the authority of the spec", files.certificate)));
    }
    let issues = held.first() == Some(supplied);
    Ok(match !issues || has_key(host, files.key, supplied)? {
        true => Probe::Done,
        false if host::exists(host, files.key)? => {
            Probe::foreign(format!("{} is there, and is not the key of {}", files.key, files.certificate))
        }
        false => Probe::not_done(format!("{} is not there", files.key)),
    })
}

fn keys_of_service_accounts(host: &dyn Host, wanted: &str) -> Result<Probe, StepError> {
    let [private, public] = [SERVICE_ACCOUNTS.private, SERVICE_ACCOUNTS.public];
    let Some(found) = host::read_text(host, public)? else {
        return Ok(match host::exists(host, private)? {
            true => Probe::foreign(format!("{private} is there, and is not what the spec says")),
            false => Probe::not_done(format!("{public} is not there")),
        });
    };
    if !suitable::is_same_public_key(&found, wanted).unwrap_or_default() {
        return Ok(Probe::foreign(format!("{public} is there, and is not what the spec says")));
    }
    let key = host::read_text(host, private)?.map(Zeroizing::new);
    Ok(match key.map(|key| is_pair(&key, &found).unwrap_or_default()) {
        Some(true) => Probe::Done,
        Some(false) => Probe::foreign(format!("{private} is there, and is not the key of {public}")),
        None => Probe::not_done(format!("{private} is not there")),
    })
}

fn make_folder_of(host: &dyn Host, path: &str) -> Result<(), StepError> {
    Ok(host.alter(Alteration::MakeDirectory { path: host::parent(path), mode: Mode::EXECUTABLE })?)
}

fn write_key(host: &dyn Host, path: &str, keys: &BTreeMap<String, Zeroizing<String>>) -> Result<(), StepError> {
    let key = keys.get(path).map(|key| key.as_str()).unwrap_or_default();
    Ok(host::write(host, path, Mode::PRIVATE, key.as_bytes())?)
}
