//! The authorities of a cluster, replaced by others while it serves (Kubernetes documentation, "Manual rotation of CA certificates").
//!
//! First every host believes the new ones beside the old ones, then the new ones issue, and in the end the old ones are believed no more.
//! kubeadm takes the first certificate of a file for the one that issues, so the order in a file says how far its host is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

mod bundle;
mod forgotten;
mod made;
mod published;
mod supplied;

pub use forgotten::AuthoritiesForgotten;
pub use made::AuthoritiesMade;
pub use published::AuthoritiesPublished;
pub use supplied::AuthoritiesSupplied;

pub(super) use bundle::{believe_all, settle_signer};

use self::bundle::{Bundle, foreign_signer, issued_before, marks, missigned, unbelieving};
use super::anew::{Anew, of_control_plane};
use super::renewal::renew;
use super::{Act, Mode, Probe};
use crate::certificates::Facts;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};
use crate::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT, NEXT_AUTHORITIES, read};

/// What ran when the authorities had just changed: it is to be ended.
pub(super) const RECORD: &str = "/var/lib/sealock/node/authorities.json";
/// The name of the secret: PEM texts by file, in JSON; on a worker certificates alone.
const SECRET: &str = "${secret:authorities}";

/// How far authorities are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The new ones are believed beside the old ones, which issue.
    Trust,
    /// The new ones issue, and the old ones are still believed.
    Issue,
    /// The old ones are believed no more.
    Drop,
}

impl Stage {
    /// As a person writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Issue => "issue",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a host believes, and on a control plane what its certificates are issued by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Authorities {
    /// How far it is to be.
    pub stage: Stage,
    /// Whether it is a control plane: a worker believes Kubernetes' own alone, and nothing on it reads that but kubelet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
    /// The digests of the authorities that are replaced, by file. Where they are believed no more anywhere, and are to be dropped, none is
    /// known.
    pub old: BTreeMap<String, Digest>,
    /// Authorities that were believed to come next, and whose keys are lost: they are forgotten.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<Digest>,
    /// kubeadm's configuration, where certificates are made: with it kubeadm asks no API server, and no internet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.stage {
            Stage::Trust => "believe the new authorities beside the old ones",
            Stage::Issue if self.control_plane => "have the new authorities issue, make the certificates anew",
            Stage::Issue => "name the new authority first",
            Stage::Drop => "believe the old authorities no more",
        };
        f.write_str(what)?;
        if self.control_plane { f.write_str(", and start etcd and the control plane anew") } else { Ok(()) }
    }
}

impl Act for Authorities {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        if let Some(found) = foreign_signer(host)? {
            return Ok(Probe::foreign(found));
        }
        for (bundle, old) in self.bundles(host)? {
            if let Some(because) = self.unlike(host, &bundle, old)? {
                return Ok(Probe::not_done(because));
            }
        }
        if self.is_beyond(host)? {
            return Ok(Probe::Done);
        }
        Ok(self.unsettled(host)?.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if self.stage == Stage::Drop && self.control_plane {
            still_shows_old(host)?;
        }
        let next = if self.stage == Stage::Trust { self.revealed(context)? } else { BTreeMap::new() };
        for (bundle, old) in self.bundles(host)? {
            if self.unlike(host, &bundle, old)?.is_some() {
                match self.stage {
                    Stage::Trust => trust(host, &bundle, old, &next)?,
                    Stage::Issue => issue(host, &bundle, (old, self.control_plane))?,
                    Stage::Drop => drop_old(host, &bundle, old)?,
                }
            }
        }
        if self.is_beyond(host)? {
            return Ok(());
        }
        believe_all(host)?;
        if !self.control_plane {
            return Ok(());
        }
        settle_signer(host)?;
        if self.stage == Stage::Issue && issued_before(host)?.is_some() {
            (context.progress)("making certificates");
            renew(host, &self.config)?;
            believe_all(host)?;
        }
        self.anew(host)?.start(host, context)
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid {
            problem: "what authorities have issued meanwhile would be believed no more".to_owned(),
        })
    }
}

