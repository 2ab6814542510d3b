//! Takes the pods of a node away, as fast as budgets let them go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::NodeError;
use super::api::{Api, Evicted};
use super::draining::{Draining, Leaving, PodName, Rules};
use crate::apps::Target;

/// Between two looks at what is left.
const EVERY: Duration = Duration::from_secs(1);

/// What happens meanwhile, for whoever waits.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// It is known what leaves; the node takes no new pods.
    Begun(&'a Draining),
    /// A pod is gone.
    Gone(&'a PodName),
    /// What is still there, and what it waits for.
    Waiting(&'a [(PodName, String)]),
}

/// What a drain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drained {
    /// How many pods left.
    pub evicted: usize,
    /// How many stayed, as they should.
    pub stayed: usize,
}

/// What draining `node` would do. Nothing is changed.
///
/// # Errors
/// [`NodeError::NotANode`], [`NodeError::Held`]; what kubectl says.
pub async fn look(node: &str, rules: Rules, target: &Target<'_>) -> Result<Draining, NodeError> {
    of_node(&Api::open(target)?, node, rules).await
}

/// Whether `node` takes no new pods.
///
/// # Errors
/// [`NodeError::NotANode`]; what kubectl says.
pub async fn is_cordoned(node: &str, target: &Target<'_>) -> Result<bool, NodeError> {
    Api::open(target)?.is_cordoned(node).await
}

/// Cordons `node`, and evicts its pods, at most until `timeout` is over.
///
/// Cut off anywhere, or refused by a budget for too long, it can be run again: what is gone is gone, the rest is asked for anew.
///
/// # Errors
/// As [`look`], before anything is changed; [`NodeError::NotEmpty`].
pub async fn drain(
    node: &str,
    rules: Rules,
    timeout: Duration,
    target: &Target<'_>,
    progress: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<Drained, NodeError> {
    let api = Api::open(target)?;
    let draining = of_node(&api, node, rules).await?;
    api.mark(node, "cordon").await?;
    progress(&Progress::Begun(&draining));
    let mut leaving = Round { api: &api, node, left: draining.leaving.clone(), ending: BTreeSet::new() };
    let deadline = Instant::now() + timeout;
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let kept = leaving.ask(progress).await?;
        if leaving.left.is_empty() {
            return Ok(Drained { evicted: draining.leaving.len(), stayed: draining.staying.len() });
        }
        let waiting = leaving.waiting(&kept).await?;
        progress(&Progress::Waiting(&waiting));
        if Instant::now() >= deadline {
            return Err(NodeError::NotEmpty { node: node.to_owned(), seconds: timeout.as_secs(), pods: waiting });
        }
    }
}

async fn of_node(api: &Api<'_>, node: &str, rules: Rules) -> Result<Draining, NodeError> {
    api.find(node).await?;
    let draining = Draining::of(&api.pods(node).await?, rules);
    if draining.held.is_empty() {
        return Ok(draining);
    }
    Err(NodeError::Held { node: node.to_owned(), pods: draining.held })
}

/// What is left of a drain.
struct Round<'a> {
    api: &'a Api<'a>,
    node: &'a str,
    left: Vec<Leaving>,
    /// Pods that were told to end, by their uid.
    ending: BTreeSet<String>,
}

impl Round<'_> {
    /// Forgets what is gone, and asks for the eviction of what has not been told to end. Answers what is kept, and by which words.
    async fn ask(&mut self, progress: &(dyn Fn(&Progress<'_>) + Sync)) -> Result<BTreeMap<PodName, String>, NodeError> {
        self.forget_gone(progress).await?;
        let mut kept = BTreeMap::new();
        for leaving in &self.left {
            if self.ending.contains(&leaving.uid) {
                continue;
            }
            match self.api.evict(leaving).await? {
                Evicted::Kept(words) => {
                    kept.insert(leaving.pod.clone(), words);
                }
                // The next look says whether it is gone.
                Evicted::Ending | Evicted::Gone => {
                    self.ending.insert(leaving.uid.clone());
                }
            }
        }
        Ok(kept)
    }

    async fn forget_gone(&mut self, progress: &(dyn Fn(&Progress<'_>) + Sync)) -> Result<(), NodeError> {
        let pods = self.api.pods(self.node).await?;
        let there: BTreeSet<&str> =
            pods.iter().filter_map(|pod| pod.pointer("/metadata/uid").and_then(Value::as_str)).collect();
        let (left, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(|leaving| there.contains(leaving.uid.as_str()));
        self.left = left;
        gone.iter().for_each(|leaving| progress(&Progress::Gone(&leaving.pod)));
        Ok(())
    }

    /// What each pod waits for.
    async fn waiting(&self, kept: &BTreeMap<PodName, String>) -> Result<Vec<(PodName, String)>, NodeError> {
        let budgets = if kept.is_empty() { Vec::new() } else { self.api.tight_budgets().await? };
        let why = |pod: &PodName| match kept.get(pod) {
            None => "it is ending".to_owned(),
            Some(words) => {
                let of_namespace = budgets.iter().filter(|(namespace, _)| *namespace == pod.namespace);
                let told: Vec<&str> = of_namespace.map(|(_, budget)| budget.as_str()).collect();
                if told.is_empty() { words.clone() } else { told.join("; ") }
            }
        };
        Ok(self.left.iter().map(|leaving| (leaving.pod.clone(), why(&leaving.pod))).collect())
    }
}
