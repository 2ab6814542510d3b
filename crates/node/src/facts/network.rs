//! Addresses, routes and resolvers.

use serde::Deserialize;

use super::Network;
use crate::host::{self, Command, Host, HostError};

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
    #[serde(default)]
    scope: String,
}

pub(super) fn observe(host: &dyn Host) -> Result<Network, HostError> {
    let interfaces = interfaces(host)?;
    let carries = |interface: &&Interface| interface.addr_info.iter().any(|address| address.scope == "global");
    let outward =
        |interface: &&Interface| !interface.ifname.starts_with("veth") && !interface.ifname.starts_with("cni");
    let carrying: Vec<&Interface> = interfaces.iter().filter(carries).filter(outward).collect();
    let addresses =
        carrying.iter().flat_map(|interface| &interface.addr_info).filter(|address| address.scope == "global");
    let resolv = host::read_text(host, "/etc/resolv.conf")?.unwrap_or_default();
    Ok(Network {
        addresses: addresses.map(|address| format!("{}/{}", address.local, address.prefixlen)).collect(),
        default_routes: default_routes(host)?,
        nameservers: nameservers(&resolv),
        mtu: carrying.iter().map(|interface| interface.mtu).min().unwrap_or(1500),
    })
}

fn interfaces(host: &dyn Host) -> Result<Vec<Interface>, HostError> {
    let command = Command::new("ip", ["-json", "address", "show", "up"]);
    let text = match host.run(&command) {
        Ok(output) if output.status == 0 => output.stdout,
        // A host without `ip` is told so by the missing programs.
        Ok(_) | Err(HostError::NoProgram { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Default routes of both families, as `ip route` words them.
pub(crate) fn default_routes(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut routes = Vec::new();
    for family in ["-4", "-6"] {
        match host.run(&Command::new("ip", [family, "route", "show", "default"])) {
            Ok(output) => {
                routes.extend(output.stdout.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
            }
            Err(HostError::NoProgram { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(routes)
}

/// The `nameserver` lines of a resolver configuration.
pub(crate) fn nameservers(resolv: &str) -> Vec<String> {
    let server = |line: &str| line.trim().strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
    resolv.lines().filter_map(server).filter(|server| !server.is_empty()).collect()
}
