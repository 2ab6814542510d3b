//! One member of the etcd of a cluster's control planes that is lost, and comes again: it is taken out, its data goes aside, kubeadm brings
//! it without a vote, and it is looked at among the others.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::aside::SetAside;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Alteration, Command, Host};
use crate::step::node_ready::settle;
use crate::step::{Act, Mode, Probe, containers};
use crate::wait;

const PKI: &str = "/etc/kubernetes/pki/etcd";
const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
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

/// Waits until a member of the etcd of this control plane host votes, every one is well, and all of them hold the same.
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
            "wait until the member at {} votes, and all members hold the same (at most {} s)",
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
        let is_listed = members(&said).any(|member| member["id"] == self.id.as_str());
        Ok(if is_listed { Probe::not_done(format!("etcd lists member {}", self.id)) } else { Probe::Done })
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
        let is_aside = self.aside().is_there(host)?;
        Ok(if is_aside { Probe::Done } else { Probe::not_done(format!("{} was not moved aside", self.path)) })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
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
        // Where nothing was left of the data, this is what tells that nothing of the new member is to be moved.
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

impl Act for MembersAgree {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let said = status(host, &self.program)?;
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
        if said["well"] != true {
            return Ok(Probe::not_done("not every member of etcd is well"));
        }
        let compared = host.run(&etcd(&self.program, &["status", "--hash"]))?;
        Ok(if compared.status == 0 { Probe::Done } else { Probe::not_done(compared.complaint()) })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the members of etcd are not one", || self.probe(host, context))
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

fn etcd(program: &str, words: &[&str]) -> Command {
    let [ca, certificate, key] =
        ["ca.crt", "healthcheck-client.crt", "healthcheck-client.key"].map(|name| format!("{PKI}/{name}"));
    let rights = ["--endpoint", "127.0.0.1:2379", "--cacert", &ca, "--cert", &certificate, "--key", &key];
    let args = ["etcd"].into_iter().chain(words.iter().copied()).chain(rights).chain(["--output", "json"]);
    Command::new(program, args).timeout(TAKES)
}
