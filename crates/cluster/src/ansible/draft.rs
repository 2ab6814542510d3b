//! One host out of an inventory, to which only its pinned key may be missing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::Wanted;
use super::problem::shown;
use super::variables::Variables;
use crate::spec::{Host, Name, Pin, Role, Ssh, Taint};

const ADDRESS: &[&str] = &["sealock_address"];
const HOST: &[&str] = &["ansible_host", "ansible_ssh_host"];
const PORT: &[&str] = &["ansible_port", "ansible_ssh_port"];
const USER: &[&str] = &["ansible_user", "ansible_ssh_user"];
const IDENTITY: &[&str] = &["ansible_ssh_private_key_file", "ansible_private_key_file"];

/// One host out of an inventory, to which only its pinned key may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What the inventory calls it.
    pub origin: String,
    /// Its name as a node.
    pub name: Name,
    /// Its address.
    pub address: Ipv4Addr,
    /// The port of its sshd.
    pub port: u16,
    /// Its pinned key, where the inventory has it.
    pub host_key: Option<Pin>,
    roles: Vec<Role>,
    user: String,
    identity_file: Option<String>,
    pods: Option<Ipv4Net>,
    labels: BTreeMap<String, String>,
    taints: Option<Vec<Taint>>,
}

impl Draft {
    /// The host as a cluster spec has it, with its pinned key.
    pub fn into_host(self, host_key: Pin) -> Host {
        let ssh = Ssh { user: self.user, port: self.port, host_key, identity_file: self.identity_file };
        Host {
            name: self.name,
            address: self.address,
            roles: self.roles,
            ssh,
            pods: self.pods,
            labels: self.labels,
            taints: self.taints,
        }
    }
}

/// The block `hosts` as it stands in a cluster spec below `spec`.
///
/// # Errors
/// It cannot be written.
pub fn to_yaml(hosts: &[Host]) -> Result<String, String> {
    #[derive(Serialize)]
    struct Block<'a> {
        hosts: &'a [Host],
    }
    let text = serde_saphyr::to_string(&Block { hosts }).map_err(|error| error.to_string())?;
    Ok(text.lines().map(|line| format!("  {line}\n")).collect())
}

/// The host that `variables` describe, or problems in them.
pub(super) fn of(variables: &mut Variables<'_>, wanted: &Wanted, roles: &[Role]) -> Option<Draft> {
    let (name, address) = (name(variables, wanted.short_names), address(variables));
    let port = variables.parsed::<std::num::NonZeroU16>(PORT).map_or(22, u16::from);
    let user = user(variables, wanted.user.as_deref());
    let identity_file = variables.text(IDENTITY);
    let host_key = variables.parsed(&["sealock_host_key"]);
    let pods = variables.parsed(&["sealock_pods"]);
    let labels = variables.structured("sealock_labels").unwrap_or_default();
    let taints = variables.structured("sealock_taints");
    check_ways(variables);
    variables.judge_the_rest();
    let (origin, roles) = (shown(variables.host()), roles.to_vec());
    let (name, address, user) = (name?, address?, user?);
    Some(Draft { origin, name, address, port, host_key, roles, user, identity_file, pods, labels, taints })
}

fn name(variables: &mut Variables<'_>, short: bool) -> Option<Name> {
    let whole = variables.host();
    let text = if short { whole.split('.').next().unwrap_or_default() } else { whole };
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let way = if whole.contains('.') && !short { "; `--short-names` takes what is before the dot" } else { "" };
            variables.problem(format!("{error}{way}"));
            None
        }
    }
}

/// What the inventory says outright, else where Ansible reaches the host, else its name.
fn address(variables: &mut Variables<'_>) -> Option<Ipv4Addr> {
    let reached_at = variables.text(HOST);
    if let Some(address) = variables.parsed(ADDRESS) {
        return Some(address);
    }
    let text = reached_at.unwrap_or_else(|| variables.host().to_owned());
    let address = text.parse().ok();
    if address.is_none() {
        variables.problem(format!(
            "{:?} is not the host's IPv4 address: give it as `ansible_host` or `sealock_address`",
            shown(&text)
        ));
    }
    address
}

fn user(variables: &mut Variables<'_>, fallback: Option<&str>) -> Option<String> {
    let user = variables.text(USER).or_else(|| fallback.map(str::to_owned));
    if user.is_none() {
        variables.problem("there is no `ansible_user`: `--user USER` names the account of such hosts");
    }
    user
}

/// Ansible may go other ways than SSH and sudo; Sealock does not.
fn check_ways(variables: &mut Variables<'_>) {
    only(variables, "ansible_connection", &["ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"]);
    only(variables, "ansible_become_method", &["sudo", "ansible.builtin.sudo"]);
    only(variables, "ansible_become_user", &["root"]);
}

fn only(variables: &mut Variables<'_>, name: &'static str, ways: &[&str]) {
    if let Some(text) = variables.text(&[name])
        && !ways.contains(&text.as_str())
    {
        variables.problem(format!("{name}: {:?}: Sealock knows {} alone", shown(&text), ways[0]));
    }
}
