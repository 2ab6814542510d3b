//! Settings that could lead out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::pod::Pod;
use super::{ProbeKind, ProbeResult, Verdict};
use crate::facts::{default_routes, nameservers};
use crate::host::{self, Command, Host, HostError};
use crate::time;

const PROXY: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "ftp_proxy"];
/// The resolvers that are configured here.
pub(super) fn resolvers(host: &dyn Host, pod: Option<&Pod>) -> Result<Vec<IpAddr>, HostError> {
    let path = match pod {
        Some(pod) => format!("/proc/{}/root/etc/resolv.conf", pod.process),
        None => "/etc/resolv.conf".to_owned(),
    };
    let text = match host::read_text(host, &path) {
        Ok(text) => text.unwrap_or_default(),
        // A sandbox has no file system to speak of.
        Err(HostError::Io { .. }) if pod.is_some() => String::new(),
        Err(error) => return Err(error),
    };
    let servers = nameservers(&text).into_iter().filter_map(|server| server.split('%').next()?.parse().ok());
    Ok(servers.collect::<BTreeSet<IpAddr>>().into_iter().collect())
}

/// All settings, as results without a control.
pub(super) fn observe(
    host: &dyn Host,
    pod: Option<&Pod>,
    (resolvers, of_site): (&[IpAddr], &[String]),
) -> Result<Vec<ProbeResult>, HostError> {
    // A pod's default route leads to its node, always; what counts is the node's.
    let routes = if pod.is_some() { Vec::new() } else { default_routes(host)? };
    let proxies = match pod {
        Some(pod) => proxies_of_process(host, pod.process)?,
        None => proxies_of_node(host)?,
    };
    let servers: Vec<String> = resolvers.iter().map(IpAddr::to_string).collect();
    let mut results = Vec::new();
    if pod.is_none() {
        results.push(noted(ProbeKind::DefaultRoute, &routes, "there is none"));
        results.push(time_servers(host, of_site));
    }
    results.push(noted(ProbeKind::Proxy, &proxies, "none is set"));
    results.push(noted(ProbeKind::Resolver, &servers, "none is configured"));
    Ok(results)
}

fn noted(kind: ProbeKind, found: &[String], none: &str) -> ProbeResult {
    if found.is_empty() {
        return ProbeResult::new(kind, None, Verdict::Clear, none);
    }
    ProbeResult::new(kind, None, Verdict::Noted, found.join("; "))
}

fn proxies_of_process(host: &dyn Host, process: u32) -> Result<Vec<String>, HostError> {
    let environment = host::read(host, &format!("/proc/{process}/environ"), 1 << 20)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&environment).replace('\0', "\n");
    Ok(proxy_lines(&text))
}

fn proxies_of_node(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut found = proxy_lines(&host::read_text(host, "/etc/environment")?.unwrap_or_default());
    let show = |args: &[&str]| match host.run(&Command::new("systemctl", args.iter().copied())) {
        Ok(output) => Ok(output.stdout),
        Err(HostError::NoProgram { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    };
    found.extend(proxy_lines(&show(&["show-environment"])?));
    let units = show(&["show", "--property=Environment", "containerd.service", "kubelet.service"])?;
    found.extend(proxy_lines(&units.replace("Environment=", "").replace(' ', "\n")));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// `NAME=value` lines that name a proxy; what stands before an `@` is a password, and stays out of the report.
fn proxy_lines(text: &str) -> Vec<String> {
    let proxy = |line: &str| {
        let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        let is_proxy = PROXY.iter().any(|known| name.eq_ignore_ascii_case(known)) && !value.is_empty();
        is_proxy.then(|| format!("{name}={}", value.rsplit('@').next().unwrap_or(value)))
    };
    text.lines().filter_map(proxy).collect()
}

/// The site's own time servers lead nowhere; whoever else is named may.
fn time_servers(host: &dyn Host, of_site: &[String]) -> ProbeResult {
    let configured = time::configured(host);
    let (own, others): (Vec<&String>, Vec<&String>) =
        configured.iter().partition(|line| time::is_of_site(line, of_site));
    if others.is_empty() {
        let none = if own.is_empty() { "none is configured" } else { "none but the site's own" };
        return ProbeResult::new(ProbeKind::TimeServer, None, Verdict::Clear, none);
    }
    let others: Vec<String> = others.into_iter().cloned().collect();
    noted(ProbeKind::TimeServer, &others, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_found_and_their_passwords_are_not_told() {
        let text = "PATH=/bin\nexport HTTPS_PROXY=\"http://user:secret@proxy.example:3128\"\nno_proxy=localhost\nhttp_proxy=\n";
        assert_eq!(proxy_lines(text), ["HTTPS_PROXY=proxy.example:3128"]);
    }
}
