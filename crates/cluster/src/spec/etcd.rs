//! Where the cluster keeps its state, where that is not on its own control planes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{ClusterSpec, Endpoint, SpecError};

const ENDPOINTS: &str = "spec.etcd.external.endpoints";
/// etcd advises at most seven members; more endpoints than these are a mistake.
const MOST: usize = 9;
/// What would lead an API server to another etcd, or to another place in it.
const ARGUMENTS: [&str; 6] =
    ["etcd-servers", "etcd-servers-overrides", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-keyfile"];

/// Where the cluster keeps its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Etcd {
    /// An etcd that somebody else runs; where absent, each control plane runs a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
}

impl Etcd {
    pub(super) fn is_stacked(&self) -> bool {
        self.external.is_none()
    }
}

/// An etcd that somebody else runs, on machines that are not the cluster's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalEtcd {
    /// Where its members answer, like `https://10.77.0.31:2379`: all of them.
    pub endpoints: Vec<EtcdUrl>,
    /// The file at the station with the certificates of which one issued those of the members, PEM. A relative path begins at the
    /// folder of this file.
    pub ca_file: String,
    /// The file with the certificate that the API servers show to etcd, PEM.
    pub cert_file: String,
    /// The file with the private key to it, PEM. It goes to the control planes, and stands in no plan.
    pub key_file: String,
}

/// Where a member of etcd answers: `https`, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EtcdUrl(String);

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a URL of etcd like https://10.77.0.31:2379 (https, an IPv4 address or a name, and a port)")]
pub struct ParseEtcdUrlError(String);

impl FromStr for EtcdUrl {
    type Err = ParseEtcdUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.strip_prefix("https://").and_then(|place| place.parse::<Endpoint>().ok());
        let wrong = || ParseEtcdUrlError(text.chars().take(80).collect());
        place.map(|place| Self(format!("https://{place}"))).ok_or_else(wrong)
    }
}

impl Serialize for EtcdUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EtcdUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for EtcdUrl {
    fn schema_name() -> Cow<'static, str> {
        "EtcdUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^https://[a-z0-9][a-z0-9.-]*:[0-9]{1,5}$"})
    }
}

pub(super) fn check(spec: &ClusterSpec) -> Result<(), SpecError> {
    let Some(external) = &spec.etcd.external else { return Ok(()) };
    if external.endpoints.is_empty() || external.endpoints.len() > MOST {
        let problem = format!("{} endpoints were given: name each member once, 1 to {MOST}", external.endpoints.len());
        return Err(SpecError::new(ENDPOINTS, problem));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = external.endpoints.iter().find(|url| !seen.insert(*url)) {
        return Err(SpecError::new(ENDPOINTS, format!("{twice} stands there twice: name each member once")));
    }
    // What a control plane is given back is all that is on it, and the data of an etcd would go with it.
    let on_host =
        |url: &&EtcdUrl| spec.hosts.iter().find(|host| url.0.starts_with(&format!("https://{}:", host.address)));
    if let Some((url, host)) = external.endpoints.iter().find_map(|url| Some((url, on_host(&url)?))) {
        let problem =
            format!("{url} is on {}, a host of the cluster: an external etcd has machines of its own", host.name);
        return Err(SpecError::new(ENDPOINTS, problem));
    }
    for (field, path) in
        [("caFile", &external.ca_file), ("certFile", &external.cert_file), ("keyFile", &external.key_file)]
    {
        if path.trim().is_empty() || path.contains('\0') {
            return Err(SpecError::new(format!("spec.etcd.external.{field}"), "name a file at the station"));
        }
    }
    check_overrides(spec)
}

/// What the spec says of etcd is said in one place.
fn check_overrides(spec: &ClusterSpec) -> Result<(), SpecError> {
    let own = &spec.overrides.cluster_configuration;
    if own.contains_key("etcd") {
        let problem = "is not to be patched: it is set by spec.etcd.external";
        return Err(SpecError::new("spec.overrides.clusterConfiguration.etcd", problem));
    }
    let arguments = own.get("apiServer").and_then(|server| server.get("extraArgs")).and_then(Value::as_array);
    let named = arguments.into_iter().flatten().filter_map(|argument| argument["name"].as_str());
    match named.into_iter().find(|name| ARGUMENTS.contains(name)) {
        Some(name) => {
            let problem = format!("{name} is not to be patched: it is set by spec.etcd.external");
            Err(SpecError::new("spec.overrides.clusterConfiguration.apiServer.extraArgs", problem))
        }
        None => Ok(()),
    }
}
