//! etcd's own configuration file: written, and read back. What it says is the one truth about the member on this machine.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::MachineError;
use super::settings::Settings;

/// Keys that decide only how the very first start goes. etcd ignores them once it has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bootstrap {
    /// All members, as `name=peer URL`, separated by commas.
    pub(super) initial_cluster: String,
    /// `new` or `existing`.
    pub(super) state: String,
    /// Tells a new cluster from any other.
    pub(super) token: String,
}

/// What a configuration file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The member's name.
    pub name: String,
    /// Its data directory.
    pub data: String,
    /// The folder of its certificates.
    pub pki: String,
    /// Where clients reach it.
    pub client_url: String,
    /// Where peers reach it.
    pub peer_url: String,
    pub(super) bootstrap: Bootstrap,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    name: String,
    data_dir: String,
    advertise_client_urls: String,
    initial_advertise_peer_urls: String,
    initial_cluster: String,
    initial_cluster_state: String,
    initial_cluster_token: String,
    client_transport_security: Transport,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Transport {
    trusted_ca_file: String,
}

impl Known {
    /// The token of the cluster, as it was begun.
    pub fn token(&self) -> &str {
        &self.bootstrap.token
    }

    /// What stands in the file at `path`.
    pub(super) fn read(path: &str, text: &str) -> Result<Self, MachineError> {
        let failed = |problem: String| MachineError::Config { path: path.to_owned(), problem };
        let file: File = serde_saphyr::from_str(text).map_err(|error| failed(error.to_string()))?;
        let first = |urls: &str| urls.split(',').next().unwrap_or_default().trim().to_owned();
        let (pki, _) = file
            .client_transport_security
            .trusted_ca_file
            .rsplit_once('/')
            .ok_or_else(|| failed("trusted-ca-file is no absolute path".to_owned()))?;
        Ok(Self {
            name: file.name,
            data: file.data_dir,
            pki: pki.to_owned(),
            client_url: first(&file.advertise_client_urls),
            peer_url: first(&file.initial_advertise_peer_urls),
            bootstrap: Bootstrap {
                initial_cluster: file.initial_cluster,
                state: file.initial_cluster_state,
                token: file.initial_cluster_token,
            },
        })
    }
}

/// The configuration file of a member.
pub(super) fn render(settings: &Settings, bootstrap: &Bootstrap) -> Result<String, MachineError> {
    let transport = |certificate: &str| {
        json!({
            "cert-file": format!("{}/{certificate}.crt", settings.pki),
            "key-file": format!("{}/{certificate}.key", settings.pki),
            "trusted-ca-file": format!("{}/ca.crt", settings.pki),
            "client-cert-auth": true,
        })
    };
    let loopback = format!("https://127.0.0.1:{}", settings.client_port);
    let clients = if settings.address.is_loopback() {
        settings.client_url()
    } else {
        format!("{},{loopback}", settings.client_url())
    };
    let document = json!({
        "name": settings.name,
        "data-dir": settings.data,
        "listen-client-urls": clients,
        "listen-peer-urls": settings.peer_url(),
        "listen-metrics-urls": format!("http://{}:{}", metrics_host(settings), settings.metrics_port),
        "advertise-client-urls": settings.client_url(),
        "initial-advertise-peer-urls": settings.peer_url(),
        "initial-cluster": bootstrap.initial_cluster,
        "initial-cluster-state": bootstrap.state,
        "initial-cluster-token": bootstrap.token,
        "strict-reconfig-check": true,
        "client-transport-security": transport("server"),
        "peer-transport-security": transport("peer"),
    });
    let mut document = match document {
        Value::Object(document) => document,
        _ => Map::new(),
    };
    if let Some(quota) = settings.quota {
        document.insert("quota-backend-bytes".into(), quota.into());
    }
    let failed = |problem: String| MachineError::Config { path: settings.config.clone(), problem };
    let text = serde_saphyr::to_string(&document).map_err(|error| failed(error.to_string()))?;
    Ok(format!("# Written by Sealock. The initial-… keys count at the very first start only.\n{text}"))
}

/// A member on a loopback address of its own keeps its metrics there too, so that two of them do not meet.
fn metrics_host(settings: &Settings) -> String {
    if settings.address.is_loopback() { settings.at(0).ip().to_string() } else { "127.0.0.1".to_owned() }
}
