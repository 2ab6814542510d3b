//! Which object of a cluster is meant.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An object of a cluster, by what the API server knows it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectId {
    /// Like `apps/v1`.
    pub api_version: String,
    /// Like `Deployment`.
    pub kind: String,
    /// Its namespace. Before the API server has said so, nobody knows that a kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// Of an object as the API server answers it.
    pub(super) fn of(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        Self {
            api_version: text("/apiVersion").unwrap_or_default().to_owned(),
            kind: text("/kind").unwrap_or_default().to_owned(),
            namespace: text("/metadata/namespace").map(ToOwned::to_owned),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
        }
    }

    /// Of an object as it is written, which goes to `namespace` where it names none and its kind has any.
    pub(super) fn written(object: &Value, namespace: &str) -> Self {
        let own = Self::of(object);
        Self { namespace: own.namespace.or_else(|| Some(namespace.to_owned())), ..own }
    }

    /// Whether both are the same object, in whatever version of its API.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let namespaces_fit = match (&self.namespace, &other.namespace) {
            (Some(own), Some(others)) => own == others,
            _ => true,
        };
        self.group() == other.group() && self.kind == other.kind && self.name == other.name && namespaces_fit
    }

    /// What cannot go without taking along what others have put there.
    pub(super) fn holds_others(&self) -> bool {
        matches!(self.kind.as_str(), "Namespace" | "CustomResourceDefinition")
    }

    /// As little of it as names it.
    pub(super) fn name_only(&self) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata})
    }

    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_stays_the_same_in_another_version_of_its_api() {
        let written = ObjectId::written(
            &json!({"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "web"}}),
            "a",
        );
        let answered = |namespace: &str| {
            ObjectId::of(&json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
            }))
        };
        assert!(written.is_same(&answered("a")));
        assert!(!written.is_same(&answered("b")));
        assert_eq!(answered("a").to_string(), "Deployment a/web");
    }

    #[test]
    fn what_has_no_namespace_is_found_though_it_was_written_for_one() {
        let role =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}});
        assert!(ObjectId::written(&role, "a").is_same(&ObjectId::of(&role)));
        assert_eq!(ObjectId::of(&role).to_string(), "ClusterRole r");
    }
}
