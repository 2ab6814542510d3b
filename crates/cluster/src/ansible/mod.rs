//! Hosts of a cluster spec out of an Ansible inventory (`docs/guides/ansible.md`).
//!
//! INI, YAML, plugins and scripts are Ansible's own affair: what is read here is the JSON that `ansible-inventory --list` makes of
//! them all. Whatever it says about reaching a host is carried over or refused by name; what says nothing about that is listed.
//! Passwords are neither carried over nor shown.

mod draft;
mod error;
mod known;
mod listing;
mod problem;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

pub use draft::{Draft, to_yaml};
pub use error::AnsibleError;
pub use listing::Listing;
pub use problem::Problem;

use self::problem::shown;
use self::variables::Variables;
use crate::spec::Role;

/// What is wanted of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The groups whose hosts carry a control plane.
    pub control_planes: Vec<String>,
    /// The groups whose hosts run applications.
    pub workers: Vec<String>,
    /// The account of hosts for which the inventory names none.
    pub user: Option<String>,
    /// Whether a node is called what stands before the first dot of its host's name.
    pub short_names: bool,
    /// Variables that are left out although they say something about reaching a host.
    pub leave_out: BTreeSet<String>,
}

/// What an inventory came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The hosts: control planes first, then in the order of the inventory.
    pub hosts: Vec<Draft>,
    /// Hosts of the inventory that are in none of the groups.
    pub other_hosts: BTreeSet<String>,
    /// Variables of the hosts that say nothing about reaching them, or were to be left out.
    pub other_variables: BTreeSet<String>,
}

/// The hosts that are `wanted` of an inventory.
///
/// # Errors
/// A group that is not there or has no host, or all that could not be carried over.
pub fn find(listing: &Listing, wanted: &Wanted) -> Result<Found, AnsibleError> {
    let members = members(listing, wanted)?;
    let (mut hosts, mut problems, mut other_variables) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (name, roles) in &members {
        let mut variables = Variables::new(name, listing.variables(name), &wanted.leave_out);
        let draft = draft::of(&mut variables, wanted, roles);
        other_variables.extend(variables.others().map(shown));
        problems.extend(variables.into_problems());
        hosts.extend(draft);
    }
    problems.extend(twice(&hosts));
    if !problems.is_empty() {
        return Err(AnsibleError::Unmapped(problems));
    }
    let is_other = |name: &&str| !members.iter().any(|(member, _)| member == name);
    let other_hosts = listing.hosts().filter(is_other).map(shown).collect();
    Ok(Found { hosts, other_hosts, other_variables })
}

/// Each host of the groups with its roles, in the order in which they are named first.
fn members<'a>(listing: &'a Listing, wanted: &Wanted) -> Result<Vec<(&'a str, Vec<Role>)>, AnsibleError> {
    let mut members: Vec<(&str, Vec<Role>)> = Vec::new();
    let mut places = BTreeMap::new();
    for (role, groups) in [(Role::ControlPlane, &wanted.control_planes), (Role::Worker, &wanted.workers)] {
        for group in groups {
            for host in listing.members(group)? {
                let place = *places.entry(host).or_insert_with(|| {
                    members.push((host, Vec::new()));
                    members.len() - 1
                });
                let roles = &mut members[place].1;
                if !roles.contains(&role) {
                    roles.push(role);
                }
            }
        }
    }
    Ok(members)
}

/// Names and addresses that two hosts have.
fn twice(hosts: &[Draft]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut addresses: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for host in hosts {
        if let Some(other) = names.insert(host.name.as_str(), &host.origin) {
            problems.push(Problem::new(&host.origin, format!("{} names {other} already", host.name)));
        }
        if let Some(other) = addresses.insert(host.address, &host.origin) {
            problems.push(Problem::new(&host.origin, format!("{} is the address of {other} already", host.address)));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
