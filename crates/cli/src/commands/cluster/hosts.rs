//! `sealock cluster hosts`

use std::collections::BTreeSet;
use std::path::PathBuf;

use sealock_cluster::ansible::{self, Draft, Wanted, to_yaml};
use sealock_cluster::spec::Host;
use sealock_trust::reason::Code;
use serde::Serialize;

use super::{ansible_inventory, known_hosts};
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Write the hosts of a cluster spec out of an Ansible inventory
///
/// The block `hosts` goes to standard output, to be put below `spec`. Inventories of every kind are read by `ansible-inventory`; where
/// Ansible is not at hand, what `ansible-inventory --list` prints elsewhere is read from a file. Groups become roles,
/// `ansible_host`, `ansible_port`, `ansible_user` and `ansible_ssh_private_key_file` fields. Whatever else says how a host is reached is
/// refused by name, passwords above all; what says nothing about that is listed. No value of a password is carried over or shown.
#[derive(Debug, clap::Args)]
pub struct HostsArgs {
    /// The inventory, or the JSON of `ansible-inventory --list`; `-` for that on standard input
    #[arg(long, required = true, value_name = "INVENTORY")]
    from_ansible: PathBuf,
    /// A group whose hosts carry a control plane; give it again for another
    #[arg(long = "control-plane", required = true, value_name = "GROUP")]
    control_planes: Vec<String>,
    /// A group whose hosts run applications; give it again for another. Hosts of both kinds of groups do both
    #[arg(long = "worker", value_name = "GROUP")]
    workers: Vec<String>,
    /// The account of hosts for which the inventory names none
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Where the keys of hosts are that the inventory does not give as `sealock_host_key`
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// Call a node what stands before the first dot of its host's name
    #[arg(long)]
    short_names: bool,
    /// Take hosts without this variable, although it says something about reaching them; give it again for another
    #[arg(long, value_name = "VARIABLE")]
    leave_out: Vec<String>,
}

/// What the inventory came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    hosts: Vec<Host>,
    /// Hosts that are in none of the groups.
    other_hosts: BTreeSet<String>,
    /// Variables that say nothing about reaching a host, or were to be left out.
    other_variables: BTreeSet<String>,
}

pub fn run(args: &HostsArgs, context: &Context) -> Result<()> {
    let listing = ansible_inventory::read(&args.from_ansible, context)?;
    let found = ansible::find(&listing, &wanted(args))?;
    let hosts = pinned(found.hosts, args)?;
    tell("hosts in none of the groups", &found.other_hosts, context);
    tell("variables that no field is made of", &found.other_variables, context);
    let text = to_yaml(&hosts);
    let text = text.map_err(|error| CommandError::internal(format!("the hosts cannot be written: {error}")))?;
    let outcome = Outcome { hosts, other_hosts: found.other_hosts, other_variables: found.other_variables };
    context.ui.result(&outcome, text)
}

fn wanted(args: &HostsArgs) -> Wanted {
    Wanted {
        control_planes: args.control_planes.clone(),
        workers: args.workers.clone(),
        user: args.user.clone(),
        short_names: args.short_names,
        leave_out: args.leave_out.iter().cloned().collect(),
    }
}

/// The hosts with their keys: those of the inventory, else those that are known.
fn pinned(drafts: Vec<Draft>, args: &HostsArgs) -> Result<Vec<Host>> {
    let (mut hosts, mut strangers) = (Vec::new(), Vec::new());
    for draft in drafts {
        let key = match (&draft.host_key, &args.known_hosts) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => known_hosts::find(file, (draft.address, draft.port), &draft.origin)?,
            (None, None) => None,
        };
        match key {
            Some(key) => hosts.push(draft.into_host(key)),
            None => strangers.push(draft.origin),
        }
    }
    if strangers.is_empty() {
        return Ok(hosts);
    }
    let problem = format!("no host key is known of {}, and every host's is pinned", strangers.join(", "));
    Err(CommandError::refused(Code::Spec, problem)
        .hint("Give it as `sealock_host_key` in the inventory: a line of the host's /etc/ssh/ssh_host_ed25519_key.pub.")
        .hint("`--known-hosts FILE` takes those of hosts that this user has reached before, like ~/.ssh/known_hosts."))
}

fn tell(what: &str, names: &BTreeSet<String>, context: &Context) {
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        context.ui.note(format_args!("left out, {what}: {}", names.join(", ")));
    }
}
