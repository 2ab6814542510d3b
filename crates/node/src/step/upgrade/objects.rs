//! Objects of the cluster that kubeadm changes in an upgrade, kept before and put back; on a control plane host.
//!
//! They are what kubeadm itself reads again (its own configuration, kubelet's), and kube-proxy and CoreDNS. Rights that kubeadm gives in an upgrade stay:
//! they only ever grow, and the older version does not ask for them.

use std::fmt;

use sealock_trust::format;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::changes::NODE_FOLDER;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::step::kubeadm::{self, kubectl};
use crate::step::{Act, KubeadmCommand, Mode, Probe};

const RECORD: &str = "kept-objects.json";
const LIMIT: u64 = 8 << 20;
const OBJECTS: [&str; 6] = [
    "configmap/kubeadm-config",
    "configmap/kubelet-config",
    "configmap/kube-proxy",
    "configmap/coredns",
    "daemonset/kube-proxy",
    "deployment/coredns",
];
/// The phases that change them: they are to run again after that.
const PHASES: [&str; 4] = ["upload-config all", "kubelet-config", "bootstrap-token", "addon all"];
/// What the API server alone says of an object.
const ITS_OWN: [&str; 6] = ["resourceVersion", "uid", "creationTimestamp", "managedFields", "generation", "selfLink"];
const COUNTED: [&str; 2] = ["deprecated.daemonset.template.generation", "deployment.kubernetes.io/revision"];

/// Keeps the objects of the cluster that kubeadm changes in an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectsKept {
    /// The name under which they are kept, as that of a node.
    pub since: String,
}

/// Puts back the objects of the cluster that kubeadm has changed in an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectsBack {
    /// The name under which they were kept.
    pub since: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    format: String,
    since: String,
    objects: Vec<Value>,
}

impl fmt::Display for ObjectsKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keep kubeadm's configuration, kube-proxy and CoreDNS as they are in the cluster ({})", self.since)
    }
}

impl fmt::Display for ObjectsBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put back kubeadm's configuration, kube-proxy and CoreDNS of before in the cluster ({})", self.since)
    }
}

impl Act for ObjectsKept {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match load(host)? {
            Some(record) if record.since == self.since => Probe::Done,
            _ => Probe::not_done("they are not kept yet"),
        })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let get = ["get", "--namespace", "kube-system", "--ignore-not-found", "--output", "json"];
        let found = kubectl(get.into_iter().chain(OBJECTS)).must(host)?;
        let mut found: Value = serde_json::from_str(&found).map_err(|error| not_understood(&error))?;
        let objects = found["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let objects = objects.into_iter().map(as_written).collect();
        let format = format::NODE_KEPT_OBJECTS.current.to_owned();
        let record = Record { format, since: self.since.clone(), objects };
        let text = serde_json::to_vec(&record).map_err(|error| not_understood(&error))?;
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        Ok(host::write(host, &path(), Mode::PRIVATE, &text)?)
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        put_back(host, &self.since)
    }
}

impl Act for ObjectsBack {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match load(host)? {
            Some(record) if record.since == self.since => Probe::not_done("an upgrade was begun"),
            _ => Probe::Done,
        })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        put_back(host, &self.since)
    }

    /// What leads to the newer ones again is an upgrade.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Cut off anywhere, the same again goes on: what was kept is forgotten last.
fn put_back(host: &dyn Host, since: &str) -> Result<(), StepError> {
    let Some(record) = load(host)?.filter(|record| record.since == since) else { return Ok(()) };
    for phase in PHASES {
        kubeadm::forget(host, KubeadmCommand::UpgradeApply, phase)?;
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": record.objects});
    replace(&list).must(host)?;
    Ok(host.alter(Alteration::RemoveFile { path: &path() })?)
}

fn replace(list: &Value) -> Command {
    kubectl(["replace", "--filename", "-"]).stdin(list.to_string())
}

/// The object without what the API server makes of it.
fn as_written(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !ITS_OWN.contains(&field.as_str()));
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|name, _| !COUNTED.contains(&name.as_str()));
    }
    object
}

fn load(host: &dyn Host) -> Result<Option<Record>, StepError> {
    let Some(text) = host::read(host, &path(), LIMIT)? else { return Ok(None) };
    format::NODE_KEPT_OBJECTS.look(&text).map_err(|unknown| not_understood(&unknown))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| not_understood(&error))
}

/// What is kept of the cluster, on the host that speaks for it.
pub(crate) fn path() -> String {
    format!("{NODE_FOLDER}/{RECORD}")
}

fn not_understood(error: &dyn fmt::Display) -> StepError {
    StepError::Unknown { because: format!("{} or what the cluster shows cannot be read: {error}", path()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_as_somebody_would_write_it() {
        let metadata = json!({
            "name": "kube-proxy", "namespace": "kube-system", "uid": "4f7a", "resourceVersion": "812", "generation": 3,
            "labels": {"k8s-app": "kube-proxy"}, "annotations": {"deprecated.daemonset.template.generation": "3", "a": "b"},
        });
        let object = json!({"kind": "DaemonSet", "metadata": metadata, "spec": {"a": 1}, "status": {"desired": 3}});
        let kept = json!({
            "kind": "DaemonSet", "spec": {"a": 1},
            "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}, "annotations": {"a": "b"}},
        });
        assert_eq!(as_written(object), kept);
        let bare = json!({"kind": "ConfigMap", "metadata": {"name": "coredns"}, "data": {}});
        assert_eq!(as_written(bare.clone())["data"], bare["data"]);
    }
}
