//! The inventory: what the hosts say about themselves, as the planner takes it.

use std::collections::BTreeMap;

use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

/// What the hosts of a cluster say about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inventory {
    /// By the host's name in the spec.
    pub hosts: BTreeMap<String, Observation>,
}

/// What one host says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observation {
    /// The host's own words.
    pub facts: HostFacts,
    /// By how many milliseconds the host's clock is ahead of the station's; negative where it is behind.
    pub clock_ahead_ms: i64,
}

/// The most of a host's words that is shown; in characters.
const MOST_WORDS: usize = 300;

/// What a host says, for people to read: its control characters do nothing, and it is not without end.
pub(crate) fn host_words(text: &str) -> String {
    let mut words: String = text.chars().take(MOST_WORDS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_WORDS).is_some() {
        words.push_str(" …");
    }
    words
}

impl Observation {
    /// Whether the host is a node, or on its way to be one.
    pub fn has_joined(&self) -> bool {
        matches!(&self.facts.kubernetes, Kubernetes::Sealock(node) if node.joined)
    }

    /// Whether kubeadm is through with it: pods run there.
    pub fn is_complete(&self) -> bool {
        matches!(&self.facts.kubernetes, Kubernetes::Sealock(node) if node.complete)
    }

    /// Whether a control plane that kubeadm is through with is on it.
    pub fn is_plane(&self) -> bool {
        matches!(&self.facts.kubernetes, Kubernetes::Sealock(node) if node.is_plane())
    }
}

/// The facts that a plan is bound to: where one changes between plan and apply, the plan is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Binding {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// As OCI platforms have it.
    pub architecture: String,
    /// The cluster that the host is claimed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether kubelet has credentials of that cluster.
    pub joined: bool,
    /// Versions of the components in use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, String>,
    /// The files that Sealock wrote, as they are now; empty where one is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owned: BTreeMap<String, Option<Digest>>,
    /// Files that Sealock did not write and that a plan may want to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub foreign: BTreeMap<String, Digest>,
}

impl Binding {
    /// The binding part of `facts`.
    pub fn of(facts: &HostFacts) -> Self {
        let (cluster, joined) = match &facts.kubernetes {
            Kubernetes::Sealock(node) => (Some(node.cluster.clone()), node.joined),
            Kubernetes::None | Kubernetes::Foreign { .. } => (None, false),
        };
        Self {
            machine_id: facts.machine_id.clone(),
            architecture: facts.architecture.clone(),
            cluster,
            joined,
            components: facts.components.clone(),
            owned: facts.owned.iter().map(|(path, file)| (path.clone(), file.found.clone())).collect(),
            foreign: facts.foreign.clone(),
        }
    }

    /// What differs between `self` and `now`, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.machine_id != now.machine_id {
            found.push(format!("the machine id was {} and is {}", self.machine_id, now.machine_id));
        }
        if self.architecture != now.architecture {
            found.push(format!("the architecture was {} and is {}", self.architecture, now.architecture));
        }
        if self.cluster != now.cluster || self.joined != now.joined {
            let word = |binding: &Self| match &binding.cluster {
                None => "free".to_owned(),
                Some(cluster) if binding.joined => format!("a node of {cluster}"),
                Some(cluster) => format!("claimed for {cluster}"),
            };
            found.push(format!("the host was {} and is {}", word(self), word(now)));
        }
        compare("component", &self.components, &now.components, &mut found);
        compare("file", &self.owned, &now.owned, &mut found);
        compare("file", &self.foreign, &now.foreign, &mut found);
        found
    }

    /// What differs although no step of an open plan explains it: other hardware, or another cluster's host.
    pub fn differences_beyond_steps(&self, now: &Self, cluster: &str) -> Vec<String> {
        let taken_elsewhere = now.cluster.as_deref().is_some_and(|owner| owner != cluster);
        let mut settled = self.clone();
        settled.components.clone_from(&now.components);
        settled.owned.clone_from(&now.owned);
        settled.foreign.clone_from(&now.foreign);
        if !taken_elsewhere {
            settled.cluster.clone_from(&now.cluster);
            settled.joined = now.joined;
        }
        settled.differences(now)
    }
}

fn compare<V: PartialEq>(what: &str, before: &BTreeMap<String, V>, now: &BTreeMap<String, V>, found: &mut Vec<String>) {
    for (name, value) in before {
        match now.get(name) {
            None => found.push(format!("{what} {name} is gone")),
            Some(other) if other != value => found.push(format!("{what} {name} has changed")),
            Some(_) => {}
        }
    }
    for name in now.keys().filter(|name| !before.contains_key(*name)) {
        found.push(format!("{what} {name} is new"));
    }
}
