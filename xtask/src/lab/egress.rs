//! What leaves: counted at the site's switch, and by the kernels of the machines, so that nothing in a machine is asked for it.
//!
//! A machine has no route out, so its kernel answers a program that tries before a packet is made, and counts that (`OutNoRoutes`, for both
//! families). What gets as far as the cable is counted at the switch, where it is for neither the site nor its pods.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::network::ip;
use super::run::run;
use super::{Lab, cgroup};

/// Frames that leave by a port of the switch, or are made at it, by whom they are for.
const COUNTERS: &str = "table bridge egress {
  counter strangers { }
  counter resolvers { }
  chain seen {
    type filter hook postrouting priority 0; policy accept;
    ip daddr != { 10.77.0.0/24, 10.244.0.0/16, 224.0.0.0/4, 255.255.255.255 } counter name strangers
    ip6 daddr != { fd77::/64, fe80::/10, ff00::/8 } counter name strangers
    meta l4proto { tcp, udp } th dport 53 ip daddr != { 10.77.0.2, 10.244.0.0/16 } counter name resolvers
  }
}
";
const NAMES: [&str; 2] = ["strangers", "resolvers"];
/// An address that is nobody's, and a neighbour for it, to see that the switch counts.
const NOBODY: &str = "198.51.100.99";

impl Lab {
    /// Begins to count, and shows that what is counted with counts. Where it counts already, it goes on.
    ///
    /// # Errors
    /// The lab is not up, or one of the counters stays where it is.
    pub fn watch_egress(&self) -> Result<()> {
        let site = self.namespace("site");
        if run("ip", &["netns", "exec", &site, "nft", "list", "table", "bridge", "egress"]).is_ok() {
            return Ok(());
        }
        let file = self.dir().join("egress.nft");
        fs::write(&file, COUNTERS).with_context(|| format!("{}: cannot be written", file.display()))?;
        run("ip", &["netns", "exec", &site, "nft", "-f", super::machine::text(&file)?])?;
        self.show_that_it_counts(&site)?;
        fs::write(self.known_attempts(), serde_json::to_vec(&self.attempts()?)?).context("what was counted before")?;
        run("ip", &["netns", "exec", &site, "nft", "reset", "counters"]).map(drop)
    }

    /// What was counted since, in words; nothing where nothing was.
    ///
    /// # Errors
    /// Nothing is counted, or the counters cannot be read.
    pub fn egress(&self) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        for name in NAMES {
            let frames = self.frames(name)?;
            if frames > 0 {
                seen.push(format!("{frames} frames to {name} at the switch"));
            }
        }
        let before: BTreeMap<String, u64> = serde_json::from_slice(&fs::read(self.known_attempts())?)?;
        for (place, count) in self.attempts()? {
            let known = before.get(&place).copied().unwrap_or(0);
            if count > known {
                seen.push(format!("{} attempts to reach what there is no way to, in {place}", count - known));
            }
        }
        Ok(seen)
    }

    fn show_that_it_counts(&self, site: &str) -> Result<()> {
        let before = no_routes(&run("ip", &["netns", "exec", site, "cat", "/proc/net/snmp"])?);
        // That there is no way is a failure there, and none here.
        let _ = speak(site);
        let after = no_routes(&run("ip", &["netns", "exec", site, "cat", "/proc/net/snmp"])?);
        ensure!(after > before, "lab {}: the kernel does not count what there is no way to", self.id);
        ip(site, &["route", "replace", NOBODY, "dev", "br0"])?;
        ip(site, &["neigh", "replace", NOBODY, "lladdr", "02:00:0a:4d:00:99", "dev", "br0"])?;
        speak(site)?;
        ip(site, &["neigh", "del", NOBODY, "dev", "br0"])?;
        ip(site, &["route", "del", NOBODY, "dev", "br0"])?;
        for name in NAMES {
            ensure!(self.frames(name)? > 0, "lab {}: the switch does not count what is for {name}", self.id);
        }
        Ok(())
    }

    fn frames(&self, counter: &str) -> Result<u64> {
        let namespace = self.namespace("site");
        let list = ["netns", "exec", &namespace, "nft", "list", "counter", "bridge", "egress", counter];
        let said = run("ip", &list)?;
        let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).with_context(|| format!("nft says of {counter}: {said}"))
    }

    /// By network namespace: that of a machine, and those of its pods.
    fn attempts(&self) -> Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for machine in self.machines()? {
            for pid in cgroup::processes(self, machine.name)? {
                let process = PathBuf::from(format!("/proc/{pid}"));
                // A process may end while it is looked at.
                let Ok(namespace) = fs::read_link(process.join("ns/net")) else { continue };
                let place = format!("{} ({})", machine.name, namespace.display());
                if found.contains_key(&place) {
                    continue;
                }
                let read = |file: &str| fs::read_to_string(process.join("net").join(file)).unwrap_or_default();
                found.insert(place, no_routes(&read("snmp")) + no_routes_v6(&read("snmp6")));
            }
        }
        ensure!(!found.is_empty(), "lab {}: no machine runs", self.id);
        Ok(found)
    }

    fn known_attempts(&self) -> PathBuf {
        self.dir().join("egress.json")
    }
}

/// A datagram to the resolver of an address that is nobody's.
fn speak(namespace: &str) -> Result<String> {
    run("ip", &["netns", "exec", namespace, "bash", "-c", &format!("echo > /dev/udp/{NOBODY}/53")])
}

/// `OutNoRoutes` of `/proc/net/snmp`: a line of names, and one of numbers below it.
fn no_routes(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    pairs.find(|(name, _)| *name == "OutNoRoutes").and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

fn no_routes_v6(snmp6: &str) -> u64 {
    let number = |line: &str| line.strip_prefix("Ip6OutNoRoutes")?.trim().parse().ok();
    snmp6.lines().find_map(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{no_routes, no_routes_v6};

    #[test]
    fn what_the_kernel_counted_is_read_by_its_name() {
        let snmp =
            "Ip: Forwarding DefaultTTL OutDiscards OutNoRoutes ReasmTimeout\nIp: 1 64 3 7 0\nIcmp: InMsgs\nIcmp: 9\n";
        assert_eq!((no_routes(snmp), no_routes("")), (7, 0));
        assert_eq!(no_routes_v6("Ip6InNoRoutes   \t4\nIp6OutNoRoutes                  \t5\n"), 5);
    }
}
