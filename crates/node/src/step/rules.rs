//! Packet filter rules that what runs in a cluster leaves behind.

use crate::error::StepError;
use crate::host::{Command, Host, HostError};

const MADE_BY_IPTABLES: &[&str] = &["filter", "mangle", "nat", "raw", "security"];

/// kube-proxy, kubelet and the portmap plugin leave their rules behind.
pub(super) fn clear(host: &dyn Host, tables_before: &[String]) -> Result<(), StepError> {
    for family in ["ip", "ip6"] {
        if optional(host, &Command::new("nft", ["list", "table", family, "kube-proxy"]))?.is_some() {
            Command::new("nft", ["delete", "table", family, "kube-proxy"]).must(host)?;
        }
    }
    for (save, restore) in [("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore")] {
        let rules = optional(host, &Command::new::<String>(save, []))?.unwrap_or_default();
        if rules.lines().any(is_ours) {
            let kept: String = rules.lines().filter(|line| !is_ours(line)).flat_map(|line| [line, "\n"]).collect();
            Command::new::<String>(restore, []).stdin(kept).must(host)?;
        }
    }
    drop_empty_tables(host, tables_before)
}

/// iptables makes its tables on first use, and never takes them away.
fn drop_empty_tables(host: &dyn Host, before: &[String]) -> Result<(), StepError> {
    for table in tables(host)?.into_iter().filter(|table| !before.contains(table)) {
        let Some((family, name)) = table.split_once(' ') else { continue };
        let text = Command::new("nft", ["--json", "list", "table", family, name]).must(host)?;
        let holds_rules = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(listing) => {
                listing["nftables"].as_array().is_none_or(|items| items.iter().any(|item| item.get("rule").is_some()))
            }
            Err(_) => true,
        };
        if MADE_BY_IPTABLES.contains(&name) && !holds_rules {
            Command::new("nft", ["delete", "table", family, name]).must(host)?;
        }
    }
    Ok(())
}

/// The tables of nftables, as `family name`; none where there is no `nft`.
pub(super) fn tables(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let listing = optional(host, &Command::new("nft", ["list", "tables"]))?.unwrap_or_default();
    Ok(listing.lines().filter_map(|line| line.strip_prefix("table ")).map(|table| table.trim().to_owned()).collect())
}

fn is_ours(rule: &str) -> bool {
    ["KUBE-", "CNI-HOSTPORT", "CNI-DN-", "CNI-SN-"].iter().any(|chain| rule.contains(chain))
}

/// What `command` prints; nothing if it says no, or is not on this host.
fn optional(host: &dyn Host, command: &Command) -> Result<Option<String>, HostError> {
    match host.run(command) {
        Ok(output) if output.status == 0 => Ok(Some(output.stdout)),
        Ok(_) | Err(HostError::NoProgram { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
