//! Keys and requests that wait on a host for certificates, as kubeadm lays them out.

use std::collections::BTreeMap;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::kubeconfig;
use crate::error::StepError;
use crate::host::{self, Alteration, Host, HostError};
use crate::requests::{Expected, MOST, Request, every};

/// Where they wait.
pub(in crate::step) const FOLDER: &str = "/var/lib/sealock/node/requests";
/// What they were made for, in that folder.
const RECORD: &str = "made-for.json";
/// No kubeconfig and no key is near this long.
const LIMIT: u64 = 1 << 20;

/// What keys and requests were made for: for anything else they are made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MadeFor {
    /// The digest of kubeadm's configuration.
    pub(super) config: Digest,
    /// The serials that are to be replaced, by path.
    pub(super) serials: BTreeMap<String, String>,
}

impl MadeFor {
    /// What those in `folder` were made for; nothing where none are there, or not all.
    pub(super) fn read(host: &dyn Host, folder: &str) -> Result<Option<Self>, HostError> {
        let text = host::read(host, &format!("{folder}/{RECORD}"), LIMIT)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    pub(super) fn write(&self, host: &dyn Host, folder: &str) -> Result<(), StepError> {
        let text = serde_json::to_vec(self).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        Ok(host::write(host, &format!("{folder}/{RECORD}"), crate::step::Mode::PRIVATE, &text)?)
    }
}

/// The requests that wait, PEM, by the path of what is to show the certificate. Those without their key are no use to anybody.
pub(crate) fn waiting(host: &dyn Host) -> Result<BTreeMap<String, String>, HostError> {
    let mut found = BTreeMap::new();
    for expected in every() {
        if key(host, FOLDER, &expected)?.is_some()
            && let Some(request) = text(host, FOLDER, &expected)?
        {
            found.insert(expected.path.to_owned(), request);
        }
    }
    Ok(found)
}

/// The text of a request in `folder`.
fn text(host: &dyn Host, folder: &str, expected: &Expected) -> Result<Option<String>, HostError> {
    let text = host::read(host, &format!("{folder}/{}", expected.request), MOST as u64)?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

/// The private key in `folder` that belongs to a request, PEM.
pub(super) fn key(host: &dyn Host, folder: &str, expected: &Expected) -> Result<Option<Zeroizing<String>>, HostError> {
    let text = host::read_text(host, &format!("{folder}/{}", expected.key))?.map(Zeroizing::new);
    Ok(if expected.key.ends_with(".conf") { text.and_then(|text| kubeconfig::key_in(&text)) } else { text })
}

/// The request in `folder`, and its key: nothing where one of them is not there, or they are not each other's.
pub(super) fn pair(host: &dyn Host, folder: &str, expected: &Expected) -> Result<Option<Request>, HostError> {
    let (Some(key), Some(text)) = (key(host, folder, expected)?, text(host, folder, expected)?) else {
        return Ok(None);
    };
    Ok(Request::of(&text).ok().filter(|request| request.has_key(&key)))
}

/// Takes away what waits for a certificate that is in its place now, and the folder when nothing waits in it any more.
pub(super) fn forget(host: &dyn Host, expected: &Expected) -> Result<(), HostError> {
    for file in [expected.request, expected.key] {
        host.alter(Alteration::RemoveFile { path: &format!("{FOLDER}/{file}") })?;
    }
    if waiting(host)?.is_empty() {
        host.alter(Alteration::RemoveTree { path: FOLDER })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Local;
    use crate::kubernetes_certificates::KUBELET_CLIENT;
    use crate::step::Mode;

    #[test]
    fn a_request_waits_as_long_as_its_key_does() {
        let root = tempfile::tempdir().unwrap();
        let local = Local::rooted(root.path());
        assert!(waiting(&local).unwrap().is_empty());
        local.alter(Alteration::MakeDirectory { path: FOLDER, mode: Mode::new(0o700) }).unwrap();
        let put =
            |file: &str, text: &str| host::write(&local, &format!("{FOLDER}/{file}"), Mode::PRIVATE, text.as_bytes());
        put("kubelet.conf.csr", "a request").unwrap();
        assert!(waiting(&local).unwrap().is_empty(), "nobody has the key to it");
        put("kubelet.conf", "users:\n- name: a\n  user:\n    client-key-data: YSBrZXk=\n").unwrap();
        put("pki.csr", "nothing that a host asks for").unwrap();
        let found = waiting(&local).unwrap();
        assert_eq!(found, BTreeMap::from([(KUBELET_CLIENT.to_owned(), "a request".to_owned())]));
        let [kubelet] = crate::requests::expected(false, false, false)[..] else { panic!("a worker asks for one") };
        forget(&local, &kubelet).unwrap();
        assert!(!host::exists(&local, FOLDER).unwrap());
    }
}
