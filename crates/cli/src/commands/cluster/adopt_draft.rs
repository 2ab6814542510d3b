//! `sealock cluster adopt --draft`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use sealock_cluster::adoption::{draft, nodes_of};
use sealock_cluster::operator::look_at_running;
use sealock_cluster::spec::{Host, Name, Role, Ssh};
use sealock_trust::reason::Code;
use serde::Serialize;

use super::known_hosts;
use super::target::{TargetArgs, ssh};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;

/// The flags by which a spec is drafted.
#[derive(Debug, clap::Args)]
pub struct DraftArgs {
    /// Only write the spec of the cluster of this control plane, as it says itself, to standard output: to be read over, and put into a file
    #[arg(long, value_name = "USER@ADDRESS", requires_all = ["known_hosts", "name"], conflicts_with = "file")]
    pub draft: Option<Plane>,
    /// Where the keys of the hosts are, as ssh keeps them
    #[arg(long, value_name = "FILE", requires = "draft")]
    known_hosts: Option<PathBuf>,
    /// What the cluster is to be called
    #[arg(long, value_name = "NAME", requires = "draft")]
    name: Option<Name>,
}

/// A control plane, and who logs in there.
#[derive(Clone, Debug)]
pub struct Plane {
    user: String,
    address: Ipv4Addr,
}

impl FromStr for Plane {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (user, address) = text.split_once('@').ok_or("an account and an address, like ops@10.77.0.11")?;
        let address = address.parse().map_err(|_| format!("{address} is no IPv4 address"))?;
        Ok(Self { user: user.to_owned(), address })
    }
}

/// What was written.
#[derive(Serialize)]
struct Outcome {
    spec: String,
}

pub fn run(plane: &Plane, args: &DraftArgs, target: &TargetArgs, context: &Context) -> Result<()> {
    let (Some(file), Some(name)) = (&args.known_hosts, &args.name) else {
        return Err(CommandError::internal("the flags of a draft come together".to_owned()));
    };
    let site = Station::open(context)?.site.id().to_string();
    let reach = |name: &str, address: Ipv4Addr| -> Result<Option<Ssh>> {
        let key = known_hosts::find(file, (address, 22), name)?;
        Ok(key.map(|host_key| Ssh { user: plane.user.clone(), port: 22, host_key, identity_file: None }))
    };
    let (_runtime, settings) = ssh(target)?;
    let own = reach("control-plane", plane.address)?.ok_or_else(|| unknown(&[plane.address.to_string()], args))?;
    let running = context.runtime()?.block_on(look_at_running(&host(plane, own)?, &settings))?;
    let (mut known, mut strangers) = (BTreeMap::new(), Vec::new());
    for (node, address) in nodes_of(&running) {
        match reach(&node, address)? {
            Some(ssh) => drop(known.insert(node, ssh)),
            None => strangers.push(format!("{node} ({address})")),
        }
    }
    if !strangers.is_empty() {
        return Err(unknown(&strangers, args));
    }
    let spec = draft(&running, (name.as_str(), &site), &known)?;
    context.ui.result(&Outcome { spec: spec.clone() }, spec.trim_end())
}

/// The control plane as a host of a spec that nobody has written yet.
fn host(plane: &Plane, ssh: Ssh) -> Result<Host> {
    let name = "control-plane".parse::<Name>().map_err(|error| CommandError::internal(error.to_string()))?;
    let roles = vec![Role::ControlPlane];
    Ok(Host { name, address: plane.address, roles, ssh, pods: None, labels: BTreeMap::new(), taints: None })
}

fn unknown(strangers: &[String], args: &DraftArgs) -> CommandError {
    let file = args.known_hosts.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let problem = format!("{file} has no key of {}, and every host's is pinned", strangers.join(", "));
    CommandError::refused(Code::Spec, problem).hint(
        "Log in there once with ssh, and compare the fingerprint that it shows with the one on the host's console.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_is_an_account_and_an_address() {
        let plane: Plane = "ops@10.77.0.11".parse().unwrap();
        assert_eq!((plane.user.as_str(), plane.address), ("ops", Ipv4Addr::new(10, 77, 0, 11)));
        assert_eq!("10.77.0.11".parse::<Plane>().unwrap_err(), "an account and an address, like ops@10.77.0.11");
        assert_eq!("ops@cp1".parse::<Plane>().unwrap_err(), "cp1 is no IPv4 address");
    }
}