impl Authorities {
    /// What of this host is to change, each with the authority that is replaced.
    fn bundles(&self, host: &dyn Host) -> Result<Vec<(Bundle, &Digest)>, StepError> {
        let mut bundles = Vec::new();
        for files in AUTHORITIES {
            if let Some(old) = self.old.get(files.certificate) {
                bundles.push((Bundle::read(host, files)?, old));
            }
        }
        Ok(bundles)
    }

    /// Whether new authorities have begun to issue here, where they are to be believed. What was cut off then shows certificates of the old
    /// one beside the name of the new one: only having them made anew settles that, so it is left to the stage that does it.
    fn is_beyond(&self, host: &dyn Host) -> Result<bool, StepError> {
        if self.stage != Stage::Trust {
            return Ok(false);
        }
        for (bundle, old) in self.bundles(host)? {
            let Some(next) = bundle.beside(old) else { continue };
            if bundle.issuer() == Some(next) || (self.control_plane && has_key(host, bundle.files.key, next)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why a file is not as far as the stage.
    fn unlike(&self, host: &dyn Host, bundle: &Bundle, old: &Digest) -> Result<Option<String>, StepError> {
        let path = bundle.files.certificate;
        let issuer = bundle.issuer().map(Facts::digest);
        if self.stage == Stage::Drop {
            let holds = bundle.find(old).is_some();
            return Ok(holds.then(|| format!("{path} still holds the old authority")));
        }
        if bundle.find(old).is_none() {
            return Err(StepError::Unknown { because: format!("{path} does not hold {old}, which is replaced") });
        }
        let Some(next) = bundle.beside(old).filter(|next| !self.lost.contains(&next.digest())) else {
            return Ok(Some(format!("{path} does not hold the new authority")));
        };
        let issues = issuer.as_ref() != Some(old);
        Ok(match self.stage {
            Stage::Issue if !issues => Some(format!("{path} still names the old authority first")),
            Stage::Issue if self.control_plane && !has_key(host, bundle.files.key, next)? => {
                Some(format!("{} is the key of another authority", bundle.files.key))
            }
            Stage::Trust if !issues && self.control_plane && !is_in_custody(host, bundle, next)? => {
                Some(format!("{} is not the key of the new authority", bundle.files.next_key))
            }
            _ => None,
        })
    }

    /// Why what reads the files is not as far as they are.
    fn unsettled(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        if let Some(because) = unbelieving(host)? {
            return Ok(Some(because));
        }
        if !self.control_plane {
            return Ok(None);
        }
        if let Some(because) = missigned(host)? {
            return Ok(Some(because));
        }
        if self.stage == Stage::Issue
            && let Some(because) = issued_before(host)?
        {
            return Ok(Some(because));
        }
        self.anew(host)?.missing(host)
    }

    fn anew(&self, host: &dyn Host) -> Result<Anew, StepError> {
        Ok(Anew { path: RECORD, reads: marks(host)?, components: of_control_plane(host)? })
    }

    fn revealed(&self, context: &Context<'_>) -> Result<BTreeMap<String, String>, StepError> {
        let text = context.reveal(SECRET)?;
        // What is wrong with it is not told with its content.
        serde_json::from_str(&text)
            .map_err(|_| StepError::Invalid { problem: "the authorities are no texts".to_owned() })
    }
}

/// Puts the new authority behind the old one, and on a control plane its key into custody.
fn trust(host: &dyn Host, bundle: &Bundle, old: &Digest, sent: &BTreeMap<String, String>) -> Result<(), StepError> {
    let files = bundle.files;
    let text = sent.get(files.next).map(String::as_str).unwrap_or_default();
    let next = Facts::of(text).map_err(|error| invalid(&format!("{}: {error}", files.next)))?;
    if !next.authority || next.digest() == *old {
        return Err(invalid(&format!("what was sent for {} is no new authority", files.certificate)));
    }
    if let Some(key) = sent.get(files.next_key) {
        if !next.has_key(key).unwrap_or_default() {
            return Err(invalid(&format!("what was sent for {} is another authority's", files.next_key)));
        }
        host.alter(Alteration::MakeDirectory { path: NEXT_AUTHORITIES, mode: Mode::new(0o700) })?;
        host::write(host, files.next_key, Mode::PRIVATE, key.as_bytes())?;
        host::write(host, files.next, Mode::PRIVATE, next.pem().as_bytes())?;
    }
    match bundle.find(old) {
        // Beyond it already.
        Some(old) if bundle.issuer() != Some(old) && bundle.beside(&old.digest()) == Some(&next) => Ok(()),
        Some(old) => bundle.replace(host, &[old, &next]),
        None => Err(invalid(&format!("{} does not hold the authority that is replaced", files.certificate))),
    }
}

/// Puts the new authority first, on a control plane with its key, and keeps the old one's.
fn issue(host: &dyn Host, bundle: &Bundle, (old, plane): (&Digest, bool)) -> Result<(), StepError> {
    let files = bundle.files;
    let (Some(next), Some(old)) = (bundle.beside(old), bundle.find(old)) else {
        return Err(invalid(&format!("{} does not hold the old and the new authority", files.certificate)));
    };
    if plane && !has_key(host, files.key, next)? {
        if !has_key(host, files.next_key, next)? {
            return Err(invalid(&format!("{} is not the key of the new authority", files.next_key)));
        }
        let keys = (host::read(host, files.key, 1 << 20)?, host::read(host, files.next_key, 1 << 20)?);
        if let (Some(replaced), false) = (keys.0, host::exists(host, files.replaced_key)?) {
            host::write(host, files.replaced_key, Mode::PRIVATE, &replaced)?;
        }
        host::write(host, files.key, Mode::PRIVATE, &keys.1.unwrap_or_default())?;
    }
    bundle.replace(host, &[next, old])
}

fn drop_old(host: &dyn Host, bundle: &Bundle, old: &Digest) -> Result<(), StepError> {
    match bundle.beside(old) {
        Some(next) if bundle.issuer() == Some(next) => bundle.replace(host, &[next]),
        _ => Err(invalid(&format!("{} still names the old authority first", bundle.files.certificate))),
    }
}

/// What an old authority has issued would be shown to whoever believes it no more.
fn still_shows_old(host: &dyn Host) -> Result<(), StepError> {
    let [kubernetes, ..] = AUTHORITIES;
    let issuer = Bundle::read(host, kubernetes)?;
    let kubelet = read(host, KUBELET_CLIENT)?;
    let by_issuer = issuer.issuer().zip(kubelet).is_some_and(|(issuer, kubelet)| kubelet.is_issued_by(issuer));
    let because = issued_before(host)?;
    match because.or_else(|| (!by_issuer).then(|| format!("{KUBELET_CLIENT} is issued by another authority"))) {
        Some(because) => Err(invalid(&because)),
        None => Ok(()),
    }
}

fn is_in_custody(host: &dyn Host, bundle: &Bundle, next: &Facts) -> Result<bool, StepError> {
    let waits = read(host, bundle.files.next)?.is_some_and(|waiting| waiting == *next);
    Ok(waits && has_key(host, bundle.files.next_key, next)?)
}

fn has_key(host: &dyn Host, path: &str, certificate: &Facts) -> Result<bool, StepError> {
    let Some(key) = host::read_text(host, path)?.map(zeroize::Zeroizing::new) else { return Ok(false) };
    // The key of an authority of another kind is another's.
    Ok(certificate.has_key(&key).unwrap_or_default())
}

fn invalid(problem: &str) -> StepError {
    StepError::Invalid { problem: problem.to_owned() }
}
