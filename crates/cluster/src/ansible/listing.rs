//! What `ansible-inventory --list` prints: groups with hosts and children, and the variables of each host.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::AnsibleError;
use super::problem::shown;

/// Bytes. Each host has all variables of its groups, so a large inventory is many megabytes.
const MAX_BYTES: usize = 64 << 20;
const MAX_HOSTS: usize = 5_000;
const MAX_GROUPS: usize = 10_000;
/// Groups that are told to whom asked for another one.
const TOLD: usize = 30;

/// What `ansible-inventory --list` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    variables: BTreeMap<String, Map<String, Value>>,
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Group {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
    /// There are none in a listing: they stand with each host.
    #[serde(default)]
    vars: Map<String, Value>,
}

#[derive(Deserialize)]
struct Meta {
    hostvars: BTreeMap<String, Map<String, Value>>,
}

impl Listing {
    /// The most bytes that one may have.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads the JSON of `ansible-inventory --list`.
    ///
    /// # Errors
    /// It is something else, or larger than any inventory.
    pub fn from_json(bytes: &[u8]) -> Result<Self, AnsibleError> {
        check("bytes", bytes.len(), MAX_BYTES)?;
        let mut members: Map<String, Value> = serde_json::from_slice(bytes).map_err(AnsibleError::NotJson)?;
        let meta = members.remove("_meta").ok_or_else(|| not("it has no `_meta`, with the variables of the hosts"))?;
        let meta: Meta = serde_json::from_value(meta).map_err(|error| not(format!("`_meta`: {error}")))?;
        check("groups", members.len(), MAX_GROUPS)?;
        check("hosts", meta.hostvars.len(), MAX_HOSTS)?;
        let mut groups = BTreeMap::new();
        for (name, value) in members {
            groups.insert(name.clone(), group(&name, value)?);
        }
        let listing = Self { variables: meta.hostvars, groups };
        check("hosts", listing.hosts().count(), MAX_HOSTS)?;
        Ok(listing)
    }

    /// Every host, each once.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let named = self.groups.values().flat_map(|group| &group.hosts);
        let all: BTreeSet<&str> = named.chain(self.variables.keys()).map(String::as_str).collect();
        all.into_iter()
    }

    /// The hosts of a group and of all groups below it, in the order in which they stand there.
    pub(super) fn members(&self, name: &str) -> Result<Vec<&str>, AnsibleError> {
        if !self.groups.contains_key(name) {
            let known = self.groups.keys().take(TOLD).map(|known| shown(known)).collect();
            return Err(AnsibleError::UnknownGroup { group: shown(name), known });
        }
        let (mut found, mut hosts_seen, mut groups_seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut open = vec![name];
        while let Some(group) = open.pop() {
            // Ansible refuses circles; a script's JSON may have one.
            let Some(group) = self.groups.get(group).filter(|_| groups_seen.insert(group)) else { continue };
            found.extend(group.hosts.iter().map(String::as_str).filter(|host| hosts_seen.insert(*host)));
            open.extend(group.children.iter().rev().map(String::as_str));
        }
        if found.is_empty() {
            return Err(AnsibleError::EmptyGroup(shown(name)));
        }
        Ok(found)
    }

    /// What the inventory says of a host, its groups' variables included.
    pub(super) fn variables(&self, host: &str) -> Option<&Map<String, Value>> {
        self.variables.get(host)
    }
}

fn group(name: &str, value: Value) -> Result<Group, AnsibleError> {
    let group: Group =
        serde_json::from_value(value).map_err(|error| not(format!("the group {}: {error}", shown(name))))?;
    match group.vars.is_empty() {
        true => Ok(group),
        false => Err(not(format!("the group {} has variables of its own, as with `--export`", shown(name)))),
    }
}

fn not(why: impl Into<String>) -> AnsibleError {
    AnsibleError::NotAListing(why.into())
}

fn check(what: &'static str, count: usize, limit: usize) -> Result<(), AnsibleError> {
    if count > limit { Err(AnsibleError::TooMuch { what, limit }) } else { Ok(()) }
}
