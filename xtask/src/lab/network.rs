//! The lab's networks: one namespace for the outside, one for the site's switch, one per machine. Nothing is attached to
//! this computer's own network, and nothing joins the outside to the inside.

use std::path::Path;

use anyhow::Result;

use super::Lab;
use super::machine::Machine;
use super::run::run;

/// The one address of the outside.
pub(super) const UPSTREAM: &str = "198.51.100.10";
/// The same over IPv6.
pub(super) const UPSTREAM_V6: &str = "2001:db8::10";

/// Makes the outside's namespace, with its address.
pub(super) fn make_outside(lab: &Lab) -> Result<()> {
    let namespace = lab.namespace("outside");
    make_namespace(&namespace)?;
    ip(&namespace, &["addr", "replace", &format!("{UPSTREAM}/32"), "dev", "lo"])?;
    if has_ipv6() {
        ip(&namespace, &["addr", "replace", &format!("{UPSTREAM_V6}/128"), "dev", "lo"])?;
    }
    Ok(())
}

/// Makes the site's namespace, with its switch.
pub(super) fn make_site(lab: &Lab) -> Result<()> {
    let namespace = lab.namespace("site");
    make_namespace(&namespace)?;
    if !has_interface(&namespace, "br0") {
        // Without snooping, so that a newly plugged cable carries neighbour discovery at once.
        ip(&namespace, &["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])?;
    }
    ip(&namespace, &["addr", "replace", "10.77.0.1/24", "dev", "br0"])?;
    ip(&namespace, &["link", "set", "br0", "up"])?;
    // The switch carries frames; it must not become a router because this computer is one.
    run(
        "ip",
        &["netns", "exec", &namespace, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"],
    )?;
    Ok(())
}

/// Makes a machine's namespace and plugs it into the site's switch. No default route, on purpose.
pub(super) fn attach(lab: &Lab, machine: &Machine) -> Result<()> {
    let (site, own) = (lab.namespace("site"), lab.namespace(machine.name));
    let port = port(machine);
    make_namespace(&own)?;
    if !has_interface(&own, "eth0") {
        ip(&site, &["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &own])?;
    }
    ip(&site, &["link", "set", &port, "master", "br0", "up"])?;
    ip(&own, &["addr", "replace", &format!("{}/24", machine.address()), "dev", "eth0"])?;
    if has_ipv6() {
        ip(&own, &["-6", "addr", "replace", &format!("{}/64", machine.address_v6()), "dev", "eth0", "nodad"])?;
    }
    ip(&own, &["link", "set", "eth0", "up"])?;
    Ok(())
}

/// Makes the switch's end of a machine's cable `up` or `down`; the machine sees its carrier go and come.
pub(super) fn set_cable(lab: &Lab, machine: &Machine, state: &str) -> Result<()> {
    ip(&lab.namespace("site"), &["link", "set", &port(machine), state]).map(drop)
}

fn port(machine: &Machine) -> String {
    format!("p-{}", machine.name)
}

/// `ip` inside one of the lab's namespaces.
pub(super) fn ip(namespace: &str, args: &[&str]) -> Result<String> {
    let args: Vec<&str> = ["-n", namespace].into_iter().chain(args.iter().copied()).collect();
    run("ip", &args)
}

/// Whether the namespace has an interface of this name.
pub(super) fn has_interface(namespace: &str, name: &str) -> bool {
    ip(namespace, &["link", "show", "dev", name]).is_ok()
}

/// Whether this computer's kernel speaks IPv6; where it does not, there is nothing to seal.
pub(super) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Whether the namespace exists.
pub(super) fn has_namespace(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

/// Makes a namespace with a loopback that is up, unless it is there.
fn make_namespace(namespace: &str) -> Result<()> {
    let usable = || ip(namespace, &["link", "set", "lo", "up"]);
    if has_namespace(namespace) && usable().is_err() {
        // A killed `ip netns add` leaves the name without a namespace behind it.
        run("ip", &["netns", "del", namespace])?;
    }
    if !has_namespace(namespace) {
        run("ip", &["netns", "add", namespace])?;
    }
    usable().map(drop)
}
