//! An etcd that somebody else runs, as a control plane host sees it: whether it can keep a cluster's state, and whose it keeps already.
//!
//! A cluster's own mark stands in it, below the prefix that its API servers write under: it goes where their keys go, into snapshots and
//! away. No API server minds a key of a kind that it does not know.

use std::fmt;

use sealock_node::{Host, external_etcd};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::client::{Endpoints, Etcd};
use super::connection::{Connection, Credentials};
use super::endpoint::Endpoint;
use super::error::EtcdError;
use super::machine::MachineError;
use super::member::AlarmKind;

/// Whose state it keeps.
const MARK: &[u8] = b"/registry/sealock/cluster";
/// Where a member answers that runs beside its API server, and the files by which kubeadm looks whether it is well.
const OWN: &str = "https://127.0.0.1:2379";
const OWN_FILES: [&str; 3] = [
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.key",
];
const EXTERNAL_FILES: [&str; 3] = [external_etcd::AUTHORITY, external_etcd::CERTIFICATE, external_etcd::KEY];
const LIMIT: u64 = 1 << 20;

/// Where it is, and what is shown to it: an order of the station, before either stands on the host.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order<'a> {
    /// URLs.
    pub endpoints: Vec<String>,
    /// Certificates of which one issued the members', PEM.
    pub authority: &'a str,
    /// PEM.
    pub certificate: &'a str,
    /// The private key, PEM.
    pub key: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    endpoints: Vec<String>,
    authority: String,
    certificate: String,
    key: String,
}

/// Whose state an etcd keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The cluster's name.
    pub cluster: String,
    /// What the public key of its authority hashes to: tells it from any other cluster of that name.
    pub ca_hash: String,
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// What a host sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// Tells this etcd from any other.
    pub cluster: String,
    /// Whether a majority has agreed on the members.
    pub agreed: bool,
    /// Endpoints that were given and do not answer, each with what was said.
    pub silent: Vec<String>,
    /// The members.
    pub members: Vec<Seen>,
    /// What is in it; nothing where no majority answers.
    pub content: Option<Content>,
}

/// A member as a host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its name, or its id before it has started.
    pub name: String,
    /// Like `3.6.8`; nothing where it does not say.
    pub version: Option<String>,
    /// Why it is not well; nothing where it is.
    pub problem: Option<String>,
}

/// What an etcd holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// How many keys are where API servers write.
    pub keys: i64,
    /// Whose they are, where one of Sealock's clusters has claimed it.
    pub mark: Option<Mark>,
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is this cluster's.
    Ours,
    /// Something else is in it, and nothing was changed.
    Foreign(Content),
}

/// What the order in `json` says.
///
/// # Errors
/// It is none.
pub fn given(json: &[u8]) -> Result<Endpoints, EtcdError> {
    let order: Given = serde_json::from_slice(json).map_err(|_| EtcdError::Endpoint {
        text: String::new(),
        problem: "standard input holds no order to look at an etcd",
    })?;
    let credentials =
        Credentials { ca: order.authority, certificate: order.certificate, key: Zeroizing::new(order.key) };
    Ok(Endpoints { seeds: parsed(&order.endpoints)?, credentials: Some(credentials) })
}

/// The etcd that the API server of this control plane host keeps the cluster's state in, and what is shown to it.
///
/// # Errors
/// The host is none, or files of it are not there.
pub fn of_control_plane(host: &dyn Host) -> Result<Endpoints, MachineError> {
    let servers = external_etcd::external_servers(host)?;
    match servers.is_empty() {
        true => Ok(Endpoints { seeds: parsed(&[OWN.to_owned()])?, credentials: Some(files(host, OWN_FILES)?) }),
        false => at(host, &servers),
    }
}

/// The etcd at `endpoints`, and what stands on this control plane host to be shown to it.
///
/// # Errors
/// An endpoint is none, or the files are not there.
pub fn at(host: &dyn Host, endpoints: &[String]) -> Result<Endpoints, MachineError> {
    Ok(Endpoints { seeds: parsed(endpoints)?, credentials: Some(files(host, EXTERNAL_FILES)?) })
}

