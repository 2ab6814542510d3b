//! One member of the etcd of a cluster's control planes that is lost, and comes again: it is taken out, its data goes aside, kubeadm brings
//! it without a vote, and it is looked at among the others.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::aside::SetAside;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Entry, Host, HostError};
use crate::step::node_ready::settle;
use crate::step::{Act, KubeadmCommand, Mode, Probe, containers, kubeadm};
use crate::wait;

const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
/// The phase by which kubeadm brings a member.
const PHASE: &str = "etcd-join";
const ETCD: &str = "etcd";
/// Every member reads all of its database.
const TAKES: Duration = Duration::from_secs(600);
const ENDS: Duration = Duration::from_secs(180);
/// kubelet looks for files every twenty seconds at the latest: an etcd that is started again and again could be started once more until then,
/// on a folder that is empty.
const STEADY: Duration = Duration::from_secs(25);

/// Takes a member out of the etcd of this control plane host, and looks whether the others say so; runs on another host than the member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MemberRemoved {
    /// Absolute path of Sealock on this host.
    pub program: String,
    /// The member's id, as etcd prints it.
    pub id: String,
    /// Where its peers reached it.
    pub peer_url: String,
}

/// Ends the static pod of etcd on this host, whose member was taken out, and moves its data aside: it is never deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MemberAside {
    /// Absolute path of the data.
    pub path: String,
    /// Its new name, beside it: one that no other plan takes, like `etcd.2026-11-26T06-48-02Z`.
    pub name: String,
}

/// Waits until a member of the etcd of this control plane host votes, serves and has raised no alarm, and holds what another one holds that
/// answers: that is where it got it from. Any other one may be lost or differ, too, and comes back behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MembersAgree {
    /// Absolute path of Sealock on this host.
    pub program: String,
    /// Where the peers of the member reach it.
    pub peer_url: String,
    /// How long to wait.
    pub timeout_seconds: u32,
}

/// Waits until the API server of this host serves again, whose member of etcd was away.
///
/// It has ended again and again meanwhile, and kubelet lets minutes pass before it starts it once more; and kubelet asks that very API server, so that
/// the node reports nothing until then. kubelet that is started anew has forgotten how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ApiServerBack {
    /// How long to wait.
    pub timeout_seconds: u32,
}

impl fmt::Display for ApiServerBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.timeout_seconds;
        write!(
            f,
            "start kubelet once more, if the API server here does not serve, and wait until it does (at most {seconds} s)"
        )
    }
}

impl fmt::Display for MemberRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "take member {} at {} out of etcd", self.id, self.peer_url)
    }
}

impl fmt::Display for MemberAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end etcd here, and {}", self.aside())
    }
}

impl fmt::Display for MembersAgree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wait until the member at {} votes, and holds what another one holds (at most {} s)",
            self.peer_url, self.timeout_seconds
        )
    }
}

impl Act for MemberRemoved {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let said = status(host, &self.program)?;
        if said["agreed"] != true {
            let because = "etcd has no majority here that says who its members are".to_owned();
            return Ok(Probe::Unknown { because });
        }
        if members(&said).any(|member| member["id"] == self.id.as_str()) {
            return Ok(Probe::not_done(format!("etcd lists member {}", self.id)));
        }
        // It was cut off between the two: while the alarm stands, etcd takes nothing more in.
        let mut alarms = said["strayAlarms"].as_array().into_iter().flatten();
        let is_alarmed = alarms.any(|alarm| alarm["member"] == self.id.as_str());
        Ok(if is_alarmed { Probe::not_done(format!("an alarm of member {} stands", self.id)) } else { Probe::Done })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        etcd(&self.program, &["remove", &self.id, "--yes"]).must(host)?;
        Ok(())
    }

    /// It comes again as a new member.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid { problem: "a member that was taken out of etcd comes again as another one".to_owned() })
    }
}

impl Act for MemberAside {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let aside = self.aside();
        aside.check()?;
        if host::exists(host, &aside.beside())? {
            return Ok(Probe::Done);
        }
        // Said before the member is taken out elsewhere, which nothing takes back: what is no folder here leads to data of somebody's own choice.
        for path in [self.path.clone(), format!("{}/member", self.path)] {
            if !matches!(host.inspect(&path)?, Entry::Missing | Entry::Directory { .. }) {
                return Ok(Probe::foreign(format!("{path} is no folder")));
            }
        }
        Ok(Probe::not_done(format!("{} was not moved aside", self.path)))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if let Probe::Foreign { found } = self.probe(host, context)? {
            return Err(StepError::Foreign { found });
        }
        // First: kubeadm that is cut off behind the manifest was not through, whatever it was through with before.
        kubeadm::forget(host, KubeadmCommand::Join, PHASE)?;
        host.alter(Alteration::RemoveFile { path: MANIFEST })?;
        (context.progress)("waiting until etcd has ended");
        let mut away: Option<Instant> = None;
        let ended = wait::until(ENDS, Duration::from_secs(1), || {
            away =
                if containers::running(host, ETCD)?.is_empty() { away.or_else(|| Some(Instant::now())) } else { None };
            Ok::<_, StepError>(away.filter(|since| since.elapsed() >= STEADY).map(drop))
        })?;
        if ended.is_none() {
            let (what, state) = ("etcd has not ended".to_owned(), "is kubelet running on this host?".to_owned());
            return Err(StepError::Late { what, seconds: ENDS.as_secs(), state });
        }
        let aside = self.aside();
        aside.apply(host, context)?;
        // Where nothing was left of the data, or it stays below its own mount point, this is what tells that all of it is aside, and that
        // nothing of the new member is to be moved.
        Ok(host.alter(Alteration::MakeDirectory { path: &aside.beside(), mode: Mode::new(0o700) })?)
    }

    /// The data is that of a member that there is no more.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl MemberAside {
    fn aside(&self) -> SetAside {
        SetAside { path: self.path.clone(), name: self.name.clone() }
    }
}

