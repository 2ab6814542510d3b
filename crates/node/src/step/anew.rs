//! What runs on a control plane started anew, after what it reads has changed, and looked at until it shows that.
//!
//! What ran when the files had just been changed is kept in a record: it is to be ended, and killed anywhere the same is found again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mode;
use super::containers::{ctr, running};
use crate::context::Context;
use crate::error::StepError;
use crate::external_etcd::is_external;
use crate::host::{self, Alteration, Command, Host};
use crate::kubernetes_certificates::read;
use crate::{served, wait};

const FOLDER: &str = "/var/lib/sealock/node";
const WAIT: Duration = Duration::from_secs(240);
/// How long what is ended has to end by itself: what kubelet gives static pods.
const GRACE: Duration = Duration::from_secs(30);
const ETCD: &str = "etcd";
const COMPONENTS: [&str; 4] = [ETCD, "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A server, its port, the name in its certificate, the certificate and who issued it.
const SERVERS: [(&str, u16, &str, &str, &str); 2] = [
    (ETCD, 2379, "localhost", "/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/ca.crt"),
    ("kube-apiserver", 6443, "kubernetes", "/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/ca.crt"),
];

/// etcd and the control plane of this host, started anew for what they read.
pub(super) struct Anew {
    /// Where the record is kept.
    pub(super) path: &'static str,
    /// What they are to have read: a mark by file, such as its serial.
    pub(super) reads: BTreeMap<String, String>,
    /// What is started anew.
    pub(super) components: &'static [&'static str],
}

/// What runs on a control plane of this host: an etcd that is elsewhere does not.
pub(super) fn of_control_plane(host: &dyn Host) -> Result<&'static [&'static str], StepError> {
    Ok(if is_external(host)? { &COMPONENTS[1..] } else { &COMPONENTS })
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// What is read, once it has been started anew.
    #[serde(rename = "serials")]
    reads: BTreeMap<String, String>,
    /// Ids of containers by component.
    outdated: BTreeMap<String, Vec<String>>,
}

impl Record {
    fn of(&self, component: &str) -> &[String] {
        self.outdated.get(component).map(Vec::as_slice).unwrap_or_default()
    }

    /// What runs of it.
    fn still_running(&self, host: &dyn Host) -> Result<Vec<String>, StepError> {
        let mut still = Vec::new();
        for component in self.outdated.keys() {
            let now = running(host, component)?;
            still.extend(now.into_iter().filter(|id| self.of(component).contains(id)));
        }
        Ok(still)
    }
}

impl Anew {
    /// Why it has not been started anew, or does not serve with what stands in the files.
    pub(super) fn missing(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        let record = self.record(host)?;
        if record.reads != self.reads {
            return Ok(Some("what runs has not been started anew".to_owned()));
        }
        match self.not_anew(host, &record)? {
            None => self.unserved(host),
            because => Ok(because),
        }
    }

    /// Why something may still run that has read what stood in the files before. What does not run reads them when it starts.
    pub(super) fn unread(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        let record = self.record(host)?;
        if record.reads != self.reads {
            return Ok(Some("what runs has not been started anew".to_owned()));
        }
        let still = if record.outdated.is_empty() { Vec::new() } else { record.still_running(host)? };
        Ok((!still.is_empty()).then(|| format!("{} runs with the old files", self.named())))
    }

    /// Writes down that nothing runs yet that would have to be started anew.
    pub(super) fn note(&self, host: &dyn Host) -> Result<(), StepError> {
        self.write(host, &Record { reads: self.reads.clone(), outdated: BTreeMap::new() })
    }

    /// Starts it anew where it has not been, and waits until it serves.
    pub(super) fn start(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if self.record(host)?.reads != self.reads {
            let outdated =
                self.components.iter().map(|component| Ok(((*component).to_owned(), running(host, component)?)));
            let outdated = outdated.collect::<Result<_, StepError>>()?;
            self.write(host, &Record { reads: self.reads.clone(), outdated })?;
        }
        self.start_anew(host, &self.record(host)?, context)?;
        let mut last = None;
        let served = wait::until(WAIT, Duration::from_millis(500), || {
            last = match self.unserved(host)? {
                None => answers(host)?,
                problem => problem,
            };
            Ok::<_, StepError>(last.is_none().then_some(()))
        })?;
        served.ok_or_else(|| late("the control plane does not serve", last.unwrap_or_default()))
    }

