//! Carries out a plan: task after task, on all hosts at once where the plan allows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sealock_node::request::{Event, EventKind, Failure};
use tokio::io::BufReader;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::last_words;
use super::events::{self, Next};
use super::observe::{digest_of, request};
use super::pool::Pool;
use super::remote::{self, FOLLOW, Kit, Remote, folder, unit};
use super::schedule::Schedule;
use super::{Connection, ExecuteError, HOSTS_AT_ONCE, mint, restart, spare};
use crate::inventory::Inventory;
use crate::journal::Journal;
use crate::plan::{Assessment, Plan, Task};

/// What happens while a plan is carried out, for whoever waits.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A task begins.
    TaskStarted {
        /// The task.
        task: &'a Task,
    },
    /// A task goes on that an earlier attempt has begun.
    TaskFound {
        /// The task.
        task: &'a Task,
    },
    /// A host says something.
    Event {
        /// The task.
        task: &'a Task,
        /// What.
        event: &'a Event,
    },
    /// Something that an earlier attempt has begun still runs on a host, and is waited for.
    Occupied {
        /// The host.
        host: &'a str,
    },
    /// The host's machine is started anew by the task, and waited for.
    Restarting {
        /// The host.
        host: &'a str,
    },
    /// The connection was lost, and is made anew; the host goes on meanwhile.
    Reconnecting {
        /// The host.
        host: &'a str,
    },
    /// All steps of a task are done.
    TaskDone {
        /// The task.
        task: &'a Task,
        /// How many steps changed something.
        changed: usize,
    },
}

/// What carrying out a plan takes.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the hosts said about themselves.
    pub inventory: &'a Inventory,
    /// What the hosts said about the plan's steps. Tasks that were found done are passed over.
    pub assessment: &'a Assessment,
    /// A connection to each host.
    pub connections: &'a [Arc<Connection>],
    /// What every host gets.
    pub kit: &'a Kit,
}

/// How often a connection may be lost while one task is begun.
const ATTEMPTS: usize = 3;

struct Run<'a> {
    plan: &'a Plan,
    digest: sealock_trust::Digest,
    pool: Pool,
    kit: &'a Kit,
    generation: u64,
    nonce: String,
    assessment: &'a Assessment,
    progress: &'a (dyn Fn(&Progress<'_>) + Sync),
}

