//! What the next machine needs to join, made on a control plane by itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::host::{Alteration, Command, Host, HostError, read_text, write};
use sealock_node::step::{BY_ITSELF, Mode};
use sealock_trust::format;
use serde::Deserialize;

use super::error::MachineError;
use super::join_file::{Authorities, JoinFile, Secret};
use super::member::flag_in;
use crate::spec::{Endpoint, KubernetesVersion, Name};

pub(super) const ADMIN: [&str; 2] = ["--kubeconfig", "/etc/kubernetes/admin.conf"];
const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const CONFIG_FOLDER: &str = "/run/sealock";
const CONFIG: &str = "/run/sealock/kubeadm-upload-certs.yaml";
const LIMIT: Duration = Duration::from_secs(120);
/// For so long kubeadm leaves the encrypted authorities in the cluster.
const AUTHORITIES_STAY: SignedDuration = SignedDuration::from_hours(2);

/// What of kubeadm's own record of the cluster is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    cluster_name: Name,
    kubernetes_version: KubernetesVersion,
    #[serde(default)]
    control_plane_endpoint: Option<Endpoint>,
}

/// Makes a token that ends after `hours`, and where `control_plane` is asked for lays the authorities into the cluster, encrypted.
///
/// # Errors
/// No complete control plane is on the machine; the API server or kubeadm says no; further control planes would not be reached.
pub fn invite(
    host: &dyn Host,
    facts: &HostFacts,
    (control_plane, hours): (bool, u32),
    now: Timestamp,
) -> Result<JoinFile, MachineError> {
    let ca_hash = invites(facts)?.to_owned();
    let text = kubectl(host, &["-n", "kube-system", "get", "configmap", "kubeadm-config"])?;
    let record: Record = serde_saphyr::from_str(&text).map_err(|error| said("kubeadm-config", &error.to_string()))?;
    let endpoint = record.control_plane_endpoint.ok_or_else(|| said("kubeadm-config", "it names no endpoint"))?;
    if control_plane && is_own(&endpoint, facts) {
        return Err(MachineError::OwnEndpoint { endpoint: endpoint.to_string() });
    }
    let authorities = if control_plane { Some(lay_out(host, &text, now)?) } else { None };
    let token = token(host, hours)?;
    Ok(JoinFile {
        format: format::NODE_JOIN.current.to_owned(),
        cluster: record.cluster_name,
        kubernetes: record.kubernetes_version,
        endpoint,
        ca_hash,
        token,
        expires: now + SignedDuration::from_hours(hours.into()),
        control_plane: authorities,
    })
}

/// By what the cluster is known that the machine of `facts` may invite into.
///
/// # Errors
/// A station drives the machine, or no complete control plane is on it.
pub fn invites(facts: &HostFacts) -> Result<&str, MachineError> {
    match &facts.kubernetes {
        Kubernetes::Sealock(node) if node.cluster != BY_ITSELF => {
            Err(MachineError::Driven { cluster: node.cluster.clone() })
        }
        Kubernetes::Sealock(node) if node.is_plane() => node.ca_hash.as_deref().ok_or(MachineError::NoPlane),
        _ => Err(MachineError::NoPlane),
    }
}

/// Whether nobody reaches the others once this machine is away.
fn is_own(endpoint: &Endpoint, facts: &HostFacts) -> bool {
    let is = |address: &String| address.split('/').next() == Some(endpoint.host());
    facts.network.addresses.iter().any(is)
}

fn token(host: &dyn Host, hours: u32) -> Result<Secret, MachineError> {
    let (ttl, words) = (format!("{hours}h"), "sealock: a machine joins");
    let create = ["token", "create", "--ttl", &ttl, "--description", words];
    let output = run(host, &Command::new("kubeadm", ADMIN.into_iter().chain(create)))?;
    let is_token = |line: &str| line.split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16);
    last_line(&output, is_token).ok_or_else(|| said("kubeadm token create", "it printed no token"))
}

/// Uploads the authorities under a new key. Without its own configuration kubeadm would look for the version of Kubernetes on the internet,
/// and without an address for a default route.
fn lay_out(host: &dyn Host, record: &str, now: Timestamp) -> Result<Authorities, MachineError> {
    let manifest = read_text(host, API_SERVER)?.unwrap_or_default();
    let address = flag_in(&manifest, "--advertise-address=").ok_or(MachineError::NoPlane)?;
    let config = format!(
        "{record}\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {{advertiseAddress: {address}}}\n"
    );
    host.alter(Alteration::MakeDirectory { path: CONFIG_FOLDER, mode: Mode::EXECUTABLE })?;
    write(host, CONFIG, Mode::PRIVATE, config.as_bytes())?;
    let upload = ["init", "phase", "upload-certs", "--upload-certs", "--config", CONFIG];
    let output = run(host, &Command::new("kubeadm", upload));
    host.alter(Alteration::RemoveFile { path: CONFIG })?;
    let is_key = |line: &str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let certificate_key = last_line(&output?, is_key);
    let certificate_key =
        certificate_key.ok_or_else(|| said("kubeadm init phase upload-certs", "it printed no certificate key"))?;
    Ok(Authorities { certificate_key, expires: now + AUTHORITIES_STAY })
}

fn kubectl(host: &dyn Host, arguments: &[&str]) -> Result<String, MachineError> {
    let output = ["-o", "jsonpath={.data.ClusterConfiguration}", "--request-timeout", "20s"];
    run(host, &Command::new("kubectl", ADMIN.into_iter().chain(arguments.iter().copied()).chain(output)))
}

pub(super) fn run(host: &dyn Host, command: &Command) -> Result<String, MachineError> {
    // What it prints may be a secret: of a failure only the errors are told.
    let output = host.run(&command.clone().timeout(LIMIT)).map_err(without_words)?;
    if output.status == 0 { Ok(output.stdout) } else { Err(said(&command.program, &output.stderr)) }
}

/// Where a program is ended, its errors cannot be told from what else it wrote.
fn without_words(error: HostError) -> HostError {
    match error {
        HostError::Timeout { line, seconds, .. } => {
            HostError::Timeout { line, seconds, detail: "what it wrote may be a secret, and is not told".to_owned() }
        }
        other => other,
    }
}

fn last_line(text: &str, fits: impl Fn(&str) -> bool) -> Option<Secret> {
    text.lines().map(str::trim).rfind(|line| fits(line)).map(|line| Secret::from(line.to_owned()))
}

pub(super) fn said(program: &str, words: &str) -> MachineError {
    MachineError::Refused { program: program.to_owned(), said: words.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use sealock_node::Local;

    use super::*;

    #[test]
    fn a_program_that_is_ended_does_not_tell_its_secret() {
        let command = Command::new("sh", ["-c", "printf 'abcdef.%s\\n' 01234; exec sleep 60"]);
        let ended = Local::new().run(&command.timeout(Duration::from_millis(300))).unwrap_err();
        assert!(ended.to_string().contains("abcdef.01234"), "{ended}");
        let told = without_words(ended).to_string();
        assert!(told.contains("killed") && !told.contains("abcdef.01234"), "{told}");
    }
}
