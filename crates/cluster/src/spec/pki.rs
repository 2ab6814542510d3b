//! Who has made the authorities of the cluster, where Sealock is not to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterSpec, SpecError};

const SUPPLIED: &str = "spec.pki.supplied";

/// Who has made the authorities of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pki {
    /// Authorities that somebody else has made; where absent, the first control plane makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplied: Option<SuppliedPki>,
}

impl Pki {
    pub(super) fn is_managed(&self) -> bool {
        self.supplied.is_none()
    }
}

/// Authorities that somebody else has made, each with its private key: what the cluster issues, they issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuppliedPki {
    /// Kubernetes' own: API servers, kubelets and administrators show what it has issued.
    pub kubernetes: AuthorityPair,
    /// The one of the front proxy.
    pub front_proxy: AuthorityPair,
    /// etcd's; left out where the etcd is external, and its authority its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<AuthorityPair>,
    /// The key that signs the tokens of service accounts; where absent, the first control plane makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountKey>,
}

/// The files of an authority at the station. A relative path begins at the folder of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityPair {
    /// The file with the certificate of the authority that issues, and no other one, PEM.
    pub cert_file: String,
    /// The file with the private key to it, PEM, without a passphrase. It goes to the control planes, and stands in no plan.
    pub key_file: String,
}

/// The key of service accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountKey {
    /// The file at the station with the private key (RSA, or ECDSA on P-256), PEM, without a passphrase; the public one is taken from it.
    pub key_file: String,
}

pub(super) fn check(spec: &ClusterSpec) -> Result<(), SpecError> {
    let Some(supplied) = &spec.pki.supplied else { return Ok(()) };
    match (&supplied.etcd, &spec.etcd.external) {
        (None, None) => {
            let problem = "is missing: each control plane runs a member of etcd, which has an authority, too";
            return Err(SpecError::new(format!("{SUPPLIED}.etcd"), problem));
        }
        (Some(_), Some(_)) => {
            let problem = "is not to be named beside spec.etcd.external: whoever runs that etcd has its authority";
            return Err(SpecError::new(format!("{SUPPLIED}.etcd"), problem));
        }
        _ => {}
    }
    for (field, path) in files(supplied) {
        if path.trim().is_empty() || path.contains('\0') {
            return Err(SpecError::new(format!("{SUPPLIED}.{field}"), "name a file at the station"));
        }
    }
    if spec.overrides.cluster_configuration.contains_key("certificatesDir") {
        let problem =
            "is not to be patched beside spec.pki.supplied: the authorities are laid down in /etc/kubernetes/pki";
        return Err(SpecError::new("spec.overrides.clusterConfiguration.certificatesDir", problem));
    }
    Ok(())
}

/// Every file that is named, with its field.
fn files(supplied: &SuppliedPki) -> Vec<(&'static str, &str)> {
    let mut files: Vec<(&str, &str)> = vec![
        ("kubernetes.certFile", &supplied.kubernetes.cert_file),
        ("kubernetes.keyFile", &supplied.kubernetes.key_file),
        ("frontProxy.certFile", &supplied.front_proxy.cert_file),
        ("frontProxy.keyFile", &supplied.front_proxy.key_file),
    ];
    if let Some(etcd) = &supplied.etcd {
        files.extend([("etcd.certFile", etcd.cert_file.as_str()), ("etcd.keyFile", &etcd.key_file)]);
    }
    if let Some(key) = &supplied.service_accounts {
        files.push(("serviceAccounts.keyFile", &key.key_file));
    }
    files
}
