//! etcd's members, as its own client and its own logs tell of them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::e2e::until;
use crate::story::{self, Desk};

/// The lab's control plane hosts.
pub(crate) fn planes(desk: &Desk) -> impl Iterator<Item = &'static str> {
    desk.nodes.iter().copied().filter(|node| node.starts_with("cp"))
}

/// All members, asked on the control plane host `plane`.
pub(crate) fn members(desk: &Desk, plane: &str) -> Result<Vec<Value>> {
    let said: Value = serde_json::from_str(&etcdctl(desk, plane, &["member", "list", "-w", "json"])?)?;
    Ok(said["members"].as_array().context("etcdctl lists no members")?.clone())
}

pub(crate) fn is_learner(member: &Value) -> bool {
    member["isLearner"] == true
}

/// Each control plane host has a member that votes, there are no others, and all are healthy.
pub(crate) fn all_vote(desk: &Desk) -> Result<()> {
    let wanted = planes(desk).count();
    until(&format!("etcd's {wanted} members all vote and are healthy"), || {
        let members = members(desk, "cp1")?;
        let voters = members.iter().filter(|member| !is_learner(member)).count();
        let health = etcdctl(desk, "cp1", &["endpoint", "health", "--cluster"]);
        Ok(members.len() == wanted && voters == wanted && health.is_ok())
    })
}

/// Lets the member on `plane` lead.
pub(crate) fn lead(desk: &Desk, plane: &str) -> Result<()> {
    until(&format!("etcd is led by {plane}"), || {
        let members = members(desk, "cp1")?;
        let status: Value = serde_json::from_str(&etcdctl(desk, "cp1", &["endpoint", "status", "-w", "json"])?)?;
        let leader = &status[0]["Status"]["leader"];
        let named = |member: &&Value| member["ID"] == *leader;
        let now = members.iter().find(named).and_then(|member| member["name"].as_str()).context("nobody leads")?;
        if now == plane {
            return Ok(true);
        }
        let next = members.iter().find(|member| member["name"] == plane).and_then(|member| member["ID"].as_u64());
        let next = format!("{:x}", next.with_context(|| format!("{plane} is no member"))?);
        etcdctl(desk, now, &["move-leader", &next])?;
        Ok(false)
    })
}

fn etcdctl(desk: &Desk, plane: &str, words: &[&str]) -> Result<String> {
    let pod = format!("etcd-{plane}");
    let own = [
        "exec",
        "-n",
        "kube-system",
        &pod,
        "--",
        "etcdctl",
        "--endpoints=https://127.0.0.1:2379",
        "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
        "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key",
    ];
    story::text(&mut desk.kubectl_on(plane, &[&own[..], words].concat()))
}

/// A change of members, as the member on a control plane host has applied it.
struct Change {
    at: Timestamp,
    what: What,
    member: String,
}

#[derive(PartialEq, Eq)]
enum What {
    Added { learner: bool },
    Promoted,
    Removed,
}

/// All that the log of the member on `plane` tells of.
fn changes(desk: &Desk, plane: &str) -> Result<Vec<Change>> {
    let read = format!("cat /var/log/pods/kube-system_etcd-{plane}_*/etcd/*.log | grep -o '{{.*member.*}}'; true");
    let said = story::text(&mut desk.lab.exec(plane, &["sh", "-c", &read]))?;
    said.lines().filter_map(|line| change(line).transpose()).collect()
}

fn change(line: &str) -> Result<Option<Change>> {
    let record: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
    let (what, member) = match record["msg"].as_str().unwrap_or_default() {
        "added member" => (What::Added { learner: record["added-peer-is-learner"] == true }, "added-peer-id"),
        "promote member" => (What::Promoted, "promoted-member-id"),
        "removed member" => (What::Removed, "removed-remote-peer-id"),
        _ => return Ok(None),
    };
    let word = |field: &str| record[field].as_str().with_context(|| format!("no {field}: {line}"));
    Ok(Some(Change { at: word("ts")?.parse()?, what, member: word(member)?.to_owned() }))
}

/// Whoever came after the first member was a learner before it voted.
pub(crate) fn learned_first(desk: &Desk) -> Result<()> {
    let (mut learned, mut promoted) = (BTreeSet::new(), BTreeSet::new());
    let mut founder = None;
    for Change { what, member, .. } in changes(desk, "cp1")? {
        match what {
            What::Added { learner: true } => drop(learned.insert(member)),
            // Where the cluster began there was nobody to learn from.
            What::Added { learner: false } => {
                ensure!(founder.get_or_insert_with(|| member.clone()) == &member, "{member} came as a voter");
            }
            What::Promoted => {
                ensure!(learned.contains(&member), "{member} was promoted, and never was a learner");
                promoted.insert(member);
            }
            What::Removed => {}
        }
    }
    let others = planes(desk).count() - 1;
    ensure!(promoted.len() >= others, "etcd's log tells of {} who were promoted, not of {others}", promoted.len());
    Ok(())
}

/// Looks at a member's data on its disk, from outside of the machine, until it goes.
pub(crate) struct Data {
    ended: Arc<AtomicBool>,
    seen: JoinHandle<Option<Timestamp>>,
}

impl Data {
    pub(crate) fn watch(desk: &Desk, plane: &str) -> Self {
        let data: PathBuf = desk.lab.root_of(plane).join("var/lib/etcd/member");
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let seen = thread::spawn(move || {
            let mut last = None;
            while !is_over.load(Ordering::Relaxed) {
                let now = Timestamp::now();
                if data.exists() {
                    last = Some(now);
                }
                thread::park_timeout(Duration::from_millis(2));
            }
            (!data.exists()).then_some(last).flatten()
        });
        Self { ended, seen }
    }

    /// It is gone, and was still there when the member on cp1 had applied that its owner is one no more.
    pub(crate) fn went_after_the_others_knew(self, desk: &Desk) -> Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        let seen = self.seen.join().map_err(|_| anyhow!("whoever looked at the data panicked"))?;
        let seen = seen.context("the data was never there, or is still there")?;
        let removed = changes(desk, "cp1")?.into_iter().rev().find(|change| change.what == What::Removed);
        let removed = removed.context("etcd's log on cp1 tells of nobody who was removed")?.at;
        ensure!(removed < seen, "the data was seen last at {seen}, and its owner was a member until {removed}");
        println!("      its data was there for {:.1} s after cp1 knew", seen.duration_since(removed).as_secs_f64());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{What, change};

    #[test]
    fn what_etcd_tells_of_its_members_is_read_and_all_else_passed_over() {
        let line = r#"{"level":"info","ts":"2026-11-27T17:42:19.123416Z","msg":"added member","added-peer-id":"a44eaac255a3b3ff","added-peer-is-learner":true}"#;
        let added = change(line).unwrap().unwrap();
        assert!(added.what == What::Added { learner: true } && added.member == "a44eaac255a3b3ff");
        assert_eq!(added.at.to_string(), "2026-11-27T17:42:19.123416Z");
        assert!(change(r#"{"msg":"ignore already added member","added-peer-id":"1"}"#).unwrap().is_none());
        assert!(change(r#"{"msg":"promote member"}"#).is_err());
    }
}
