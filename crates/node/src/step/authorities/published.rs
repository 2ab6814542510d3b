//! What the cluster itself says of its authorities; runs on a control plane host.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bundle::{believed_in, believing};
use crate::certificates::Facts;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Host};
use crate::step::kubeadm::kubectl;
use crate::step::node_ready::{ask, settle};
use crate::step::{Act, Probe};

const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// What joining nodes read.
const CLUSTER_INFO: [&str; 4] = ["-n", "kube-public", "configmap", "cluster-info"];
/// What API servers that extend this one read. API servers only ever add to it, so what is to go is taken out of it.
const EXTENSIONS: [&str; 4] = ["-n", "kube-system", "configmap", "extension-apiserver-authentication"];
const OF_EXTENSIONS: [(&str, &str); 2] =
    [("client-ca-file", CA), ("requestheader-client-ca-file", "/etc/kubernetes/pki/front-proxy-ca.crt")];
/// What pods read. kubelet brings it to those that run within a minute or two.
const OF_PODS: &str = "kube-root-ca.crt";

/// Has the cluster publish the authorities that this host believes: to nodes that join, and to pods; and where old ones are dropped, to API
/// servers that extend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthoritiesPublished {
    /// Whether nothing else may be published any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// How long the controller manager may take to tell every namespace.
    pub timeout_seconds: u32,
}

impl fmt::Display for AuthoritiesPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alone = if self.alone { " alone" } else { "" };
        write!(f, "publish these authorities{alone} to joining nodes and to pods (at most {} s)", self.timeout_seconds)
    }
}

impl Act for AuthoritiesPublished {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(believed) = host::read_text(host, CA)? else {
            return Ok(Probe::not_done(format!("{CA} is not there")));
        };
        if cluster_info(host)?.is_some_and(|kubeconfig| believed_in(&kubeconfig) != digests(&believed)) {
            return Ok(Probe::not_done("joining nodes are told of other authorities"));
        }
        if self.alone && !extensions_patch(host)?.is_empty() {
            return Ok(Probe::not_done("API servers that extend this one are told of other authorities"));
        }
        let unaware = unaware(host, &believed)?;
        Ok(unaware.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let believed = host::read_text(host, CA)?.unwrap_or_default();
        if let Some(kubeconfig) = cluster_info(host)?
            && believed_in(&kubeconfig) != digests(&believed)
        {
            patch(host, CLUSTER_INFO, &json!({"kubeconfig": believing(&kubeconfig, &believed)}))?;
        }
        if self.alone {
            let data = extensions_patch(host)?;
            if !data.is_empty() {
                patch(host, EXTENSIONS, &Value::Object(data))?;
            }
        }
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the authorities are not published", || self.probe(host, context))
    }

    /// They are what the host believes.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// What joining nodes are told; nothing where an administrator has taken it away.
fn cluster_info(host: &dyn Host) -> Result<Option<String>, StepError> {
    let found = get(host, CLUSTER_INFO)?;
    Ok(found.and_then(|map| map["data"]["kubeconfig"].as_str().map(ToOwned::to_owned)))
}

/// What of it is to be changed so that API servers that extend this one are told of nothing but this host's files.
fn extensions_patch(host: &dyn Host) -> Result<serde_json::Map<String, Value>, StepError> {
    let mut data = serde_json::Map::new();
    let Some(map) = get(host, EXTENSIONS)? else { return Ok(data) };
    for (field, path) in OF_EXTENSIONS {
        let wanted = host::read_text(host, path)?.unwrap_or_default();
        if map["data"][field].as_str().is_some_and(|told| digests(told) != digests(&wanted)) {
            data.insert(field.to_owned(), wanted.into());
        }
    }
    Ok(data)
}

/// A namespace whose pods are told of other authorities than `believed`. One that is about to go gets nothing new.
fn unaware(host: &dyn Host, believed: &str) -> Result<Option<String>, StepError> {
    let selector = format!("--field-selector=metadata.name={OF_PODS}");
    let (Some(maps), Some(namespaces)) =
        (ask(host, &["get", "configmaps", "--all-namespaces", &selector])?, ask(host, &["get", "namespaces"])?)
    else {
        return Ok(Some("the API server does not answer".to_owned()));
    };
    let items = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    let told = items(&maps);
    for namespace in items(&namespaces).iter().filter(|one| one["status"]["phase"] == "Active") {
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let map = told.iter().find(|map| map["metadata"]["namespace"] == name);
        let published = map.and_then(|map| map["data"]["ca.crt"].as_str()).unwrap_or_default();
        if digests(published) != digests(believed) {
            return Ok(Some(format!("pods in namespace {name} are told of other authorities")));
        }
    }
    Ok(None)
}

fn digests(pem: &str) -> Vec<sealock_trust::Digest> {
    Facts::all(pem).iter().map(Facts::digest).collect()
}

fn get(host: &dyn Host, object: [&str; 4]) -> Result<Option<Value>, StepError> {
    let [flag, namespace, kind, name] = object;
    ask(host, &["get", flag, namespace, kind, name])
}

fn patch(host: &dyn Host, object: [&str; 4], data: &Value) -> Result<(), StepError> {
    let patch = json!({"data": data}).to_string();
    let [flag, namespace, kind, name] = object;
    kubectl(["patch", flag, namespace, kind, name, "--type", "merge", "--patch", &patch]).must(host).map(drop)?;
    Ok(())
}