/// Carries out a plan, journaled in `journal`, and gives back how many steps changed something.
///
/// # Errors
/// The first failure. Tasks that are under way then are waited for; none is begun.
pub async fn execute(
    execution: Execution<'_>,
    journal: &mut Journal,
    progress: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<usize, ExecuteError> {
    let Execution { plan, inventory, assessment, connections, kit } = execution;
    if let Some((host, step, found)) = assessment.obstacles(plan).into_iter().next() {
        return Err(ExecuteError::Obstacle { host: host.into(), step: step.into(), found: found.into() });
    }
    let run = Run {
        plan,
        digest: digest_of(plan)?,
        pool: Pool::new(connections),
        kit,
        generation: generation(inventory),
        nonce: nonce()?,
        assessment,
        progress,
    };
    run.all_tasks(journal).await
}

/// The number of the next run: one above the highest that any host has seen.
pub(crate) fn generation(inventory: &Inventory) -> u64 {
    let fences = inventory.hosts.values().filter_map(|observation| observation.facts.fence.as_ref());
    1 + fences.map(|fence| fence.generation).max().unwrap_or(0)
}

/// Sixteen random bytes, in hexadecimal digits.
pub(super) fn nonce() -> Result<String, ExecuteError> {
    let mut bytes = [0; 16];
    let failed = |source: rustix::io::Errno| ExecuteError::Io {
        action: "read random bytes from",
        path: "/dev/urandom".into(),
        source: source.into(),
    };
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(failed)?;
    Ok(hex::encode(bytes))
}

impl Run<'_> {
    async fn all_tasks(&self, journal: &mut Journal) -> Result<usize, ExecuteError> {
        let mut schedule = Schedule::new(self.plan)?;
        let mut passed_over: BTreeSet<&str> = BTreeSet::new();
        let mut under_way = FuturesUnordered::new();
        let mut changed = 0;
        let mut failure: Option<ExecuteError> = None;
        loop {
            while under_way.len() < HOSTS_AT_ONCE
                && let (None, Some((n, task))) = (&failure, schedule.startable())
            {
                schedule.begin(task);
                if self.is_done_still(task, &passed_over) {
                    passed_over.insert(&task.id);
                    schedule.finish(task);
                    continue;
                }
                journal.task_begun(&task.id)?;
                under_way.push(async move { (task, self.task(n, task).await) });
            }
            match under_way.next().await {
                None => break,
                Some((task, Ok(steps))) => {
                    journal.task_done(&task.id)?;
                    schedule.finish(task);
                    changed += steps;
                    (self.progress)(&Progress::TaskDone { task, changed: steps });
                }
                Some((task, Err(error))) => {
                    journal.task_failed(&task.id, &error.to_string())?;
                    // The first failure is the cause; what fails while the rest ends is told in the log.
                    if let Some(first) = &failure {
                        tracing::warn!(%first, %error, task = task.id, "another task failed too");
                    } else {
                        failure = Some(error);
                    }
                }
            }
        }
        failure.map_or(Ok(changed), Err)
    }

    /// Whether it was found done, and nothing was carried out since that it comes after. What takes secrets changes nothing that was
    /// found done: for its sake none are minted.
    fn is_done_still(&self, task: &Task, passed_over: &BTreeSet<&str>) -> bool {
        let untouched = || task.after.iter().all(|before| passed_over.contains(before.as_str()));
        self.assessment.is_done(task) && (!task.secrets.is_empty() || untouched())
    }

    async fn task(&self, n: usize, task: &Task) -> Result<usize, ExecuteError> {
        let unit = unit(self.plan.purpose.as_str(), &self.digest, n);
        let outcome = match restart::of(task) {
            None => self.carried_out(&unit, task).await,
            Some(time) => self.through_restart(&unit, task, time).await,
        };
        if outcome.is_ok() {
            // Only a courtesy: the folder lies in memory, and the next run of the same name empties it.
            let _ = remote::forget(&*self.pool.current(&task.host)?, &unit).await;
        }
        outcome
    }

    /// Begins `task` as `unit`, or finds it begun, and follows it to its end.
    async fn carried_out(&self, unit: &str, task: &Task) -> Result<usize, ExecuteError> {
        self.persist(async || self.begin(unit, task).await).await?;
        let mut follower = Follower { run: self, unit, task, read: 0, changed: 0, step: None };
        loop {
            match follower.follow(&*self.pool.current(&task.host)?).await {
                Err(ExecuteError::Lost { host, source }) if restart::of(task).is_none() => {
                    self.reconnect(&host, &source).await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// The same for a task that ends with its machine, which may be away for `time`.
    async fn through_restart(&self, unit: &str, task: &Task, time: Duration) -> Result<usize, ExecuteError> {
        let before = self.persist(async || self.pool.current(&task.host)?.boot().await).await?;
        match self.carried_out(unit, task).await {
            Err(error) if restart::may_have_ended(&error) => {
                self.until_restarted(task, (&before, time), error).await?;
                // What it came to is found done now.
                self.carried_out(unit, task).await.map(|changed| changed + 1)
            }
            outcome => outcome,
        }
    }

    /// Waits until the machine of `task` answers in another start than `before`. Where it is not on its way down and never was, that is what
    /// `error` says.
    async fn until_restarted(
        &self,
        task: &Task,
        (before, time): (&str, Duration),
        error: ExecuteError,
    ) -> Result<(), ExecuteError> {
        (self.progress)(&Progress::Restarting { host: &task.host });
        let deadline = Instant::now() + time;
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let left = deadline.saturating_duration_since(Instant::now());
            match restart::state(&self.pool, &task.host, (before, left)).await {
                Ok(restart::State::Again) => return Ok(()),
                Ok(restart::State::Up) => return Err(error),
                Ok(restart::State::GoingDown) if left.is_zero() => return Err(error),
                Err(error) if left.is_zero() || !error.is_retryable() => return Err(error),
                Ok(restart::State::GoingDown) | Err(_) => {}
            }
        }
    }

    /// Does `what`, and does it again where a connection was lost meanwhile: it must bear repetition.
    async fn persist<T>(&self, what: impl AsyncFn() -> Result<T, ExecuteError>) -> Result<T, ExecuteError> {
        for _ in 0..ATTEMPTS {
            match what().await {
                Err(ExecuteError::Lost { host, source }) => self.reconnect(&host, &source).await?,
                outcome => return outcome,
            }
        }
        what().await
    }

    async fn reconnect(&self, host: &str, source: &openssh::Error) -> Result<(), ExecuteError> {
        tracing::info!(host, %source, "the connection was lost");
        (self.progress)(&Progress::Reconnecting { host });
        self.pool.renew(host).await
    }

    async fn begin(&self, unit: &str, task: &Task) -> Result<(), ExecuteError> {
        let connection = self.pool.current(&task.host)?;
        let remote = Remote::prepare(&connection, &self.kit.binary).await?;
        let running = remote.running().await?;
        if running.contains(&format!("{unit}.service")) {
            (self.progress)(&Progress::TaskFound { task });
            return Ok(());
        }
        for other in running {
            (self.progress)(&Progress::Occupied { host: &task.host });
            remote.outlast(&other).await?;
        }
        spare::wait(self.plan, task, &self.pool, &self.kit.binary.path_there()).await?;
        (self.progress)(&Progress::TaskStarted { task });
        let secrets = match (task.secrets.as_slice(), self.plan.speaker()) {
            ([], _) | (_, None) => b"{}".to_vec(),
            (wanted, Some(speaker)) => {
                let speaker = self.pool.current(&speaker.name)?;
                mint::mint(&speaker, self.kit, wanted, &task.host).await?
            }
        };
        let request = request(self.plan, &self.digest, task, self.generation, &self.nonce);
        remote.start(unit, &request, self.kit, &secrets).await
    }
}

/// Reads the events of one run.
struct Follower<'a> {
    run: &'a Run<'a>,
    unit: &'a str,
    task: &'a Task,
    /// Bytes of whole lines that were read.
    read: usize,
    changed: usize,
    step: Option<String>,
}

impl Follower<'_> {
    async fn follow(&mut self, connection: &Connection) -> Result<usize, ExecuteError> {
        let from = (self.read + 1).to_string();
        let mut child = connection.spawn(FOLLOW, &[self.unit, &folder(self.unit), &from]).await?;
        drop(child.stdin().take());
        let Some(stdout) = child.stdout().take() else {
            return Err(ExecuteError::InvalidPlan { problem: "ssh gave no standard output".into() });
        };
        let mut lines = BufReader::new(stdout);
        loop {
            let next = events::next(&mut lines).await;
            match next.map_err(|source| connection.lost(openssh::Error::ChildIo(source)))? {
                Next::End => break,
                Next::Garbage(source) => return Err(connection.not_understood("sealock node run", source)),
                Next::Event(event, length) => {
                    self.read += length;
                    if let Some(outcome) = self.take(connection, *event) {
                        return outcome;
                    }
                }
            }
        }
        let output = child.wait_with_output().await.map_err(|source| connection.lost(source))?;
        if output.status.code() == Some(255) {
            return Err(connection.lost(openssh::Error::Disconnected));
        }
        self.silence(connection, &output.stderr).await
    }

    /// Takes one event; with the last one comes the outcome.
    fn take(&mut self, connection: &Connection, event: Event) -> Option<Result<usize, ExecuteError>> {
        (self.run.progress)(&Progress::Event { task: self.task, event: &event });
        match event.what {
            EventKind::StepStarted { step } => self.step = Some(step),
            EventKind::StepDone { changed, .. } => self.changed += usize::from(changed),
            EventKind::StepFailed { step, .. } => self.step = Some(step),
            EventKind::RunEnded { error: None } => return Some(Ok(self.changed)),
            EventKind::RunEnded { error: Some(failure) } => return Some(Err(self.failed(connection, failure))),
            _ => {}
        }
        None
    }

    fn failed(&self, connection: &Connection, failure: Failure) -> ExecuteError {
        let step = self.step.clone().unwrap_or_else(|| self.task.id.clone());
        ExecuteError::Step { host: connection.host().into(), step, failure: Box::new(failure) }
    }

    /// The events ended without a last one: the run was killed, or never began.
    async fn silence(&self, connection: &Connection, stderr: &[u8]) -> Result<usize, ExecuteError> {
        let errors =
            connection.script(r#"tail -c 4096 "$1/errors" 2>/dev/null || true"#, &[&folder(self.unit)], b"").await?;
        let said = [last_words(&errors), last_words(stderr)].join(" ");
        let said =
            if said.trim().is_empty() { "it was killed, or the host restarted".into() } else { said.trim().to_owned() };
        Err(ExecuteError::Silent { host: connection.host().into(), unit: self.unit.into(), said })
    }
}
