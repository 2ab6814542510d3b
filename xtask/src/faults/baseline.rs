//! What a host was before anything came to it, and what of it is another thing now.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::story::{self, Desk};

/// Everything that Kubernetes or Sealock could leave, a line each, with a word before it that says what it is.
///
/// Left out is what changes by itself: logs, caches, what lies in memory, what systemd remembers of timers, who is logged in.
const LOOK: &str = r#"
find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/tmp -o -path /tmp -o -path /var/lib/systemd -o -path /home -o -path /root \) -prune \
  -o ! -type d -printf 'file %p %m %s %l\n' -o -printf 'folder %p %m\n'
systemctl list-unit-files --plain --no-legend | awk '{print "unit-file", $1, $2}'
systemctl list-units --plain --no-legend --all --state=active,failed,activating --type=service,socket,timer,mount |
  awk '$1 !~ /^(user|session|run-user|systemd-|dev-|run-credentials)/ {print "unit", $1, $3}'
findmnt -rno TARGET,FSTYPE | grep -v -e '^/run/user' -e '^/run/credentials' | sed 's/^/mount /'
ip -o link show | awk '{print "interface", $2}'
ip -o address show | awk '{print "address", $2, $4}'
ip route show table all | grep -v fe80 | sed 's/^/route /'
ip -6 route show table all | grep -v -e fe80 -e ff00 | sed 's/ expires.*//; s/^/route6 /'
ip rule show | sed 's/^/rule /'
nft list ruleset | sed 's/^/nft /'
sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter | sed 's/^/setting /'
find /sys/fs/cgroup -mindepth 1 -type d \( -name '*kube*' -o -name '*cri-containerd*' -o -name 'containerd*' -o -name 'sealock*' \) | sed 's/^/group /'
true"#;

/// What a host keeps when it is given back (docs/guides/reset-and-repeat.md): evidence.
const STAYS: [&str; 2] = ["/var/lib/sealock", "/var/lib/sealock/node"];

/// Keeps what every node is now; where that was kept before, it stays.
pub(crate) fn keep(desk: &Desk) -> Result<()> {
    for node in desk.nodes {
        let path = path(desk, node);
        if !path.exists() {
            fs::write(&path, look(desk, node)?).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Every node is what it was, but for what is to stay.
pub(crate) fn compare(desk: &Desk) -> Result<()> {
    compare_but(desk, |_, _| false)
}

/// The same, and but for what a node may have at a path.
pub(crate) fn compare_but(desk: &Desk, may_differ: impl Fn(&str, &str) -> bool) -> Result<()> {
    for node in desk.nodes {
        let path = path(desk, node);
        let before = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut different = differences(&before, &look(desk, node)?);
        // `+ file PATH MODE SIZE`
        different.retain(|line| !may_differ(node, line.split(' ').nth(2).unwrap_or_default()));
        ensure!(different.is_empty(), "{node} is not what it was (-) before the first row:\n{}", different.join("\n"));
    }
    Ok(())
}

fn look(desk: &Desk, node: &str) -> Result<String> {
    story::text(&mut desk.lab.exec(node, &["sh", "-c", LOOK]))
}

fn path(desk: &Desk, node: &str) -> PathBuf {
    desk.lab.dir().join(format!("before-{node}"))
}

fn differences(before: &str, after: &str) -> Vec<String> {
    let lines = |text: &str| text.lines().filter(|line| !stays(line)).map(str::to_owned).collect::<BTreeSet<_>>();
    let (before, after) = (lines(before), lines(after));
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    gone.chain(after.difference(&before).map(|line| format!("+ {line}"))).collect()
}

fn stays(line: &str) -> bool {
    let path = line.split(' ').nth(1).unwrap_or_default();
    STAYS.contains(&path) || path.strip_prefix(STAYS[1]).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn what_came_and_what_went_is_told_and_evidence_is_not() {
        let before = "file /etc/hosts 644 12 \nunit cron.service active\n";
        let after = "file /etc/hosts 644 40 \nfolder /var/lib/sealock 700\nfile /var/lib/sealock/node/fence 600 70 \n";
        let told = ["- file /etc/hosts 644 12 ", "- unit cron.service active", "+ file /etc/hosts 644 40 "];
        assert_eq!(differences(before, after), told);
        assert_eq!(differences(after, &format!("{after}file /var/lib/sealock/store 644 1 \n")).len(), 1);
    }
}
