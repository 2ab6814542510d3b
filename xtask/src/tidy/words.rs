//! Words that must not stand in the tree: hosts of this machine's package registries and paths of a home folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Finding;
use crate::repo;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let hosts = registry_hosts();
    let here = root.to_string_lossy().into_owned();
    let mut findings = Vec::new();
    for file in repo::files(root)? {
        if file.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root.join(&file)) else { continue };
        let place = file.to_string_lossy();
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            findings.push(Finding::new(&*place, format!("names {host}, a package registry of this machine")));
        }
        if here.len() > 4 && text.contains(&here) {
            findings.push(Finding::new(&*place, "names a path of this machine"));
        }
    }
    Ok(findings)
}

/// Hosts in the machine's own configuration of apt, Go and pip; what is not installed has none.
fn registry_hosts() -> BTreeSet<String> {
    let sources = [
        ("sh", vec!["-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null"]),
        ("go", vec!["env", "GOPROXY"]),
        ("pip", vec!["config", "get", "global.index-url"]),
    ];
    let mut hosts = BTreeSet::new();
    for (program, args) in sources {
        if let Ok(output) = Command::new(program).args(args).output() {
            hosts.extend(hosts_in(&String::from_utf8_lossy(&output.stdout)));
        }
    }
    hosts
}

fn hosts_in(text: &str) -> Vec<String> {
    let hosts = text.split("://").skip(1).filter_map(|rest| rest.split(['/', ' ', ',', '|', '\n', ']']).next());
    hosts.filter(|host| host.contains('.')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_configuration() {
        let text = "deb [trusted=yes] https://packages.example.org/debian stable\nhttps://proxy.example.net,direct";
        assert_eq!(hosts_in(text), ["packages.example.org", "proxy.example.net"]);
    }
}
