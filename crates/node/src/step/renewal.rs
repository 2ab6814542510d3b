//! Certificates of a control plane made anew, and in use.
//!
//! kubeadm makes them; what runs has read the old ones. So all of it is started anew, and the step is done when what the servers *show* is what stands in the files.

use std::collections::BTreeMap;
use std::time::Duration;

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
        let serials = serials(host)?;
        if let Some(path) = self.unchanged(&serials) {
            return Ok(Probe::not_done(format!("{path} is still the same")));
        }
        if self.made_only {
            return Ok(Probe::Done);
        }
        Ok(anew(host, serials)?.missing(host)?.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if self.unchanged(&serials(host)?).is_some() {
            (context.progress)("making certificates");
            renew(host, &self.config)?;
        }
        // kubeadm puts the first authority alone into what it makes anew, also where two are believed.
        believe_all(host)?;
        if self.made_only {
            return Ok(());
        }
        anew(host, serials(host)?)?.start(host, context)
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
}

fn anew(host: &dyn Host, serials: BTreeMap<String, String>) -> Result<Anew, StepError> {
    Ok(Anew { path: RECORD, reads: serials, components: of_control_plane(host)? })
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
