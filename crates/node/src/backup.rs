//! What of a control plane host goes into a backup: its authorities, its service account's keys, and how its API server encrypts.

use zeroize::Zeroizing;

use crate::error::StepError;
use crate::host::{self, Host};

/// Where kubeadm keeps what a cluster is made of.
pub const KUBERNETES: &str = "/etc/kubernetes";

/// Below [`KUBERNETES`]. All other certificates are issued anew by these.
const AUTHORITIES: [&str; 8] = [
    "pki/ca.crt",
    "pki/ca.key",
    "pki/etcd/ca.crt",
    "pki/etcd/ca.key",
    "pki/front-proxy-ca.crt",
    "pki/front-proxy-ca.key",
    "pki/sa.key",
    "pki/sa.pub",
];

const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const ENCRYPTION: &str = "--encryption-provider-config=";
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
/// One is missing; the encryption of the API server is configured outside of [`KUBERNETES`], where a restore would not put it.
pub fn control_plane_files(host: &dyn Host) -> Result<Vec<ControlPlaneFile>, StepError> {
    let mut paths: Vec<String> = AUTHORITIES.map(ToOwned::to_owned).to_vec();
    let manifest = host::read_text(host, API_SERVER)?.unwrap_or_default();
    if let Some(path) = encryption(&manifest) {
        let below = path.strip_prefix(KUBERNETES).and_then(|rest| rest.strip_prefix('/'));
        let problem =
            || format!("the API server's {ENCRYPTION}{path} is not below {KUBERNETES}: it would not be put back");
        paths.push(below.ok_or_else(|| StepError::Invalid { problem: problem() })?.to_owned());
    }
    paths.into_iter().map(|path| file(host, path)).collect()
}

fn file(host: &dyn Host, path: String) -> Result<ControlPlaneFile, StepError> {
    let place = format!("{KUBERNETES}/{path}");
    let content = host::read(host, &place, LARGEST)?;
    let missing = || StepError::Invalid { problem: format!("{place} is not there: without it there is no restore") };
    Ok(ControlPlaneFile { path, content: Zeroizing::new(content.ok_or_else(missing)?) })
}

/// The file by which an API server encrypts what it writes, as its manifest says.
fn encryption(manifest: &str) -> Option<&str> {
    let argument = manifest.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(ENCRYPTION));
    argument.map(|path| path.trim_matches(['"', '\''])).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encryption_of_an_api_server_is_found() {
        let manifest = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml\n    - --etcd-servers=https://127.0.0.1:2379\n";
        assert_eq!(encryption(manifest), Some("/etc/kubernetes/enc/enc.yaml"));
        assert_eq!(encryption("    - kube-apiserver\n"), None);
        assert_eq!(encryption("    - \n    - --encryption-provider-config=\n"), None);
    }
}
