//! What Helm is asked, and what it keeps in the cluster.

use std::time::Duration;

use sealock_trust::Digest;
use serde::Deserialize;
use serde_json::Value;

use super::programs::Programs;
use super::render::{How, RenderedChart, values_arguments};
use super::revision::KeptByHelm;
use crate::programs::ProgramError;

/// How long one question may take.
const ASK: Duration = Duration::from_secs(60);
/// What Helm takes beside hooks: sending objects, and waiting for what it deletes.
const WORK: Duration = Duration::from_secs(120);
/// More than revisions are kept, since Helm counts failed ones, too.
const HISTORY: &str = "20";

/// An installation of a chart: Helm calls it a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installation<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

/// The newest revision of an installation.
#[derive(Debug, Deserialize)]
pub(super) struct HelmState {
    pub(super) revision: u64,
    status: String,
}

impl HelmState {
    /// Whether somebody ended Helm in the middle of its work. It refuses to go on by itself then.
    pub(super) fn is_interrupted(&self) -> bool {
        self.status.starts_with("pending-")
    }

    pub(super) fn is_uninstalled(&self) -> bool {
        self.status == "uninstalled"
    }
}

impl<'a> From<&'a RenderedChart> for Installation<'a> {
    fn from(chart: &'a RenderedChart) -> Self {
        Self { name: &chart.name, namespace: &chart.namespace }
    }
}

impl Installation<'_> {
    /// Its newest revision, if there is any.
    pub(super) async fn state(&self, programs: &Programs) -> Result<Option<HelmState>, ProgramError> {
        let asked = self.ask(programs, &["history"], &["--max", "1", "--output", "json"]).await;
        let answer = match asked {
            Err(ProgramError::Failed { said, .. }) if said.contains("release: not found") => return Ok(None),
            asked => asked?,
        };
        let states: Vec<HelmState> = understand("helm history", &answer)?;
        Ok(states.into_iter().next_back())
    }

    /// What it keeps of one of its revisions, the newest where none is named: objects, then hooks.
    pub(super) async fn objects(
        &self,
        programs: &Programs,
        revision: Option<u64>,
    ) -> Result<[String; 2], ProgramError> {
        let revision = revision.map(|revision| revision.to_string());
        let which = revision.as_ref().map_or(vec![], |revision| vec!["--revision", revision.as_str()]);
        let objects = self.ask(programs, &["get", "manifest"], &which).await?;
        let hooks = self.ask(programs, &["get", "hooks"], &which).await?;
        Ok([objects, hooks].map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    /// The values that were given to its newest revision.
    pub(super) async fn values(&self, programs: &Programs) -> Result<Value, ProgramError> {
        let answer = self.ask(programs, &["get", "values"], &["--output", "json"]).await?;
        understand("helm get values", &answer)
    }

    /// What can come back of the present state.
    pub(super) async fn kept(&self, programs: &Programs) -> Result<Option<KeptByHelm>, ProgramError> {
        let Some(state) = self.state(programs).await? else { return Ok(None) };
        let texts = self.objects(programs, Some(state.revision)).await?;
        Ok(Some(KeptByHelm { revision: state.revision, digest: digest(&texts) }))
    }

    /// Takes it away. What Helm knows of it stays for a rollback where `keep_history` says so.
    pub(super) async fn uninstall(
        &self,
        programs: &Programs,
        keep_history: bool,
        hooks: Duration,
    ) -> Result<(), ProgramError> {
        let seconds = seconds(hooks);
        let mut arguments = vec!["uninstall", self.name, "--namespace", self.namespace, "--ignore-not-found", "--wait"];
        arguments.extend(["--timeout", &seconds]);
        arguments.extend(keep_history.then_some("--keep-history"));
        programs.helm(&arguments, hooks + WORK).await.map(drop)
    }

    async fn ask(&self, programs: &Programs, verb: &[&str], more: &[&str]) -> Result<Vec<u8>, ProgramError> {
        programs.helm(&[verb, &[self.name, "--namespace", self.namespace], more].concat(), ASK).await
    }
}

/// The arguments that bring `chart`, where each of its hooks may take as long as `hooks`, and how long all may take.
pub(super) fn bringing(chart: &RenderedChart, hooks: Duration) -> (Vec<String>, Duration) {
    let mut arguments: Vec<String> = match &chart.how {
        How::Install { archive, values } => {
            let install = ["upgrade", "--install", &chart.name, &archive.to_string_lossy()].map(ToOwned::to_owned);
            install.into_iter().chain(values_arguments(values)).collect()
        }
        How::Restore { revision } => ["rollback", &chart.name, &revision.to_string()].map(ToOwned::to_owned).to_vec(),
    };
    let common = ["--namespace", &chart.namespace, "--timeout", &seconds(hooks), "--history-max", HISTORY];
    arguments.extend(common.map(ToOwned::to_owned));
    // Several hooks come one after the other.
    (arguments, hooks * 4 + WORK)
}

/// Of objects and hooks as Helm prints them.
pub(super) fn digest([objects, hooks]: &[String; 2]) -> Digest {
    Digest::sha256(format!("{objects}\0{hooks}").as_bytes())
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs().max(1))
}

fn understand<T: serde::de::DeserializeOwned>(command: &str, answer: &[u8]) -> Result<T, ProgramError> {
    serde_json::from_slice(answer)
        .map_err(|error| ProgramError::Failed { command: command.into(), said: error.to_string() })
}
