//! etcd, asked before one of its members goes away, and when it is back.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host, HostError};
use crate::step::node_ready::settle;
use crate::step::{Act, Probe};

const PKI: &str = "/etc/kubernetes/pki/etcd";

/// Waits until every member of etcd serves, votes and has raised no alarm, by the word of a majority; runs on a control plane host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdWell {
    /// Absolute path of Sealock on this host.
    pub program: String,
    /// How many members there are to be.
    pub members: u32,
    /// The member, by name, that need not be well itself: it is about to be mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub but: Option<String>,
    /// How long to wait.
    pub timeout_seconds: u32,
}

/// What `sealock etcd status` says.
#[derive(Deserialize)]
struct Said {
    agreed: bool,
    members: Vec<Member>,
    states: Vec<State>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    name: String,
    learner: bool,
}

#[derive(Deserialize)]
struct State {
    member: String,
    problem: Option<String>,
    alarms: Vec<serde::de::IgnoredAny>,
}

impl Said {
    /// Whether every member serves, votes and has raised no alarm, but for that of this name.
    fn is_well_but(&self, but: Option<&str>) -> bool {
        let is_well = |member: &Member| {
            let mut states = self.states.iter().filter(|state| state.member == member.id);
            !member.learner && states.any(|state| state.problem.is_none() && state.alarms.is_empty())
        };
        self.members.iter().filter(|member| but != Some(member.name.as_str())).all(is_well)
    }
}

impl fmt::Display for EtcdWell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, timeout_seconds, but, .. } = self;
        let who = match members {
            1 => "the only member of etcd is".to_owned(),
            more => format!("all {more} members of etcd are"),
        };
        let but = but.as_ref().map_or_else(String::new, |but| format!(", but for that of {but}"));
        write!(f, "wait until {who} well{but} (at most {timeout_seconds} s)")
    }
}

impl Act for EtcdWell {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let [ca, certificate, key] =
            ["ca.crt", "healthcheck-client.crt", "healthcheck-client.key"].map(|name| format!("{PKI}/{name}"));
        let mut args = vec!["etcd", "status", "--endpoint", "127.0.0.1:2379"];
        args.extend(["--cacert", &ca, "--cert", &certificate, "--key", &key, "--output", "json"]);
        let output = match host.run(&Command::new(&self.program, args)) {
            Err(HostError::NoProgram { program }) => return Ok(Probe::not_done(format!("there is no {program}"))),
            output => output?,
        };
        let Ok(said) = serde_json::from_str::<Said>(&output.stdout) else {
            return Ok(Probe::not_done(format!("etcd does not say: {}", output.complaint())));
        };
        let found = said.members.len();
        Ok(match (said.agreed, said.is_well_but(self.but.as_deref())) {
            (false, _) => Probe::not_done("no majority of etcd answers"),
            (true, false) => Probe::not_done("not all members of etcd are well"),
            (true, true) if found != self.members as usize => {
                Probe::not_done(format!("etcd has {found} members, and not {}", self.members))
            }
            (true, true) => Probe::Done,
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "etcd is not well", || self.probe(host, context))
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
