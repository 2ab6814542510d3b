//! Keys made on a host, and requests for certificates to them.
//!
//! kubeadm makes them, in a folder of Sealock's own. All of them are made aside and take the place of earlier ones at once; a request that
//! asks for the same as an earlier one is thrown away, so that somebody who is about to sign the earlier one does not do so in vain.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::kubeconfig;
use super::waiting::{FOLDER, MadeFor, key, pair, waiting};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::kubernetes_certificates::read;
use crate::requests::{Expected, every, expected};
use crate::step::{Act, Mode, Probe};

/// Where they are made.
pub(in crate::step) const NEW: &str = "/var/lib/sealock/node/requests.new";
const CONFIG: &str = "/run/sealock/kubeadm-certs-generate-csr.yaml";
const TIMEOUT: Duration = Duration::from_secs(120);

/// Makes keys and requests for what this node shows, with kubeadm, where they wait for certificates. What is in use stays what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatesRequested {
    /// The node's name in the cluster.
    pub node: String,
    /// Whether it is a control plane: a worker asks for its kubelet's certificate alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
    /// Whether a member of etcd runs on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub etcd: bool,
    /// Whether the cluster begins on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub super_admin: bool,
    /// kubeadm's configuration (v1beta4), as for `kubeadm init` on this host: names and kinds of keys come from it.
    pub config: String,
    /// The serials that are to be replaced, by path, as the plan saw them; none on a bare host. Keys that were made for others are made anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<String, String>,
}

impl fmt::Display for CertificatesRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.expected().len();
        let what = if number == 1 {
            "a key, and a request for its certificate".to_owned()
        } else {
            format!("{number} keys, and requests for their certificates")
        };
        write!(f, "make {what}")
    }
}

impl Act for CertificatesRequested {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match MadeFor::read(host, FOLDER)? {
            None => return Ok(Probe::not_done("no request waits on the host")),
            Some(made) if made != self.made_for() => {
                return Ok(Probe::not_done("what waits on the host was requested for something else"));
            }
            Some(_) => {}
        }
        for expected in self.expected() {
            if pair(host, FOLDER, &expected)?.is_none_or(|request| request.name != expected.name(&self.node)) {
                return Ok(Probe::not_done(format!("{FOLDER}/{} is not whole", expected.request)));
            }
        }
        // This host was to ask for more when these were made.
        let waiting = waiting(host)?;
        let more = self.not_asked_for().find(|one| waiting.contains_key(one.path));
        Ok(more.map_or(Probe::Done, |one| {
            Probe::not_done(format!("a request for {} waits, which is not asked for", one.path))
        }))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        // Cut off while they took the place of earlier ones, which are among them as far as they are kept.
        let made = MadeFor::read(host, NEW)?;
        if made == Some(self.made_for()) || made.is_some() && !host::exists(host, FOLDER)? {
            take_place(host)?;
        }
        if self.probe(host, context)?.is_done() {
            return Ok(());
        }
        self.check_serials(host)?;
        host.alter(Alteration::RemoveTree { path: NEW })?;
        host.alter(Alteration::MakeDirectory { path: NEW, mode: Mode::new(0o700) })?;
        self.generate(host)?;
        self.keep_earlier(host)?;
        self.leave_out(host)?;
        self.made_for().write(host, NEW)?;
        take_place(host)
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        host.alter(Alteration::RemoveTree { path: NEW })?;
        Ok(host.alter(Alteration::RemoveTree { path: FOLDER })?)
    }
}

impl CertificatesRequested {
    fn expected(&self) -> Vec<Expected> {
        expected(self.control_plane, self.etcd, self.super_admin)
    }

    /// What other hosts show, and this one does not.
    fn not_asked_for(&self) -> impl Iterator<Item = Expected> {
        let expected = self.expected();
        every().filter(move |one| expected.iter().all(|expected| expected.path != one.path))
    }

    fn made_for(&self) -> MadeFor {
        MadeFor { config: Digest::sha256(self.config.as_bytes()), serials: self.serials.clone() }
    }

    /// Whether what is in use is what the plan saw: certificates that were replaced meanwhile need no others.
    fn check_serials(&self, host: &dyn Host) -> Result<(), StepError> {
        for expected in self.expected() {
            let in_use = read(host, expected.path)?.map(|facts| facts.serial);
            if in_use.as_ref() != self.serials.get(expected.path) {
                let found = format!("{} is another certificate than the plan saw", expected.path);
                return Err(StepError::OtherThanPlanned { found });
            }
        }
        Ok(())
    }

    fn generate(&self, host: &dyn Host) -> Result<(), StepError> {
        host.alter(Alteration::MakeDirectory { path: "/run/sealock", mode: Mode::EXECUTABLE })?;
        host::write(host, CONFIG, Mode::PRIVATE, self.config.as_bytes())?;
        let pki = format!("{NEW}/pki");
        let args = ["certs", "generate-csr", "--config", CONFIG, "--cert-dir", &pki, "--kubeconfig-dir", NEW];
        let made = Command::new("kubeadm", args).timeout(TIMEOUT).must(host);
        host.alter(Alteration::RemoveFile { path: CONFIG })?;
        made?;
        for expected in self.expected() {
            if pair(host, NEW, &expected)?.is_none() {
                let problem = format!("kubeadm has made no request {} that can be used", expected.request);
                return Err(StepError::Invalid { problem });
            }
        }
        Ok(())
    }

    /// An earlier request that asks for the same is kept, with its key: it may have been signed meanwhile.
    fn keep_earlier(&self, host: &dyn Host) -> Result<(), StepError> {
        if MadeFor::read(host, FOLDER)?.is_none_or(|made| made.serials != self.serials) {
            return Ok(());
        }
        for expected in self.expected() {
            let (earlier, new) = (pair(host, FOLDER, &expected)?, pair(host, NEW, &expected)?);
            if earlier.zip(new).is_none_or(|(earlier, new)| !earlier.asks_as(&new)) {
                continue;
            }
            keep(host, &expected)?;
        }
        Ok(())
    }

    /// kubeadm makes all that a control plane could have: keys for which nobody is to ask go away again.
    fn leave_out(&self, host: &dyn Host) -> Result<(), StepError> {
        for other in self.not_asked_for() {
            for file in [other.key, other.request] {
                host.alter(Alteration::RemoveFile { path: &format!("{NEW}/{file}") })?;
            }
        }
        Ok(())
    }
}

/// All that was made aside takes the place of what waited before.
fn take_place(host: &dyn Host) -> Result<(), StepError> {
    host.alter(Alteration::RemoveTree { path: FOLDER })?;
    Ok(host.alter(Alteration::Move { path: NEW, target: FOLDER })?)
}

/// Puts an earlier request, and its key, into the place of the new one. A kubeconfig stays the new one otherwise: its server may be another.
fn keep(host: &dyn Host, expected: &Expected) -> Result<(), StepError> {
    let key = key(host, FOLDER, expected)?.unwrap_or_default();
    let path = format!("{NEW}/{}", expected.key);
    let text = if expected.key.ends_with(".conf") {
        let new = host::read_text(host, &path)?.map(Zeroizing::new).unwrap_or_default();
        kubeconfig::with_key(&new, &key)
    } else {
        key
    };
    host::write(host, &path, Mode::PRIVATE, text.as_bytes())?;
    let request = host::read_text(host, &format!("{FOLDER}/{}", expected.request))?.unwrap_or_default();
    Ok(host::write(host, &format!("{NEW}/{}", expected.request), Mode::PRIVATE, request.as_bytes())?)
}
