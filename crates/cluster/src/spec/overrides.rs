//! What is done differently, because a machine needs it: every entry is a deviation that `plan` prints.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::SpecError;

/// Patches of what Sealock would do. A patch is merged into the generated configuration (RFC 7396): an object into the
/// object, any other value in place of what is there, `null` removes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overrides {
    /// kubeadm's preflight checks that are looked at but do not stop it, like `SystemVerification`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// A patch of kubeadm's `ClusterConfiguration` (v1beta4).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub cluster_configuration: Map<String, Value>,
    /// A patch of `KubeletConfiguration` (v1beta1).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub kubelet: Map<String, Value>,
    /// A patch of `KubeProxyConfiguration` (v1alpha1).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub kube_proxy: Map<String, Value>,
    /// A patch of containerd's `config.toml` (version 3).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub containerd: Map<String, Value>,
    /// Bytes that must be free below `/var/lib` before anything is changed; 10 GiB where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_free_disk_bytes: Option<u64>,
}

/// One thing that is done differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deviation {
    /// What is patched, like `kubelet: failCgroupV1`.
    pub place: String,
    /// What it becomes, as JSON.
    pub value: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.place, self.value)
    }
}

impl Overrides {
    /// The overrides in `text`, YAML with the fields that stand below `overrides` in a cluster spec.
    ///
    /// # Errors
    /// The text is no YAML, has a field that is unknown here, or one that a flag sets.
    pub fn from_yaml(text: &str) -> Result<Self, SpecError> {
        let overrides: Self =
            serde_saphyr::from_str(text).map_err(|error| SpecError::new("overrides", error.to_string()))?;
        // On a machine by itself nothing else says how kube-proxy works.
        if let Some((what, field, _)) = overrides.reserved().find(|(what, ..)| *what != "kubeProxy") {
            let problem = "is not to be patched: it is set by the flags, or by what the machine was prepared with";
            return Err(SpecError::new(format!("overrides.{what}.{field}"), problem));
        }
        Ok(overrides)
    }

    /// Nothing is done differently.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Every single thing that is done differently.
    pub fn deviations(&self) -> Vec<Deviation> {
        let mut found = Vec::new();
        for check in &self.ignore_preflight_errors {
            found.push(Deviation { place: "kubeadm preflight".into(), value: format!("ignore {check}") });
        }
        for (what, patch) in self.patches() {
            leaves(&format!("{what}: "), patch, &mut found);
        }
        if let Some(bytes) = self.minimum_free_disk_bytes {
            found.push(Deviation { place: "gate: free disk bytes".into(), value: bytes.to_string() });
        }
        found
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        match self.reserved().next() {
            Some((what, field, owner)) => {
                let problem = format!("is not to be patched: it is set by {owner}");
                Err(SpecError::new(format!("spec.overrides.{what}.{field}"), problem))
            }
            None => Ok(()),
        }
    }

    /// What is patched here and set elsewhere: where, which field, and by what.
    fn reserved(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let reserved = [
            ("clusterConfiguration", &self.cluster_configuration, "kubernetesVersion", "spec.kubernetes.version"),
            ("clusterConfiguration", &self.cluster_configuration, "controlPlaneEndpoint", "spec.controlPlane.endpoint"),
            ("clusterConfiguration", &self.cluster_configuration, "networking", "spec.network"),
            ("clusterConfiguration", &self.cluster_configuration, "imageRepository", "the names of the release"),
            ("kubeProxy", &self.kube_proxy, "mode", "spec.network.proxy"),
            ("containerd", &self.containerd, "version", "Sealock: containerd 2 takes version 3"),
            // Images are hashed and mended where containerd keeps them: elsewhere nobody would look.
            ("containerd", &self.containerd, "root", "Sealock, which looks at images in /var/lib/containerd"),
            ("containerd", &self.containerd, "state", "Sealock, which looks after containers in /run/containerd"),
        ];
        let patched = reserved.into_iter().filter(|(_, patch, field, _)| patch.contains_key(*field));
        patched.map(|(what, _, field, owner)| (what, field, owner))
    }

