//! A way out, made on purpose, to see that it is noticed: a cable from the site's switch to the outside, and a default route
//! over it in every machine. The outside then answers on every address there is, as an internet would.

use anyhow::{Result, bail};

use super::machine::Machine;
use super::network::{has_interface, has_ipv6, has_namespace, ip};
use super::run::{run, wait_until};
use super::{Lab, nspawn};

const CABLE: &str = "hole";
const GATEWAY: &str = "10.77.0.254";
const GATEWAY_V6: &str = "fd77::fe";
/// The same at each opening: the machines remember at which one they found the gateway.
const GATEWAY_MAC: &str = "02:00:0a:4d:00:fe";

/// Whether there is a hole.
pub(super) fn is_open(lab: &Lab) -> bool {
    has_interface(&lab.namespace("site"), CABLE)
}

/// # Errors
/// The lab is not running, or the kernel refuses.
pub(super) fn open(lab: &Lab) -> Result<()> {
    let (site, outside) = (lab.namespace("site"), lab.namespace("outside"));
    for namespace in [&site, &outside] {
        if !has_namespace(namespace) {
            bail!("lab {} is not up: there is no namespace {namespace}", lab.id());
        }
    }
    if !is_open(lab) {
        ip(&site, &["link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", &outside])?;
    }
    ip(&site, &["link", "set", CABLE, "master", "br0", "up"])?;
    ip(&outside, &["link", "set", CABLE, "address", GATEWAY_MAC])?;
    ip(&outside, &["addr", "replace", &format!("{GATEWAY}/24"), "dev", CABLE])?;
    ip(&outside, &["link", "set", CABLE, "up"])?;
    // In the main table, so that the route back to the site stays the more specific one.
    ip(&outside, &["route", "replace", "local", "default", "dev", "lo", "table", "main"])?;
    if has_ipv6() {
        // Otherwise a server cannot answer from the address it was asked at, nor before the cable's own address is known to be unique.
        for setting in ["net.ipv6.ip_nonlocal_bind=1", "net.ipv6.conf.hole.accept_dad=0"] {
            run("ip", &["netns", "exec", &outside, "sysctl", "-qw", setting])?;
        }
        ip(&outside, &["-6", "addr", "replace", &format!("{GATEWAY_V6}/64"), "dev", CABLE, "nodad"])?;
        ip(&outside, &["-6", "route", "replace", "local", "default", "dev", "lo", "table", "main"])?;
    }
    lab.machines()?.iter().try_for_each(|machine| lead_out(lab, machine))
}

/// Gives a machine its default route, and waits until it carries.
fn lead_out(lab: &Lab, machine: &Machine) -> Result<()> {
    let namespace = lab.namespace(machine.name);
    let mut ways = vec![("-4", GATEWAY)];
    if has_ipv6() {
        ways.push(("-6", GATEWAY_V6));
    }
    for (family, gateway) in ways {
        ip(&namespace, &[family, "route", "replace", "default", "via", gateway])?;
        if nspawn::leader(lab, machine.name).is_some() {
            wait_until(&format!("{}: the way over {gateway}", machine.name), 15, || {
                Ok(lab.exec(machine.name, &["ping", "-c1", "-W1", gateway]).output()?.status.success())
            })?;
        }
    }
    Ok(())
}

/// # Errors
/// The kernel refuses.
pub(super) fn close(lab: &Lab) -> Result<()> {
    let (site, outside) = (lab.namespace("site"), lab.namespace("outside"));
    for machine in lab.machines()? {
        let namespace = lab.namespace(machine.name);
        if has_namespace(&namespace) {
            drop_route(&namespace, &["route", "del", "default", "via", GATEWAY])?;
            if has_ipv6() {
                drop_route(&namespace, &["-6", "route", "del", "default", "via", GATEWAY_V6])?;
            }
        }
    }
    if has_namespace(&outside) {
        drop_route(&outside, &["route", "del", "local", "default", "dev", "lo", "table", "main"])?;
        if has_ipv6() {
            drop_route(&outside, &["-6", "route", "del", "local", "default", "dev", "lo", "table", "main"])?;
        }
    }
    if is_open(lab) {
        ip(&site, &["link", "del", CABLE])?;
    }
    Ok(())
}

/// Deletes a route; that there is none is what is wanted.
fn drop_route(namespace: &str, args: &[&str]) -> Result<()> {
    match run("ip", &[&["-n", namespace], args].concat()) {
        Err(failure) if !["No such process", "No such file"].iter().any(|said| failure.to_string().contains(said)) => {
            Err(failure)
        }
        _ => Ok(()),
    }
}
