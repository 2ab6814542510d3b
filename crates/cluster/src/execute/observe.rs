//! Looks at hosts: their facts for the planner, and what they say about the steps of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealock_node::request::{Event, EventKind, RUN_FORMAT};
use sealock_node::{HostFacts, Probe, RunRequest, Step};
use sealock_trust::Digest;

use super::remote::Remote;
use super::run::nonce;
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
        let (mut facts, mut asked) = ask(&remote).await?;
        if asked.was_clock_set() {
            (facts, asked) = ask(&remote).await?;
        }
        let clock_ahead_ms = asked.ahead_ms(facts.clock);
        Ok::<_, ExecuteError>((connection.host().to_owned(), Observation { facts, clock_ahead_ms }))
    });
    Ok(Inventory { hosts: of_all(observations).await?.into_iter().collect() })
}

async fn ask(remote: &Remote<'_>) -> Result<(HostFacts, Asked), ExecuteError> {
    let (before, begun) = (Timestamp::now(), Instant::now());
    let facts = remote.facts().await?;
    Ok((facts, Asked { before, took: begun.elapsed(), after: Timestamp::now() }))
}

/// When a host was asked, by the station's clock, and how long that took by one that nobody sets.
struct Asked {
    before: Timestamp,
    took: Duration,
    after: Timestamp,
}

impl Asked {
    /// Whether the station's clock was set meanwhile, by more than a clock is corrected in steps that nobody feels.
    fn was_clock_set(&self) -> bool {
        let by_clock = self.after.as_millisecond() - self.before.as_millisecond();
        (by_clock - milliseconds(self.took)).abs() > 500
    }

    /// How far `clock`, which the host read somewhere in between, is ahead of the station's as it is now.
    fn ahead_ms(&self, clock: Timestamp) -> i64 {
        let slack = milliseconds(self.took) / 2;
        let ahead = clock.as_millisecond() - (self.after.as_millisecond() - slack);
        if ahead.abs() <= slack { 0 } else { ahead }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the hosts say about the steps of `plan`. Nothing is changed.
///
/// # Errors
/// The first host that could not be asked.
pub async fn assess(connections: &[Arc<Connection>], kit: &Kit, plan: &Plan) -> Result<Assessment, ExecuteError> {
    let digest = &digest_of(plan)?;
    let hosts = connections.iter().map(|connection| async move {
        let remote = Remote::prepare(connection, &kit.binary).await?;
        let of_host = plan.tasks.iter().filter(|task| task.host == connection.host());
        let tasks: Vec<&Task> = of_host.collect();
        let look = Look { remote: &remote, kit, plan, digest, nonce: &nonce()?[..12] };
        match look.at_all(&tasks).await {
            Err(ExecuteError::Command { .. }) => look.at_each(&tasks).await,
            found => found,
        }
    });
    Ok(Assessment { tasks: of_all(hosts).await?.into_iter().flatten().collect() })
}

/// What a host says of the steps of tasks, by the task's id.
type Found = Vec<(String, BTreeMap<String, Probe>)>;

/// A look at how far a host is with its tasks.
#[derive(Clone, Copy)]
struct Look<'a> {
    remote: &'a Remote<'a>,
    kit: &'a Kit,
    plan: &'a Plan,
    digest: &'a Digest,
    /// Tells its folder on the host from that of another station, or another command, that looks at the same time.
    nonce: &'a str,
}

impl Look<'_> {
    /// In one go: an upgrade has a dozen tasks for a control plane.
    async fn at_all(&self, tasks: &[&Task]) -> Result<Found, ExecuteError> {
        let Some(first) = tasks.first() else { return Ok(Vec::new()) };
        let request = RunRequest { steps: numbered(tasks), ..request(self.plan, self.digest, first, 0, "") };
        let name = format!("probe-{}-all", self.nonce);
        let lines = self.remote.probe((&request, tasks.len()), &name, self.kit).await?;
        Ok(by_task(tasks, probes(self.remote, &lines)?))
    }