    fn patches(&self) -> [(&'static str, &Map<String, Value>); 4] {
        [
            ("ClusterConfiguration", &self.cluster_configuration),
            ("kubelet", &self.kubelet),
            ("kube-proxy", &self.kube_proxy),
            ("containerd", &self.containerd),
        ]
    }
}

fn leaves(prefix: &str, patch: &Map<String, Value>, found: &mut Vec<Deviation>) {
    for (key, value) in patch {
        let place = format!("{prefix}{key}");
        match value {
            Value::Object(inner) if !inner.is_empty() => leaves(&format!("{place}."), inner, found),
            other => found.push(Deviation { place, value: other.to_string() }),
        }
    }
}

/// Merges `patch` into `target` (RFC 7396).
pub(crate) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (_, Value::Null) => {
                target.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, Value::Object(patch)) => {
                let mut made = Map::new();
                merge(&mut made, patch);
                target.insert(key.clone(), Value::Object(made));
            }
            (_, value) => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "called with json!")]
    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_patch_merges_as_the_rfc_has_it() {
        let mut target = object(json!({"a": {"b": 1, "c": 2}, "d": [1, 2]}));
        merge(&mut target, &object(json!({"a": {"b": null, "e": {"f": null, "g": 3}}, "d": [3]})));
        assert_eq!(Value::Object(target), json!({"a": {"c": 2, "e": {"g": 3}}, "d": [3]}));
        // RFC 7396, a patch of what is not there.
        let mut target = object(json!({}));
        merge(&mut target, &object(json!({"a": {"bb": {"ccc": null}}})));
        assert_eq!(Value::Object(target), json!({"a": {"bb": {}}}));
    }

    #[test]
    fn every_leaf_is_a_deviation() {
        let overrides = Overrides {
            ignore_preflight_errors: vec!["SystemVerification".into()],
            kubelet: object(json!({"failCgroupV1": false, "evictionHard": {"memory.available": "100Mi"}})),
            ..Overrides::default()
        };
        let lines: Vec<String> = overrides.deviations().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "kubeadm preflight = ignore SystemVerification",
                "kubelet: evictionHard.memory.available = \"100Mi\"",
                "kubelet: failCgroupV1 = false",
            ]
        );
    }

    #[test]
    fn a_file_of_overrides_patches_nothing_that_was_checked() {
        for field in ["kubernetesVersion", "controlPlaneEndpoint", "networking", "imageRepository"] {
            let error = Overrides::from_yaml(&format!("clusterConfiguration: {{{field}: x}}")).unwrap_err();
            assert_eq!(error.place, format!("overrides.clusterConfiguration.{field}"));
        }
        for patch in ["version: 2", "root: /srv/containerd", "state: /srv/state", "root: null"] {
            let error = Overrides::from_yaml(&format!("containerd: {{{patch}}}")).unwrap_err();
            assert_eq!(error.place, format!("overrides.containerd.{}", patch.split(':').next().unwrap()));
        }
        Overrides::from_yaml("kubeProxy: {mode: iptables}").unwrap();
        Overrides::from_yaml("clusterConfiguration: {certificateValidityPeriod: 1h}").unwrap();
    }

    #[test]
    fn what_the_spec_says_elsewhere_is_not_patched() {
        let overrides = Overrides { kube_proxy: object(json!({"mode": "ipvs"})), ..Overrides::default() };
        let error = overrides.check().unwrap_err();
        assert_eq!(error.place, "spec.overrides.kubeProxy.mode");
    }

    /// What is kept elsewhere would never be hashed again.
    #[test]
    fn containerd_keeps_its_content_where_it_is_looked_at() {
        for field in ["root", "state"] {
            let overrides = Overrides { containerd: object(json!({field: "/srv/containerd"})), ..Overrides::default() };
            assert_eq!(overrides.check().unwrap_err().place, format!("spec.overrides.containerd.{field}"));
        }
        // Deeper down a folder of that name is another one.
        let overrides =
            Overrides { containerd: object(json!({"plugins": {"x": {"root": "/x"}}})), ..Overrides::default() };
        overrides.check().unwrap();
    }
}
