//! Looks at hosts: their facts for the planner, and what they say about the steps of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sealock_node::request::{Event, EventKind, RUN_FORMAT};
use sealock_node::{Probe, RunRequest};
use sealock_trust::Digest;

use super::remote::Remote;
use super::{Binary, Connection, ExecuteError, Kit, of_all};
use crate::inventory::{Inventory, Observation};
use crate::plan::{Assessment, Plan, Task};

/// What all hosts say about themselves, asked at the same time. The binary is brought to those that lack it; nothing else
/// is changed.
///
/// # Errors
/// The first host that could not be asked.
pub async fn observe(connections: &[Arc<Connection>], binary: &Binary) -> Result<Inventory, ExecuteError> {
    let observations = connections.iter().map(|connection| async move {
        let remote = Remote::prepare(connection, binary).await?;
        let before = Timestamp::now();
        let facts = remote.facts().await?;
        let after = Timestamp::now();
        // The host read its clock somewhere in between.
        let station = before.as_millisecond().midpoint(after.as_millisecond());
        let slack = (after.as_millisecond() - before.as_millisecond()) / 2;
        let ahead = facts.clock.as_millisecond() - station;
        let clock_ahead_ms = if ahead.abs() <= slack { 0 } else { ahead };
        Ok::<_, ExecuteError>((connection.host().to_owned(), Observation { facts, clock_ahead_ms }))
    });
    Ok(Inventory { hosts: of_all(observations).await?.into_iter().collect() })
}

/// What the hosts say about the steps of `plan`. Nothing is changed.
///
/// # Errors
/// The first host that could not be asked.
pub async fn assess(connections: &[Arc<Connection>], kit: &Kit, plan: &Plan) -> Result<Assessment, ExecuteError> {
    let digest = &digest_of(plan)?;
    let hosts = connections.iter().map(|connection| async move {
        let remote = Remote::prepare(connection, &kit.binary).await?;
        let mut tasks = Vec::new();
        for task in plan.tasks.iter().filter(|task| task.host == connection.host()) {
            let request = request(plan, digest, task, 0, "");
            let name = format!("probe-{}", task.id.replace('/', "-"));
            let found = match remote.probe(&request, &name, kit).await {
                Ok(lines) => probes(&remote, &lines)?,
                Err(ExecuteError::Command { said, .. }) => unknown(task, &said),
                Err(error) => return Err(error),
            };
            tasks.push((task.id.clone(), found));
        }
        Ok::<_, ExecuteError>(tasks)
    });
    Ok(Assessment { tasks: of_all(hosts).await?.into_iter().flatten().collect() })
}

/// The digest of `plan`: for a thousand hosts that is one of 59 MB, and taken once.
pub(super) fn digest_of(plan: &Plan) -> Result<Digest, ExecuteError> {
    plan.digest().map_err(|error| ExecuteError::InvalidPlan { problem: error.to_string() })
}

/// The host's part of `plan`, of that digest, that is `task`.
pub(super) fn request(plan: &Plan, digest: &Digest, task: &Task, generation: u64, nonce: &str) -> RunRequest {
    RunRequest {
        format: RUN_FORMAT.into(),
        plan: digest.clone(),
        node: task.host.clone(),
        generation,
        nonce: nonce.into(),
        registry: Some(plan.registry.clone()),
        steps: task.steps.clone(),
    }
}

/// A host that cannot say how far a task is does not keep others from being planned.
fn unknown(task: &Task, said: &str) -> BTreeMap<String, Probe> {
    task.steps.iter().map(|step| (step.id.clone(), Probe::unknown(said))).collect()
}

fn probes(remote: &Remote<'_>, lines: &[u8]) -> Result<BTreeMap<String, Probe>, ExecuteError> {
    let mut found = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Event =
            serde_json::from_slice(line).map_err(|source| remote.not_understood("sealock node probe", source))?;
        if let EventKind::StepProbed { step, probe } = event.what {
            found.insert(step, probe);
        }
    }
    Ok(found)
}
