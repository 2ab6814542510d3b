//! What of a control plane host goes into a backup: its authorities, its service account's keys, and how its API server encrypts.

use zeroize::Zeroizing;

use crate::error::StepError;
use crate::external_etcd::is_external;
use crate::host::{self, Host};

/// Where kubeadm keeps what a cluster is made of.
pub const KUBERNETES: &str = "/etc/kubernetes";

/// Paths below [`KUBERNETES`]. All other certificates are issued anew by these.
pub const AUTHORITIES: [&str; 8] = [
    "pki/ca.crt",
    "pki/ca.key",
    "pki/etcd/ca.crt",
    "pki/etcd/ca.key",
    "pki/front-proxy-ca.crt",
    "pki/front-proxy-ca.key",
    "pki/sa.key",
    "pki/sa.pub",
];

/// Those of [`AUTHORITIES`] that are not there where etcd is elsewhere: whoever runs it has its authority.
pub const OF_ETCD: [&str; 2] = ["pki/etcd/ca.crt", "pki/etcd/ca.key"];

/// Those of [`AUTHORITIES`] that are on no host where the keys of the authorities stay with somebody else.
pub const KEYS: [&str; 3] = ["pki/ca.key", "pki/etcd/ca.key", "pki/front-proxy-ca.key"];

const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const ENCRYPTION: &str = "--encryption-provider-config";
const LARGEST: u64 = 1 << 20;

/// A file of a control plane host.
#[derive(Debug)]
pub struct ControlPlaneFile {
    /// Its path below [`KUBERNETES`].
    pub path: String,
    /// What is in it.
    pub content: Zeroizing<Vec<u8>>,
}

/// The files without which a control plane cannot be made again.
///
/// # Errors
/// One is missing (of the authorities' keys one, and not all of them); the encryption of the API server is configured outside of [`KUBERNETES`], where a restore would not put it.
pub fn control_plane_files(host: &dyn Host) -> Result<Vec<ControlPlaneFile>, StepError> {
    let is_external = is_external(host)?;
    let ours = AUTHORITIES.iter().filter(|path| !(is_external && OF_ETCD.contains(path)));
    let mut paths: Vec<String> = ours.map(|path| (*path).to_owned()).collect();
    if has_no_keys(host)? {
        paths.retain(|path| !KEYS.contains(&path.as_str()));
    }
    let manifest = host::read_text(host, API_SERVER)?;
    let missing = || StepError::Invalid { problem: format!("{API_SERVER} is not there: nobody says how it encrypts") };
    if let Some(path) = encryption(&manifest.ok_or_else(missing)?)? {
        let below = path.strip_prefix(KUBERNETES).and_then(|rest| rest.strip_prefix('/'));
        let problem = || {
            format!(
                "the API server's {ENCRYPTION}={path} is no configuration below {KUBERNETES}: it would not be put back"
            )
        };
        let below = below.filter(|below| may_be_put_back(below));
        paths.push(below.ok_or_else(|| StepError::Invalid { problem: problem() })?.to_owned());
    }
    paths.into_iter().map(|path| file(host, path)).collect()
}

/// Whether the keys of the authorities stay elsewhere. Whoever knows the cluster's spec says whether they are to.
fn has_no_keys(host: &dyn Host) -> Result<bool, StepError> {
    for path in KEYS {
        if host::read(host, &format!("{KUBERNETES}/{path}"), LARGEST)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a path below [`KUBERNETES`] may be that of a configuration: kubelet runs what lies in `manifests`, and certificates and
/// credentials are issued anew.
pub fn may_be_put_back(below: &str) -> bool {
    let is_issued = [".conf", ".crt", ".key", ".pub"].iter().any(|end| below.ends_with(end));
    !below.starts_with("manifests/") && !is_issued
}

fn file(host: &dyn Host, path: String) -> Result<ControlPlaneFile, StepError> {
    let place = format!("{KUBERNETES}/{path}");
    let content = host::read(host, &place, LARGEST)?;
    let missing = || StepError::Invalid { problem: format!("{place} is not there: without it there is no restore") };
    Ok(ControlPlaneFile { path, content: Zeroizing::new(content.ok_or_else(missing)?) })
}

/// The file by which an API server encrypts what it writes, as its manifest says. What is said in another way than kubeadm writes it is
/// not guessed at: without that file a restore would lose every secret.
fn encryption(manifest: &str) -> Result<Option<String>, StepError> {
    let mut said = manifest.lines().map(str::trim).filter(|line| line.contains(ENCRYPTION) && !line.starts_with('#'));
    let Some(line) = said.next() else { return Ok(None) };
    let argument = line.trim_start_matches("- ").trim_matches(['"', '\'']);
    let path = argument.strip_prefix(ENCRYPTION).and_then(|rest| rest.strip_prefix('='));
    let path = path.map(|path| path.trim_matches(['"', '\''])).filter(|path| path.starts_with('/'));
    match (path, said.next()) {
        (Some(path), None) => Ok(Some(path.to_owned())),
        _ => Err(StepError::Invalid { problem: format!("{API_SERVER} says {line:?}, and not {ENCRYPTION}=FILE") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encryption_of_an_api_server_is_found_or_asked_about() {
        let manifest = |line: &str| {
            format!("spec:\n  containers:\n  - command:\n    - kube-apiserver\n{line}\n    - --etcd-servers=a\n")
        };
        let found = Some("/etc/kubernetes/enc/enc.yaml".to_owned());
        for line in [
            "    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
            "    - \"--encryption-provider-config=/etc/kubernetes/enc/enc.yaml\"",
            "    - --encryption-provider-config='/etc/kubernetes/enc/enc.yaml'",
        ] {
            assert_eq!(encryption(&manifest(line)).unwrap(), found, "{line}");
        }
        assert_eq!(encryption(&manifest("    - --secure-port=6443")).unwrap(), None);
        for line in [
            "    - --encryption-provider-config=",
            "    - --encryption-provider-config\n    - /etc/kubernetes/enc/enc.yaml",
            "    - --encryption-provider-config=enc.yaml",
            "    - --encryption-provider-config=/a\n    - --encryption-provider-config=/b",
        ] {
            encryption(&manifest(line)).unwrap_err();
        }
    }
}
