//! Values that stand in no plan: made on the first control plane when a task needs them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealock_node::facts::Kubernetes;
use sealock_node::kubernetes_certificates::{AUTHORITIES, SERVICE_ACCOUNTS};
use zeroize::Zeroizing;

use super::remote::{Kit, Remote};
use super::{Binary, Connection, ExecuteError};
use crate::plan::SecretKind;

/// The secrets called `wanted`, of those that the station does not hold itself made on `first`, as the JSON object that `sealock node run` reads.
///
/// # Errors
/// The first control plane cannot be reached, or does not make them.
pub(super) async fn mint(
    first: &Connection,
    kit: &Kit,
    wanted: &[SecretKind],
    joining: &str,
) -> Result<Vec<u8>, ExecuteError> {
    let (binary, mut secrets) = (&kit.binary, BTreeMap::new());
    for kind in wanted {
        let value = match kind {
            SecretKind::BootstrapToken => bootstrap_token(first, joining).await?,
            SecretKind::CaHash => ca_hash(first, binary).await?,
            SecretKind::CertificateKey => certificate_key(first).await?,
            SecretKind::KubeletCertificate => kubelet_certificate(first, joining).await?,
            SecretKind::Authorities => next_authorities(first, true).await?,
            SecretKind::NextAuthority => next_authorities(first, false).await?,
            SecretKind::ServiceAccounts => service_accounts(first).await?,
            SecretKind::EtcdClientKey | SecretKind::SuppliedAuthorities => held(kit, *kind)?,
        };
        secrets.insert(kind.as_str(), value);
    }
    serde_json::to_vec(&secrets).map_err(|error| ExecuteError::InvalidPlan { problem: error.to_string() })
}

fn held(kit: &Kit, kind: SecretKind) -> Result<String, ExecuteError> {
    let problem = || format!("the station does not hold the secret {}", kind.as_str());
    let value = kit.held.find(kind.as_str()).map(ToOwned::to_owned);
    value.ok_or_else(|| ExecuteError::InvalidPlan { problem: problem() })
}

/// Makes a token, and waits until the cluster has signed its own description with it: kubeadm looks for the signature as soon
/// as it joins, and then only every five seconds.
async fn bootstrap_token(first: &Connection, joining: &str) -> Result<String, ExecuteError> {
    let script = "set -e
token=$(/usr/bin/kubeadm --kubeconfig /etc/kubernetes/admin.conf token create --ttl 15m --description \"$1\" | tail -n 1)
[ -n \"$token\" ]
signed=\"jsonpath={.data.jws-kubeconfig-${token%%.*}}\"
/usr/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-public wait --for \"$signed\" --timeout 20s configmap/cluster-info > /dev/null 2>&1 || true
echo \"$token\"";
    let said = first.script(script, &[&format!("sealock: {joining} joins")], b"").await?;
    last_line(first, "kubeadm token create", &said, |line| {
        let (id, secret) = line.split_once('.').unwrap_or_default();
        id.len() == 6 && secret.len() == 16
    })
}

async fn ca_hash(first: &Connection, binary: &Binary) -> Result<String, ExecuteError> {
    let facts = Remote::prepare(first, binary).await?.facts().await?;
    match facts.kubernetes {
        Kubernetes::Sealock(node) if node.ca_hash.is_some() => Ok(node.ca_hash.unwrap_or_default()),
        _ => Err(nothing(first, "sealock node observe", "the cluster's CA is not there")),
    }
}

/// Uploads the CAs under a new key and gives it back. Without the configuration kubeadm would look for the version of Kubernetes on
/// the internet, and without an address for a default route.
async fn certificate_key(first: &Connection) -> Result<String, ExecuteError> {
    let script = "set -e
config=$(mktemp -p /run)
trap 'rm -f \"$config\"' EXIT
/usr/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}' > \"$config\"
printf '\\n---\\napiVersion: kubeadm.k8s.io/v1beta4\\nkind: InitConfiguration\\nlocalAPIEndpoint: {advertiseAddress: %s}\\n' \"$1\" >> \"$config\"
/usr/bin/kubeadm init phase upload-certs --upload-certs --config \"$config\"";
    let said = first.script(script, &[&first.address().to_string()], b"").await?;
    let is_key = |line: &str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    last_line(first, "kubeadm init phase upload-certs", &said, is_key)
}

/// Issues what the kubelet of `node` shows, with the cluster's authority, which lies on that host. No API server is asked.
async fn kubelet_certificate(first: &Connection, node: &str) -> Result<String, ExecuteError> {
    let script = "set -e
config=$(mktemp -p /run)
trap 'rm -f \"$config\"' EXIT
printf 'apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: %s\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {advertiseAddress: %s}\n' \"$(/usr/bin/kubeadm version --output short)\" \"$2\" > \"$config\"
/usr/bin/kubeadm kubeconfig user --client-name \"system:node:$1\" --org system:nodes --config \"$config\"";
    let said = first.script(script, &[node, &first.address().to_string()], b"").await?;
    let text = Zeroizing::new(String::from_utf8_lossy(&said).into_owned());
    let decoded = |field: &str| {
        let encoded = text.lines().find_map(|line| line.trim().strip_prefix(field))?;
        String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
    };
    let pair = decoded("client-certificate-data:").zip(decoded("client-key-data:"));
    let pair = pair.map(|(certificate, key)| format!("{certificate}{key}"));
    pair.ok_or_else(|| nothing(first, "kubeadm kubeconfig user", "it printed no certificate and key"))
}

/// The private key of service accounts, as that host has it.
async fn service_accounts(first: &Connection) -> Result<String, ExecuteError> {
    let content = Zeroizing::new(first.read_root_file(SERVICE_ACCOUNTS.private).await?);
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The authorities that wait on that host to issue: all of them with their keys, or the certificate of Kubernetes' own alone; texts by
/// file, in JSON.
async fn next_authorities(first: &Connection, all: bool) -> Result<String, ExecuteError> {
    let [kubernetes, ..] = AUTHORITIES;
    let paths: Vec<&str> = if all {
        AUTHORITIES.iter().flat_map(|files| [files.next, files.next_key]).collect()
    } else {
        vec![kubernetes.next]
    };
    let mut texts = BTreeMap::new();
    for path in paths {
        let content = Zeroizing::new(first.read_root_file(path).await?);
        texts.insert(path, Zeroizing::new(String::from_utf8_lossy(&content).into_owned()));
    }
    let plain: BTreeMap<&str, &str> = texts.iter().map(|(path, text)| (*path, text.as_str())).collect();
    serde_json::to_string(&plain).map_err(|error| ExecuteError::InvalidPlan { problem: error.to_string() })
}

fn last_line(
    first: &Connection,
    command: &str,
    said: &[u8],
    fits: impl Fn(&str) -> bool,
) -> Result<String, ExecuteError> {
    let text = String::from_utf8_lossy(said);
    let found = text.lines().map(str::trim).rfind(|line| fits(line)).map(ToOwned::to_owned);
    found.ok_or_else(|| nothing(first, command, "it printed none"))
}

fn nothing(first: &Connection, command: &str, said: &str) -> ExecuteError {
    ExecuteError::Command { host: first.host().into(), command: command.into(), code: None, said: said.into() }
}