    /// Ends what still runs with the old certificates, and has kubelet start it again.
    ///
    /// kubelet itself is started anew, too: it looks at its pods at once then, where it would hold back what ends often, and sometimes
    /// sees only a minute later that something has. That ends no pod.
    fn start_anew(&self, host: &dyn Host, record: &Record, context: &Context<'_>) -> Result<(), StepError> {
        let old = record.still_running(host)?;
        if !old.is_empty() {
            (context.progress)(&format!("ending {}", self.named()));
            end(host, record, &old)?;
        }
        // What has ended by itself too often, kubelet holds back as well.
        if !old.is_empty() || self.not_anew(host, record)?.is_some() {
            Command::new("systemctl", ["restart", "kubelet.service"]).timeout(WAIT).must(host)?;
        }
        (context.progress)(&format!("waiting for {}", self.named()));
        let mut last = None;
        let started = wait::until(WAIT, Duration::from_millis(500), || {
            last = self.not_anew(host, record)?;
            Ok::<_, StepError>(last.is_none().then_some(()))
        })?;
        started.ok_or_else(|| late("not all was started anew", last.unwrap_or_default()))
    }

    /// Which component is not yet another one than ran before, and why.
    fn not_anew(&self, host: &dyn Host, record: &Record) -> Result<Option<String>, StepError> {
        for component in self.components {
            let before = record.of(component);
            let now = running(host, component)?;
            if now.iter().any(|id| before.contains(id)) {
                return Ok(Some(format!("{component} runs with the old certificates")));
            }
            if now.is_empty() {
                return Ok(Some(format!("{component} is not running")));
            }
        }
        Ok(None)
    }

    /// Which server does not show what stands in its file, and why.
    fn unserved(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        let ours = SERVERS.iter().filter(|(component, ..)| self.components.contains(component));
        for &(_, port, name, certificate, ca) in ours {
            let (Some(file), Some(ca)) = (read(host, certificate)?, host::read_text(host, ca)?) else {
                return Ok(Some(format!("{certificate} is not there")));
            };
            match served::certificate(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), name, &ca) {
                Ok(shown) if shown.digest() == file.digest() => {}
                Ok(_) => return Ok(Some(format!("port {port} still shows the certificate that was replaced"))),
                Err(error) => return Ok(Some(format!("port {port}: {error}"))),
            }
        }
        Ok(None)
    }

    fn write(&self, host: &dyn Host, record: &Record) -> Result<(), StepError> {
        host.alter(Alteration::MakeDirectory { path: FOLDER, mode: Mode::new(0o700) })?;
        let text = serde_json::to_vec(record).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, self.path, Mode::PRIVATE, &text)?)
    }

    /// As it stands in messages.
    fn named(&self) -> &'static str {
        match self.components {
            [only] => only,
            [first, ..] if *first == ETCD => "etcd and the control plane",
            _ => "the control plane",
        }
    }

    fn record(&self, host: &dyn Host) -> Result<Record, StepError> {
        let text = host::read(host, self.path, 1 << 20)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }
}

/// Ends containers, as kubelet does: asked first, and made to when the time for that is over.
fn end(host: &dyn Host, record: &Record, ids: &[String]) -> Result<(), StepError> {
    for (signal, limit) in [("SIGTERM", GRACE), ("SIGKILL", WAIT)] {
        for id in ids {
            // One that has just ended by itself is no failure.
            host.run(&ctr(["tasks", "kill", "--signal", signal, id]))?;
        }
        let gone = wait::until(limit, Duration::from_millis(500), || {
            Ok::<_, StepError>(record.still_running(host)?.is_empty().then_some(()))
        })?;
        if gone.is_some() {
            return Ok(());
        }
    }
    Err(late("they do not end", ids.join(", ")))
}

/// Why the API server of this very host is not ready, where it is not.
fn answers(host: &dyn Host) -> Result<Option<String>, StepError> {
    let output = host.run(&super::kubeadm::api_ready())?;
    Ok((output.status != 0).then(|| output.complaint()))
}

fn late(what: &str, state: String) -> StepError {
    StepError::Late { what: what.to_owned(), seconds: WAIT.as_secs(), state }
}
