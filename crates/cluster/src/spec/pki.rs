//! Who has made the authorities of the cluster, where Sealock is not to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClusterSpec, SpecError};

const SUPPLIED: &str = "spec.pki.supplied";
const EXTERNAL: &str = "spec.pki.external";
/// Why kubelets have nobody to ask where no authority's key is in the cluster.
const NO_SIGNER: &str =
    "is not to be patched beside spec.pki.external: nobody in the cluster signs what kubelets ask for";

/// Who has made the authorities of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pki {
    /// Authorities that somebody else has made; where absent, the first control plane makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplied: Option<SuppliedPki>,
    /// Authorities whose private keys stay with somebody else; not beside `supplied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalPki>,
}

impl Pki {
    pub(super) fn is_managed(&self) -> bool {
        self.supplied.is_none() && self.external.is_none()
    }
}

/// Authorities whose private keys stay with somebody else: hosts make keys and requests, and a person has the certificates signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalPki {
    /// Kubernetes' own: API servers, kubelets and administrators show what it has issued.
    pub kubernetes: AuthorityCertificate,
    /// The one of the front proxy.
    pub front_proxy: AuthorityCertificate,
    /// etcd's; left out where the etcd is external, and its authority its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<AuthorityCertificate>,
    /// The folder at the station to which requests go, and from which signed certificates come. A relative path begins at the folder of this
    /// file.
    pub requests: String,
}

/// The certificate of an authority at the station. A relative path begins at the folder of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityCertificate {
    /// The file with the certificate of the authority that issues, and no other one, PEM.
    pub cert_file: String,
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
    let (mode, has_etcd, files) = match (&spec.pki.supplied, &spec.pki.external) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            let problem = "is not to be named beside spec.pki.supplied: the keys of authorities come to the cluster, or they stay where they are";
            return Err(SpecError::new(EXTERNAL, problem));
        }
        (Some(supplied), None) => (SUPPLIED, supplied.etcd.is_some(), files(supplied)),
        (None, Some(external)) => (EXTERNAL, external.etcd.is_some(), files_outside(external)),
    };
    check_etcd(mode, has_etcd, spec.etcd.external.is_some())?;
    for (field, path) in files {
        if path.trim().is_empty() || path.contains('\0') {
            let what = if field == "requests" { "name a folder at the station" } else { "name a file at the station" };
            return Err(SpecError::new(format!("{mode}.{field}"), what));
        }
    }
    if spec.overrides.cluster_configuration.contains_key("certificatesDir") {
        let problem =
            format!("is not to be patched beside {mode}: the authorities are laid down in /etc/kubernetes/pki");
        return Err(SpecError::new("spec.overrides.clusterConfiguration.certificatesDir", problem));
    }
    if mode == EXTERNAL && spec.overrides.kubelet.get("serverTLSBootstrap") == Some(&Value::Bool(true)) {
        return Err(SpecError::new("spec.overrides.kubelet.serverTLSBootstrap", NO_SIGNER));
    }
    Ok(())
}

/// etcd has an authority where each control plane runs a member, and its owner's elsewhere.
fn check_etcd(mode: &str, is_named: bool, is_external: bool) -> Result<(), SpecError> {
    let problem = match (is_named, is_external) {
        (false, false) => "is missing: each control plane runs a member of etcd, which has an authority, too",
        (true, true) => "is not to be named beside spec.etcd.external: whoever runs that etcd has its authority",
        _ => return Ok(()),
    };
    Err(SpecError::new(format!("{mode}.etcd"), problem))
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

/// The same of authorities whose keys stay elsewhere, and the folder of requests.
fn files_outside(external: &ExternalPki) -> Vec<(&'static str, &str)> {
    let mut files: Vec<(&str, &str)> = vec![
        ("kubernetes.certFile", &external.kubernetes.cert_file),
        ("frontProxy.certFile", &external.front_proxy.cert_file),
        ("requests", &external.requests),
    ];
    files.extend(external.etcd.iter().map(|etcd| ("etcd.certFile", etcd.cert_file.as_str())));
    files
}