/// What is seen of the etcd at `endpoints`.
///
/// # Errors
/// Nobody answers, or the endpoints belong to different clusters.
pub async fn look(endpoints: &Endpoints) -> Result<Look, EtcdError> {
    let survey = Etcd::new(endpoints)?.survey().await?;
    let (mut silent, mut content, mut unread) = (Vec::new(), None, None);
    for seed in &endpoints.seeds {
        let connection = Connection::new(seed, endpoints.credentials.as_ref())?;
        if let Err(error) = connection.status().await {
            silent.push(error.to_string());
        } else if survey.agreed && content.is_none() {
            // A member that is cut off from the others says how it is, and not what the cluster holds.
            match content_of(&connection).await {
                Ok(found) => content = Some(found),
                Err(error) => {
                    silent.push(error.to_string());
                    unread = Some(error);
                }
            }
        }
    }
    if let (None, Some(error)) = (&content, unread) {
        return Err(error);
    }
    let members = survey.membership.members.iter().map(|member| {
        let state = survey.state_of(member.id);
        let alarms = state.map(|state| state.alarms.as_slice()).unwrap_or_default();
        let problem = state.and_then(|state| state.problem.clone()).or_else(|| alarms.first().map(alarm));
        Seen {
            name: if member.has_started() { member.name.clone() } else { member.id.to_string() },
            version: state.and_then(|state| state.status.as_ref()).map(|status| status.version.clone()),
            problem: problem.or_else(|| member.learner.then(|| "it has no vote yet".to_owned())),
        }
    });
    let members = members.collect();
    Ok(Look { cluster: survey.membership.cluster.to_string(), agreed: survey.agreed, silent, members, content })
}

/// Marks the etcd at `endpoints` as that of one cluster, unless it is another's, or holds what nobody has marked.
///
/// # Errors
/// It cannot be read or written: what happened is read again by the next attempt.
pub async fn claim(endpoints: &Endpoints, ours: &Mark) -> Result<Claimed, EtcdError> {
    let seeds = endpoints.seeds.iter().map(|seed| Connection::new(seed, endpoints.credentials.as_ref()));
    let mut silent = Vec::new();
    for connection in seeds.collect::<Result<Vec<_>, _>>()? {
        match claim_at(&connection, ours).await {
            Err(EtcdError::Call(error)) => silent.push(error),
            outcome => return outcome,
        }
    }
    Err(EtcdError::Silent(silent))
}

async fn claim_at(connection: &Connection, ours: &Mark) -> Result<Claimed, EtcdError> {
    let before = content_of(connection).await?;
    if let Some(decided) = decided(before, ours) {
        return Ok(decided);
    }
    let mark = serde_json::to_vec(ours).unwrap_or_default();
    // Where the answer does not come, or another one was quicker, what stands there says how it ended.
    let put = connection.put_if(MARK, &mark, 0).await;
    match (decided(content_of(connection).await?, ours), put) {
        (Some(decided), _) => Ok(decided),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Err(EtcdError::Silent(Vec::new())),
    }
}

/// Nothing where it is empty.
fn decided(content: Content, ours: &Mark) -> Option<Claimed> {
    match &content.mark {
        Some(mark) if mark == ours => Some(Claimed::Ours),
        None if content.keys == 0 => None,
        _ => Some(Claimed::Foreign(content)),
    }
}

async fn content_of(connection: &Connection) -> Result<Content, EtcdError> {
    let mark = connection.value(MARK).await?;
    // One that cannot be read is somebody's all the same.
    let unread = || Mark { cluster: "(unknown)".into(), ca_hash: String::new() };
    let mark = mark.map(|mark| serde_json::from_slice(&mark).unwrap_or_else(|_| unread()));
    Ok(Content { keys: connection.count_below(external_etcd::PREFIX.as_bytes()).await?, mark })
}

fn alarm(kind: &AlarmKind) -> String {
    format!("it has raised the alarm {kind}")
}

fn parsed(endpoints: &[String]) -> Result<Vec<Endpoint>, EtcdError> {
    endpoints.iter().map(|endpoint| endpoint.parse()).collect()
}

fn files(host: &dyn Host, paths: [&str; 3]) -> Result<Credentials, MachineError> {
    let text = |path: &str| -> Result<Zeroizing<String>, MachineError> {
        let bytes = sealock_node::host::read(host, path, LIMIT)?.map(Zeroizing::new);
        let missing = || MachineError::NoCredentials { missing: path.to_owned() };
        let bytes = bytes.ok_or_else(missing)?;
        Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let [ca, certificate, key] = paths;
    Ok(Credentials { ca: text(ca)?.to_string(), certificate: text(certificate)?.to_string(), key: text(key)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_empty_or_ours_is_claimed() {
        let mark = |cluster: &str, ca_hash: &str| Mark { cluster: cluster.into(), ca_hash: ca_hash.into() };
        let ours = mark("plant-7", "sha256:aa");
        let holds = |keys, mark: Option<Mark>| Content { keys, mark };
        assert_eq!(decided(holds(0, None), &ours), None);
        assert_eq!(decided(holds(812, Some(ours.clone())), &ours), Some(Claimed::Ours));
        for foreign in [
            holds(812, None),
            holds(812, Some(mark("plant-8", "sha256:bb"))),
            holds(1, Some(mark("plant-7", "sha256:bb"))),
        ] {
            assert_eq!(decided(foreign.clone(), &ours), Some(Claimed::Foreign(foreign)));
        }
    }
}