impl Act for ApiServerBack {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let output = match host.run(&kubeadm::api_ready()) {
            Err(HostError::NoProgram { program }) => return Ok(Probe::not_done(format!("there is no {program}"))),
            output => output?,
        };
        Ok(if output.status == 0 { Probe::Done } else { Probe::not_done(output.complaint()) })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        Command::new("systemctl", ["restart", "kubelet.service"]).timeout(ENDS).must(host)?;
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the API server does not serve", || self.probe(host, context))
    }

    /// What serves, stays.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl Act for MembersAgree {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let said = status(host, &self.program)?;
        if said["agreed"] != true {
            return Ok(Probe::not_done("etcd has no majority here"));
        }
        let is_it = |member: &&Value| {
            let urls = member["peerUrls"].as_array().map(Vec::as_slice).unwrap_or_default();
            urls.iter().any(|url| url == self.peer_url.as_str())
        };
        let Some(member) = members(&said).find(is_it) else {
            return Ok(Probe::not_done(format!("etcd lists no member at {}", self.peer_url)));
        };
        if member["learner"] == true {
            return Ok(Probe::not_done(format!("the member at {} has no vote yet", self.peer_url)));
        }
        if let Some(problem) = unwell(&said, &member["id"]) {
            return Ok(Probe::not_done(format!("the member at {} is not well: {problem}", self.peer_url)));
        }
        // Its exit code tells, too, whether the others are well and one: they are not this one's matter.
        let output = host.run(&etcd(&self.program, &["status", "--hash"]))?;
        let compared: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        if compared["hashes"]["checks"].as_array().is_none_or(Vec::is_empty) {
            return Ok(Probe::not_done(output.complaint()));
        }
        let alone = alone_with_its_data(&compared["hashes"]["checks"], &member["id"]);
        Ok(alone.map_or(Probe::Done, |with| Probe::not_done(format!("the member at {} {with}", self.peer_url))))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the member is not one of etcd's", || self.probe(host, context))
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// What the member on this host says of its cluster; nothing where it does not answer. That not all is well is no failure here.
fn status(host: &dyn Host, program: &str) -> Result<Value, StepError> {
    let output = host.run(&etcd(program, &["status"]))?;
    Ok(serde_json::from_str(&output.stdout).unwrap_or_default())
}

fn members(said: &Value) -> impl Iterator<Item = &Value> {
    said["members"].as_array().into_iter().flatten()
}

/// What is wrong with the member of this id.
fn unwell(said: &Value, id: &Value) -> Option<String> {
    let state = said["states"].as_array().into_iter().flatten().find(|state| state["member"] == *id);
    let Some(state) = state else { return Some("nobody says how it is".to_owned()) };
    if let Some(problem) = state["problem"].as_str() {
        return Some(problem.to_owned());
    }
    let is_quiet = state["alarms"].as_array().is_some_and(Vec::is_empty);
    (!is_quiet).then(|| "it has raised an alarm".to_owned())
}

/// Why nobody confirms what the member of this id holds; nothing where one of the others holds the same. Hashes compare only among members that
/// were compacted at the same revision: where that is so of none, nothing speaks against it.
fn alone_with_its_data(checks: &Value, id: &Value) -> Option<String> {
    let checks = || checks.as_array().into_iter().flatten();
    let Some(own) = checks().find(|check| check["member"]["id"] == *id) else {
        return Some("does not say what it holds".to_owned());
    };
    let others = || checks().filter(|check| check["member"]["id"] != *id);
    if others().next().is_none() {
        return Some("is the only one that says what it holds".to_owned());
    }
    let comparable = || others().filter(|check| check["compacted"] == own["compacted"]);
    if comparable().next().is_none() || comparable().any(|check| check["hash"] == own["hash"]) {
        return None;
    }
    let names: Vec<&str> = comparable().filter_map(|check| check["member"]["name"].as_str()).collect();
    Some(format!("holds something else than {}", names.join(", ")))
}

fn etcd(program: &str, words: &[&str]) -> Command {
    let args = ["etcd"].into_iter().chain(words.iter().copied()).chain(["--of-control-plane", "--output", "json"]);
    Command::new(program, args).timeout(TAKES)
}