    /// One after the other, where the host could not say it of one of them: what it can say of the others counts.
    async fn at_each(&self, tasks: &[&Task]) -> Result<Found, ExecuteError> {
        let mut all = Vec::new();
        for (n, task) in tasks.iter().enumerate() {
            let request = request(self.plan, self.digest, task, 0, "");
            let name = format!("probe-{}-{n}", self.nonce);
            let found = match self.remote.probe((&request, 1), &name, self.kit).await {
                Ok(lines) => probes(self.remote, &lines)?,
                Err(ExecuteError::Command { said, .. }) => unknown(task, &said),
                Err(error) => return Err(error),
            };
            all.push((task.id.clone(), found));
        }
        Ok(all)
    }
}

/// The steps of all tasks, called by their numbers: one name may stand in several tasks.
fn numbered(tasks: &[&Task]) -> Vec<Step> {
    let steps = tasks.iter().flat_map(|task| &task.steps).enumerate();
    steps.map(|(n, step)| Step { id: n.to_string(), ..step.clone() }).collect()
}

/// What was said of steps that are [`numbered`], by task and by their own names.
fn by_task(tasks: &[&Task], mut said: BTreeMap<String, Probe>) -> Found {
    let mut numbers = 0_usize..;
    let mut of_task = |task: &&Task| {
        let named = task.steps.iter().zip(numbers.by_ref());
        let found = named.filter_map(|(step, n)| Some((step.id.clone(), said.remove(&n.to_string())?)));
        (task.id.clone(), found.collect())
    };
    tasks.iter().map(&mut of_task).collect()
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

#[cfg(test)]
mod tests {
    use sealock_node::step::Uncordoned;

    use super::*;

    #[test]
    fn what_a_host_says_in_one_go_is_told_apart_by_task() {
        let step = |id: &str| Step::new(id, Uncordoned { node: "w1".to_owned() });
        let task = |id: &str, steps: &[&str]| Task {
            id: id.to_owned(),
            host: "cp1".to_owned(),
            after: Vec::new(),
            secrets: Vec::new(),
            steps: steps.iter().map(|id| step(id)).collect(),
        };
        let tasks = [task("a", &["ready", "back"]), task("none", &[]), task("b", &["ready"]), task("c", &["ready"])];
        let tasks: Vec<&Task> = tasks.iter().collect();
        let ids: Vec<String> = numbered(&tasks).into_iter().map(|step| step.id).collect();
        assert_eq!(ids, ["0", "1", "2", "3"]);
        let said = [("0", Probe::Done), ("1", Probe::not_done("no")), ("3", Probe::Done)];
        let found = by_task(&tasks, said.map(|(n, probe)| (n.to_owned(), probe)).into());
        let of = |task: &str, steps: &[(&str, Probe)]| {
            (task.to_owned(), steps.iter().map(|(id, probe)| ((*id).to_owned(), probe.clone())).collect())
        };
        let a = of("a", &[("ready", Probe::Done), ("back", Probe::not_done("no"))]);
        assert_eq!(found, [a, of("none", &[]), of("b", &[]), of("c", &[("ready", Probe::Done)])]);
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn that_the_stations_clock_was_set_while_a_host_was_asked_is_noticed_and_is_not_the_hosts_fault() {
        let took = Duration::from_secs(2);
        let steady = Asked { before: at(0), took, after: at(2) };
        assert!(!steady.was_clock_set());
        assert_eq!((steady.ahead_ms(at(2)), steady.ahead_ms(at(90)), steady.ahead_ms(at(-89))), (0, 89_000, -90_000));
        for set in [-90_000, 90_000] {
            let asked = Asked { before: at(0), took, after: at(2 + set) };
            assert!(asked.was_clock_set());
            // By what the station's clock says now; the host reads its own, which may have been set with it.
            assert_eq!(asked.ahead_ms(at(1 + set)), 0);
        }
    }
}
