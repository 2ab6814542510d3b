//! What may be in the way of a cluster that is still to come: ports that others listen on, packet filters of others, a module that the kernel
//! does not have.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Obstacles;
use crate::host::{self, Command, Host, HostError};
use crate::step::module_is_loaded;

/// What the prepared host needs of its kernel.
const MODULES: &[&str] = &["overlay"];

pub(super) fn observe(host: &dyn Host) -> Result<Obstacles, HostError> {
    Ok(Obstacles { ports: ports(host)?, filters: filters(host)?, missing_modules: missing_modules(host)? })
}

/// TCP ports that are listened on, and by whom, as `ss` says it.
fn ports(host: &dyn Host) -> Result<BTreeMap<u16, String>, HostError> {
    let said = said(host, &Command::new("ss", ["-H", "-l", "-t", "-n", "-p"]))?;
    Ok(said.lines().filter_map(listener).collect())
}

/// Like `LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3))`.
fn listener(line: &str) -> Option<(u16, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let port = words.get(3)?.rsplit(':').next()?.parse().ok()?;
    let program = line.split("((\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    Some((port, program.to_owned()))
}

#[derive(Deserialize)]
struct Ruleset {
    nftables: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    chain: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    #[serde(default)]
    hook: String,
    #[serde(default)]
    policy: String,
}

/// What keeps away whatever it does not know, in words.
fn filters(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    // Where there is no systemd the host is told so by what needs it.
    if said(host, &Command::new("systemctl", ["is-active", "firewalld.service"]))?.trim() == "active" {
        found.push("firewalld is active".to_owned());
    }
    let ufw = host::read_text(host, "/etc/ufw/ufw.conf")?.unwrap_or_default();
    if ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")) {
        found.push("ufw is active".to_owned());
    }
    let chains = said(host, &Command::new("nft", ["-j", "list", "chains"]))?;
    let chains = serde_json::from_str::<Ruleset>(&chains).map(|ruleset| ruleset.nftables).unwrap_or_default();
    let drops = |chain: &Chain| matches!(chain.hook.as_str(), "input" | "forward") && chain.policy == "drop";
    let of_others = chains.into_iter().filter_map(|rule| rule.chain).filter(drops);
    found.extend(of_others.map(|Chain { family, table, name, hook, .. }| {
        format!("chain {name} of table {family} {table} drops what it does not accept ({hook})")
    }));
    Ok(found)
}

fn missing_modules(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut missing = Vec::new();
    for module in MODULES {
        if module_is_loaded(host, module)? {
            continue;
        }
        let could = host.run(&Command::new("modprobe", ["--dry-run", "--quiet", module]));
        match could {
            Ok(output) if output.status == 0 => {}
            Ok(_) => missing.push((*module).to_owned()),
            // The missing programs say so.
            Err(HostError::NoProgram { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// What a program prints; nothing where it is not there, or fails.
fn said(host: &dyn Host, command: &Command) -> Result<String, HostError> {
    match host.run(command) {
        Ok(output) if output.status == 0 => Ok(output.stdout),
        Ok(_) | Err(HostError::NoProgram { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    fn a_listener_is_known_by_its_port_and_its_program() {
        let line = r#"LISTEN 0      4096         *:10250            *:*    users:(("kubelet",pid=1,fd=17))"#;
        assert_eq!(listener(line), Some((10250, "kubelet".into())));
        let line =
            r#"LISTEN 0      128       [::1]:6010         [::]:*    users:(("sshd",pid=2,fd=7),("sshd",pid=3,fd=8))"#;
        assert_eq!(listener(line), Some((6010, "sshd".into())));
        assert_eq!(listener("LISTEN 0 511 127.0.0.1:2379 0.0.0.0:*"), Some((2379, String::new())));
        assert_eq!(listener("LISTEN"), None);
    }
}
