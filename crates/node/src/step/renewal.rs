//! Certificates of a control plane made anew, and in use.
//!
//! kubeadm makes them, or somebody outside has signed them; what runs has read the old ones. So all of it is started anew, and the step is done when what the servers *show* is what stands in the files.

use std::collections::BTreeMap;
use std::time::Duration;

use sealock_trust::Digest;

use super::anew::{Anew, of_control_plane};
use super::authorities::believe_all;
use super::{Act, Mode, Probe, Renewal};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::kubernetes_certificates::{RENEWED, read};

/// What ran when the certificates had just been made: it is to be ended.
const RECORD: &str = "/var/lib/sealock/node/renewal.json";
const CONFIG: &str = "/run/sealock/kubeadm-certs-renew.yaml";

impl Act for Renewal {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match &self.signed {
            Some(signed) => match signed.laid_down(host)? {
                Probe::Done => {}
                other => return Ok(other),
            },
            None => {
                if let Some(path) = self.unchanged(&serials(host)?) {
                    return Ok(Probe::not_done(format!("{path} is still the same")));
                }
            }
        }
        if self.made_only {
            return Ok(Probe::Done);
        }
        match (self.anew(host)?.missing(host)?, &self.signed) {
            (Some(because), _) => Ok(Probe::not_done(because)),
            (None, Some(signed)) => signed.settled(host),
            (None, None) => Ok(Probe::Done),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match &self.signed {
            Some(signed) => signed.lay_down(host, context)?,
            None if self.unchanged(&serials(host)?).is_some() => {
                (context.progress)("making certificates");
                renew(host, &self.config)?;
            }
            None => {}
        }
        // kubeadm puts the first authority alone into what it makes anew, also where two are believed.
        believe_all(host)?;
        if self.made_only {
            return Ok(());
        }
        self.anew(host)?.start(host, context)?;
        // Keys wait until what shows their certificates was started anew: by that the station knows a host on which it was not.
        self.signed.as_ref().map_or(Ok(()), |signed| signed.settle(host))
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid { problem: "a certificate that was replaced does not come back".to_owned() })
    }
}

impl Renewal {
    /// A certificate that is the one that the plan saw.
    fn unchanged(&self, serials: &BTreeMap<String, String>) -> Option<&str> {
        self.serials.iter().find(|(path, serial)| serials.get(*path) == Some(serial)).map(|(path, _)| path.as_str())
    }

    fn anew(&self, host: &dyn Host) -> Result<Anew, StepError> {
        let mut reads = serials(host)?;
        // Serials are somebody else's then, and may come again.
        for (path, certificate) in self.signed.iter().flat_map(|signed| &signed.certificates) {
            reads.insert(path.clone(), Digest::sha256(certificate.as_bytes()).to_string());
        }
        Ok(Anew { path: RECORD, reads, components: of_control_plane(host)? })
    }
}

/// Has kubeadm make the certificates of this control plane anew, with its configuration `config`.
pub(super) fn renew(host: &dyn Host, config: &str) -> Result<(), StepError> {
    host.alter(Alteration::MakeDirectory { path: "/run/sealock", mode: Mode::EXECUTABLE })?;
    host::write(host, CONFIG, Mode::PRIVATE, config.as_bytes())?;
    let renew = Command::new("kubeadm", ["certs", "renew", "all", "--config", CONFIG]);
    let renewed = renew.timeout(Duration::from_secs(120)).must(host);
    host.alter(Alteration::RemoveFile { path: CONFIG })?;
    Ok(renewed.map(drop)?)
}

/// The serials of what there is of [`RENEWED`].
fn serials(host: &dyn Host) -> Result<BTreeMap<String, String>, StepError> {
    let mut serials = BTreeMap::new();
    for path in RENEWED {
        if let Some(facts) = read(host, path)? {
            serials.insert((*path).to_owned(), facts.serial);
        }
    }
    Ok(serials)
}
