//! What stands on this machine: configuration, data, certificates, and who starts etcd.

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, Purpose};
use sealock_node::changes::{Changes, Subject};
use sealock_node::host::{self, Host};
use sealock_node::step::certificate_files;
use zeroize::Zeroizing;

use super::config::Known;
use super::error::MachineError;
use super::files::{MANIFEST, OTHERS, UNIT};
use crate::etcd::{Credentials, Endpoint, EtcdError};

const UNITS: &str = "/etc/systemd/system";
const PEM_LIMIT: u64 = 1 << 20;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// What the configuration file says, where there is one.
    pub known: Option<Known>,
    /// The configuration file's path.
    pub config: String,
    /// Whether the data directory holds a member's data.
    pub has_data: bool,
    /// Where the others answer, as a reset that was cut off left it.
    pub others: Vec<Endpoint>,
    /// Who starts etcd, as far as Sealock set it up.
    pub supervision: Supervision,
    /// Everything about etcd that Sealock changed here and can give back, in the order in which it is given back.
    pub changed: Vec<Subject>,
}

/// Who starts etcd, with the text of the file by which it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Supervision {
    /// The unit's file.
    Systemd {
        /// What stands in it.
        content: String,
    },
    /// kubelet.
    StaticPod {
        /// The manifest's path.
        path: String,
        /// What stands in it.
        content: String,
    },
    /// Nobody that Sealock set up.
    #[default]
    Other,
}

/// Looks at this machine. `data` is the data directory where no configuration file names one.
///
/// # Errors
/// The machine refuses, or the configuration file is not understood.
pub fn observe(host: &dyn Host, config: &str, data: &str) -> Result<Observed, MachineError> {
    let known = match host::read_text(host, config)? {
        Some(text) => Some(Known::read(config, &text)?),
        None => None,
    };
    let data = known.as_ref().map_or(data, |known| known.data.as_str());
    let changes = Changes::load(host)?;
    let about_etcd = |subject: &Subject| is_about_etcd(subject, config, known.as_ref());
    let (mut changed, mut last) = (Vec::new(), Vec::new());
    for subject in changes.iter().rev().map(|change| change.subject.clone()).filter(about_etcd) {
        // What says that there is a member goes last: while it is there, giving back can be finished.
        match &subject {
            Subject::File { path } if path == config => last.insert(0, subject),
            Subject::Directory { path } if path == host::parent(config) => last.push(subject),
            _ => changed.push(subject),
        }
    }
    changed.extend(last);
    Ok(Observed {
        has_data: host::exists(host, &format!("{data}/member"))?,
        supervision: supervision(host, &changes)?,
        others: host::read_text(host, OTHERS)?
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect(),
        config: config.to_owned(),
        known,
        changed,
    })
}

fn supervision(host: &dyn Host, changes: &Changes) -> Result<Supervision, MachineError> {
    for change in changes.iter() {
        let Subject::File { path } = &change.subject else { continue };
        let Some(content) = host::read_text(host, path)? else { continue };
        if *path == format!("{UNITS}/{UNIT}") {
            return Ok(Supervision::Systemd { content });
        }
        if path.ends_with(&format!("/{MANIFEST}")) && content.contains("kind: Pod") {
            return Ok(Supervision::StaticPod { path: path.clone(), content });
        }
    }
    Ok(Supervision::Other)
}

/// Certificates are left out: they go aside with their folder, and are not deleted.
fn is_about_etcd(subject: &Subject, config: &str, known: Option<&Known>) -> bool {
    let below = |path: &str, folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    match subject {
        Subject::Unit { name } => name == UNIT,
        Subject::File { path } => {
            path == config
                || *path == format!("{UNITS}/{UNIT}")
                || path.ends_with(&format!("/{MANIFEST}"))
                || known.is_some_and(|known| below(path, &known.pki))
        }
        Subject::Link { path } => ["/etcd", "/etcdctl", "/etcdutl"].iter().any(|name| path.ends_with(name)),
        Subject::Tree { path } => below(path, "/opt/sealock/etcd"),
        Subject::Directory { path } => {
            // The first is removed only where nothing else is left in it.
            path == "/opt/sealock"
                || below(path, "/opt/sealock/etcd")
                || path == host::parent(config)
                || known.is_some_and(|known| *path == known.pki || *path == known.data)
        }
        _ => false,
    }
}

/// What this machine may speak to the cluster with: the client's certificate in `pki`, or where there is none yet, and the
/// authority's key is there, one made for this once.
///
/// # Errors
/// Neither is there.
pub fn credentials(host: &dyn Host, pki: &str) -> Result<Credentials, MachineError> {
    let missing = |name: &str| MachineError::NoCredentials { missing: format!("{pki}/{name}") };
    let ca = text(host, pki, "ca.crt")?.ok_or_else(|| missing("ca.crt"))?;
    if let (Some(certificate), Some(key)) = (text(host, pki, "client.crt")?, text(host, pki, "client.key")?) {
        return Ok(Credentials { ca: ca.to_string(), certificate: certificate.to_string(), key });
    }
    let key = text(host, pki, "ca.key")?.ok_or_else(|| missing("client.crt"))?;
    let failed = |error| MachineError::Etcd(EtcdError::Certificates(error));
    let authority = Authority::from_pem(&ca, &key).map_err(failed)?;
    let issued = authority.issue(Purpose::Client, "sealock", &[], (Timestamp::now(), 2)).map_err(failed)?;
    Ok(Credentials { ca: ca.to_string(), certificate: issued.certificate, key: issued.key })
}

fn text(host: &dyn Host, pki: &str, name: &str) -> Result<Option<Zeroizing<String>>, MachineError> {
    let bytes = host::read(host, &format!("{pki}/{name}"), PEM_LIMIT)?;
    Ok(bytes.map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

impl Known {
    /// The certificates that stand in the member's folder, by the name of their file.
    ///
    /// # Errors
    /// The machine refuses.
    pub fn certificates(&self, host: &dyn Host) -> Result<Vec<(String, Facts)>, MachineError> {
        let mut found = Vec::new();
        for name in certificate_files() {
            let file = format!("{name}.crt");
            if let Some(facts) = text(host, &self.pki, &file)?.and_then(|text| Facts::of(&text).ok()) {
                found.push((file, facts));
            }
        }
        Ok(found)
    }
}
