//! Helm runs hooks by itself: by weight, kind and name, with its deletion policies. Meanwhile their pods are watched here, since
//! a hook that failed may be gone by the time that Helm says so, and its log with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::blocked::{Blocked, examine};
use super::helm::bringing;
use super::objects::{Object, origin_of_chart};
use super::programs::Programs;
use super::render::{Rendered, RenderedChart};
use super::wait::list;
use super::{AppError, Attempt, Progress};
use crate::programs::ProgramError;

const EVERY: Duration = Duration::from_millis(500);

/// Lets Helm bring `chart`, and tells which of its hooks run.
pub(super) async fn bring(
    programs: &Programs,
    rendered: &Rendered,
    chart: &RenderedChart,
    attempt: &Attempt<'_>,
) -> Result<(), AppError> {
    let (arguments, limit) = bringing(chart, attempt.timeout);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut watch = Watch::begin(programs, rendered, chart, attempt).await?;
    let work = programs.helm(&arguments, limit);
    tokio::pin!(work);
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = looks.tick(), if !watch.is_idle() => watch.look().await,
        }
    };
    match outcome {
        Ok(_) => Ok(()),
        Err(ProgramError::Failed { said, .. }) if is_of_a_hook(&said) => {
            watch.look().await;
            let (chart, hooks) = (chart.name.clone(), watch.failed());
            Err(AppError::Hook { chart, said: in_one_line(&said), hooks })
        }
        Err(error) => Err(error.into()),
    }
}

/// The hooks of a chart that are pods, or become pods.
struct Watch<'a> {
    programs: &'a Programs,
    attempt: &'a Attempt<'a>,
    /// What to ask for in which namespace.
    asked: BTreeSet<(String, String)>,
    /// Pods that were there before: they are of an earlier time.
    before: BTreeSet<String>,
    /// What is known of the others, by name.
    pods: BTreeMap<String, Option<Blocked>>,
}

impl<'a> Watch<'a> {
    async fn begin(
        programs: &'a Programs,
        rendered: &Rendered,
        chart: &RenderedChart,
        attempt: &'a Attempt<'a>,
    ) -> Result<Self, AppError> {
        let origin = origin_of_chart(&chart.name);
        let mine = rendered.objects.iter().filter(|object| object.place.origin == origin);
        let asked = mine.filter_map(question).collect();
        let mut watch = Self { programs, attempt, asked, before: BTreeSet::new(), pods: BTreeMap::new() };
        watch.before = watch.ask().await?.iter().map(uid).collect();
        Ok(watch)
    }

    fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// What cannot be seen now is seen the next time, or Helm says it.
    async fn look(&mut self) {
        for pod in self.ask().await.unwrap_or_default() {
            if self.before.contains(&uid(&pod)) {
                continue;
            }
            let name = text(&pod, "/metadata/name").to_owned();
            if !self.pods.contains_key(&name) {
                let pod = format!("{}/{name}", text(&pod, "/metadata/namespace"));
                (self.attempt.progress)(&Progress::Hook { pod: &pod });
            }
            let is_fine = text(&pod, "/status/phase") == "Succeeded";
            let mut blocked = if is_fine { None } else { Some(examine(self.programs, &pod, &[]).await) };
            // A pod that is being deleted gives out no log any more.
            if let (Some(now), Some(Some(before))) = (&mut blocked, self.pods.get_mut(&name))
                && now.log.is_empty()
            {
                now.log = std::mem::take(&mut before.log);
            }
            self.pods.insert(name, blocked);
        }
    }

    async fn ask(&self) -> Result<Vec<Value>, AppError> {
        let mut pods = Vec::new();
        for (namespace, question) in &self.asked {
            pods.extend(list(self.programs, &["pods", "--namespace", namespace, question]).await?);
        }
        Ok(pods)
    }

    fn failed(self) -> Vec<Blocked> {
        self.pods.into_values().flatten().collect()
    }
}

/// Helm names the moment: `pre-upgrade hooks failed`, `failed pre-install`. A webhook is something else.
fn is_of_a_hook(said: &str) -> bool {
    let moments = ["install", "upgrade", "rollback"];
    moments.iter().any(|moment| said.contains(&format!("pre-{moment}")) || said.contains(&format!("post-{moment}")))
}

/// How kubectl is asked for the pods of a hook: its namespace, and what selects them.
fn question(object: &Object) -> Option<(String, String)> {
    if object.hooks().is_empty() {
        return None;
    }
    let name = &object.place.name;
    let selector = match object.place.kind.as_str() {
        "Job" => format!("--selector=batch.kubernetes.io/job-name={name}"),
        "Pod" => format!("--field-selector=metadata.name={name}"),
        _ => return None,
    };
    Some((object.namespace().unwrap_or(&object.home).to_owned(), selector))
}

fn uid(pod: &Value) -> String {
    text(pod, "/metadata/uid").to_owned()
}

fn text<'a>(pod: &'a Value, pointer: &str) -> &'a str {
    pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Helm writes a list of errors over several lines.
fn in_one_line(said: &str) -> String {
    let words = said.replace("1 error occurred:;", "").replace("* ", "");
    words.split_whitespace().collect::<Vec<_>>().join(" ").trim_start_matches("Error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::objects;
    use super::*;

    #[test]
    fn of_hooks_jobs_and_pods_are_watched() {
        let text = "\
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}
---
kind: Pod
metadata: {name: ask, namespace: other, annotations: {helm.sh/hook: post-install}}
---
kind: ConfigMap
metadata: {name: words, annotations: {helm.sh/hook: pre-upgrade}}
---
kind: Job
metadata: {name: ordinary}
";
        let objects = objects::parse("chart web", "demo", text).unwrap();
        let asked: Vec<_> = objects.iter().filter_map(question).collect();
        let expected = [
            ("demo".to_owned(), "--selector=batch.kubernetes.io/job-name=migrate".to_owned()),
            ("other".to_owned(), "--field-selector=metadata.name=ask".to_owned()),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_webhook_is_no_hook() {
        assert!(is_of_a_hook(
            "Error: INSTALLATION FAILED: failed pre-install: job migrate failed: BackoffLimitExceeded"
        ));
        assert!(!is_of_a_hook("Error: UPGRADE FAILED: failed calling webhook \"check.example.org\": timeout"));
    }

    #[test]
    fn what_helm_says_of_a_hook_becomes_one_sentence() {
        let said = "Error: UPGRADE FAILED: pre-upgrade hooks failed: 1 error occurred:; * job migrate failed: BackoffLimitExceeded";
        assert_eq!(
            in_one_line(said),
            "UPGRADE FAILED: pre-upgrade hooks failed: job migrate failed: BackoffLimitExceeded"
        );
    }
}
