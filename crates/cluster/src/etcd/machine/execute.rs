//! Carrying a plan out: steps on the machine, and what is asked of the cluster in between, in one journal.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealock_node::host::Host;
use sealock_node::journal::{Journal, RecordKind};
use sealock_node::request::{RUN_FORMAT, RunRequest};
use sealock_node::{Event, EventKind, fence, runner};
use sealock_trust::Digest;

use super::error::MachineError;
use super::observe::credentials;
use super::plan::{Act, MachinePlan, Stage};
use crate::etcd::{CATCH_UP, Endpoint, Endpoints, Etcd, EtcdError, MemberId, Survey};

/// How long a member may take to serve: it may have to fetch its image, or somebody has to start it.
const SERVES: Duration = Duration::from_secs(300);

/// How the cluster is reached while a plan is carried out.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Endpoints of other members.
    pub others: Vec<Endpoint>,
    /// This machine's own.
    pub own: Endpoint,
    /// The folder of certificates, read when they are needed: a step may just have made them.
    pub pki: String,
}

/// What is told while a plan is carried out.
#[derive(Debug)]
pub enum Happening<'a> {
    /// Something about a step on the machine.
    Step(&'a Event),
    /// The cluster is asked.
    ActBegins(&'a Act),
    /// What a person waiting wants to know.
    ActSays(&'a Act, String),
    /// The cluster has done it.
    ActDone(&'a Act, Duration),
}

/// What carrying a plan out came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Steps that changed the machine.
    pub changed: usize,
}

/// Carries `plan` out. Run again after it was cut off, it looks at everything anew, and does what is missing.
///
/// # Errors
/// The first thing that failed.
pub async fn carry_out(
    plan: &MachinePlan,
    host: &dyn Host,
    folder: &Path,
    reach: &Reach,
    tell: &dyn Fn(Happening<'_>),
) -> Result<Done, MachineError> {
    let run = Run { plan, host, folder, reach, tell, digest: digest(plan)?, changed: Cell::new(0), now: next(folder)? };
    for stage in &plan.stages {
        match stage {
            Stage::Machine { .. } => run.machine(stage)?,
            Stage::Cluster { act } => run.cluster(act).await?,
        }
    }
    if let Some(Stage::Cluster { .. }) = plan.stages.last() {
        run.finished()?;
    }
    Ok(Done { changed: run.changed.get() })
}

/// The generation after the highest that this machine has seen.
fn next(folder: &Path) -> Result<u64, MachineError> {
    Ok(fence::current(folder)?.map_or(1, |fence| fence.generation + 1))
}

fn digest(plan: &MachinePlan) -> Result<Digest, MachineError> {
    Ok(Digest::sha256(&serde_json::to_vec(plan).map_err(MachineError::Unwritable)?))
}

struct Run<'a> {
    plan: &'a MachinePlan,
    host: &'a dyn Host,
    folder: &'a Path,
    reach: &'a Reach,
    tell: &'a dyn Fn(Happening<'_>),
    digest: Digest,
    changed: Cell<usize>,
    now: u64,
}

impl Run<'_> {
    fn machine(&self, stage: &Stage) -> Result<(), MachineError> {
        let Stage::Machine { steps } = stage else { return Ok(()) };
        let request = RunRequest {
            format: RUN_FORMAT.to_owned(),
            plan: self.digest.clone(),
            node: self.plan.member.clone(),
            generation: self.now,
            nonce: "this machine".to_owned(),
            registry: None,
            steps: steps.clone(),
        };
        let events = |event: Event| {
            if let EventKind::StepDone { changed: true, .. } = event.what {
                self.changed.set(self.changed.get() + 1);
            }
            (self.tell)(Happening::Step(&event));
        };
        Ok(runner::run_alone(&request, self.host, self.folder, &events)?)
    }

    async fn cluster(&self, act: &Act) -> Result<(), MachineError> {
        let started = Instant::now();
        (self.tell)(Happening::ActBegins(act));
        let (mut journal, _) = Journal::open(&self.folder.join("journal"), &self.digest)?;
        let step = || act.id().to_owned();
        journal.append(Timestamp::now(), RecordKind::Intent { step: step() })?;
        if let Err(error) = self.act(act).await {
            // The error itself counts for more than that the journal could not take it.
            let _ = journal.append(Timestamp::now(), RecordKind::Failed { step: step(), error: error.to_string() });
            return Err(error);
        }
        journal.append(Timestamp::now(), RecordKind::Done { step: step() })?;
        (self.tell)(Happening::ActDone(act, started.elapsed()));
        Ok(())
    }

    /// What was asked of the cluster came after the last step: without this the plan would count as cut off.
    fn finished(&self) -> Result<(), MachineError> {
        let (mut journal, _) = Journal::open(&self.folder.join("journal"), &self.digest)?;
        Ok(journal.append(Timestamp::now(), RecordKind::RunFinished)?)
    }

    async fn act(&self, act: &Act) -> Result<(), MachineError> {
        let say = |text: String| (self.tell)(Happening::ActSays(act, text));
        match act {
            Act::AddLearner { name, peer_url, others } => {
                let etcd = self.etcd(&self.reach.others)?;
                unchanged(&etcd.survey().await?, peer_url, others)?;
                etcd.add_learner(name, peer_url).await?;
            }
            Act::AwaitServing { peer_url, start, .. } => {
                if let Some(line) = start {
                    say(format!("start it now: {line}"));
                }
                let etcd = self.etcd(&self.all())?;
                let what = "the member does not serve";
                etcd.await_survey(what, SERVES, |survey| missing(survey, peer_url)).await?;
            }
            Act::Promote { peer_url } => {
                let etcd = self.etcd(&self.all())?;
                let id = id_at(&etcd.survey().await?, peer_url)?;
                let progress = |lag: &crate::etcd::Lag| {
                    let applied = lag.learner_applied.map_or("nothing".to_owned(), |applied| applied.to_string());
                    say(format!("it has {applied} of {} entries", lag.leader_index));
                };
                etcd.promote(id, CATCH_UP, &progress).await?;
            }
            Act::StepDown { member } => {
                let etcd = self.etcd(&self.all())?;
                if etcd.survey().await?.leader == Some(*member) {
                    etcd.move_leader(None).await?;
                }
            }
            Act::Remove { member } => self.remove(*member).await?,
        }
        Ok(())
    }

    /// Removed, and confirmed by a member that is not the one that went: only then may its data be touched.
    async fn remove(&self, member: MemberId) -> Result<(), MachineError> {
        let others = self.others_than(member).await?;
        let left = self.etcd(&others)?.remove(member).await?;
        match left.find(member) {
            Some(still) => Err(EtcdError::Stale(format!("{still} is listed again")).into()),
            None => Ok(()),
        }
    }

    /// Endpoints of all members but `member`, by the cluster's own word.
    async fn others_than(&self, member: MemberId) -> Result<Vec<Endpoint>, MachineError> {
        let survey = self.etcd(&self.all())?.survey().await?;
        let mut others = self.reach.others.clone();
        for state in survey.states.iter().filter(|state| state.member != member) {
            others.extend(state.endpoint.clone());
        }
        others.retain(|endpoint| *endpoint != self.reach.own);
        others.sort();
        others.dedup();
        Ok(others)
    }

    fn all(&self) -> Vec<Endpoint> {
        std::iter::once(&self.reach.own).chain(&self.reach.others).cloned().collect()
    }

    fn etcd(&self, seeds: &[Endpoint]) -> Result<Etcd, MachineError> {
        let credentials = Some(credentials(self.host, &self.reach.pki)?);
        Ok(Etcd::new(&Endpoints { seeds: seeds.to_vec(), credentials })?)
    }
}

/// The members that the plan was made for, and no others: their names stand in the configuration that is written next.
fn unchanged(survey: &Survey, own: &str, others: &[String]) -> Result<(), EtcdError> {
    let members = survey.membership.members.iter().filter(|member| !member.has_peer_url(own));
    let mut found: Vec<&String> = members.flat_map(|member| &member.peer_urls).collect();
    found.sort();
    if found.iter().copied().eq(others) {
        return Ok(());
    }
    Err(EtcdError::Stale("members have come or gone".to_owned()))
}

fn missing(survey: &Survey, peer_url: &str) -> Option<String> {
    let Some(member) = survey.membership.at(peer_url) else { return Some("the cluster does not list it".to_owned()) };
    match survey.state_of(member.id) {
        Some(state) => state.problem.clone(),
        None => Some("it was not looked at".to_owned()),
    }
}

fn id_at(survey: &Survey, peer_url: &str) -> Result<MemberId, EtcdError> {
    let member = survey.membership.at(peer_url).ok_or_else(|| EtcdError::NoMember(peer_url.to_owned()))?;
    Ok(member.id)
}
