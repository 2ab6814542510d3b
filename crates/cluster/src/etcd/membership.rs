//! Changes of the membership. Each is asked of a voter, and decided by reading again.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{Etcd, Survey, nobody};
use super::connection::Connection;
use super::error::{CallError, EtcdError, Outcome};
use super::member::{Member, MemberId, Membership};
use super::quorum;

/// How long a learner may take to come up to the leader: a database of 8 GiB on a slow wire.
pub const CATCH_UP: Duration = Duration::from_secs(900);
/// For this long a change is asked for again; each time what happened is read first. Right after another change etcd says for some
/// seconds that the cluster is not healthy.
const ASKS: Duration = Duration::from_secs(30);
/// How long the cluster may be without a leader before reading again is given up.
const READ_AGAIN: Duration = Duration::from_secs(20);
/// etcd itself promotes a learner that has nine tenths of the leader's log.
const READY: f64 = 0.9;

/// How far a learner is behind the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Who catches up.
    pub member: MemberId,
    /// The newest log entry that the leader has.
    pub leader_index: u64,
    /// The newest that the learner has applied; none before it answers.
    pub learner_applied: Option<u64>,
}

impl Lag {
    /// Whether etcd would promote it.
    pub fn is_ready(&self) -> bool {
        self.learner_applied.is_some_and(|applied| applied as f64 >= self.leader_index as f64 * READY)
    }
}

impl Etcd {
    /// Adds a learner called `name` (a name that etcd learns only when it starts) at `peer_url`. One that is there already, and
    /// has not started, is ours from an earlier try, and is taken.
    ///
    /// # Errors
    /// The gates refuse, or the member did not come to be.
    pub async fn add_learner(&self, name: &str, peer_url: &str) -> Result<Member, EtcdError> {
        let survey = self.survey().await?;
        if let Some(member) = survey.membership.at(peer_url) {
            return Ok(member.clone());
        }
        quorum::may_add(&survey, name, peer_url)?;
        let what = format!("adding the learner {name}");
        let ask = async |voter: &Connection| voter.add_learner(peer_url).await;
        self.decide(&survey, &what, ask, |membership| membership.at(peer_url).cloned()).await
    }

    /// Gives the learner `id` its vote, once it has caught up. `progress` is told how far it is.
    ///
    /// # Errors
    /// It does not catch up within `limit`, or was not promoted.
    pub async fn promote(&self, id: MemberId, limit: Duration, progress: &dyn Fn(&Lag)) -> Result<Member, EtcdError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let survey = self.catch_up(id, left, progress).await?;
            let member = find(&survey, id)?;
            if !member.learner {
                return Ok(member.clone());
            }
            quorum::may_change(&survey)?;
            let what = format!("promoting {member}");
            let ask = async |voter: &Connection| voter.promote(id).await;
            let promoted = |membership: &Membership| membership.find(id).filter(|member| !member.learner).cloned();
            match self.decide(&survey, &what, ask, promoted).await {
                // The leader has gone on in the meantime.
                Err(EtcdError::NotDone { source, .. }) if source.is_learner_behind() && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    /// Removes `id`, and answers what is left, as another member has agreed to it.
    ///
    /// # Errors
    /// The gates refuse, or it is still there.
    pub async fn remove(&self, id: MemberId) -> Result<Membership, EtcdError> {
        let survey = self.survey().await?;
        let Some(member) = survey.membership.find(id) else { return self.agreed_membership().await };
        quorum::may_remove(&survey, id)?;
        let what = format!("removing {member}");
        let others = survey.without(id);
        let ask = async |voter: &Connection| voter.remove(id).await;
        self.decide(&others, &what, ask, |membership| membership.find(id).is_none().then(|| membership.clone())).await
    }

    /// Tells the cluster that `id` is reached by its peers at `peer_urls`.
    ///
    /// # Errors
    /// The cluster does not know it, or has not taken it.
    pub async fn update(&self, id: MemberId, peer_urls: &[String]) -> Result<Member, EtcdError> {
        let survey = self.survey().await?;
        let member = find(&survey, id)?;
        quorum::may_change(&survey)?;
        let what = format!("updating {member}");
        let ask = async |voter: &Connection| voter.update(id, peer_urls).await;
        let updated = |membership: &Membership| {
            let member = membership.find(id)?;
            (member.peer_urls == peer_urls).then(|| member.clone())
        };
        self.decide(&survey, &what, ask, updated).await
    }

    /// Waits until the learner `id` has what the leader has.
    async fn catch_up(&self, id: MemberId, limit: Duration, progress: &dyn Fn(&Lag)) -> Result<Survey, EtcdError> {
        let deadline = Instant::now() + limit;
        let mut looks = tokio::time::interval(Duration::from_millis(500));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let survey = self.survey().await?;
            let member = find(&survey, id)?;
            let lag = lag_of(&survey, id);
            if !member.learner || lag.as_ref().is_some_and(Lag::is_ready) {
                return Ok(survey);
            }
            if let Some(lag) = &lag {
                progress(lag);
            }
            if Instant::now() >= deadline {
                let problem = survey.state_of(id).and_then(|state| state.problem.clone());
                let state = problem.unwrap_or_else(|| format!("{lag:?}"));
                let learner = Box::new(member.clone());
                return Err(EtcdError::Behind { learner, seconds: limit.as_secs(), state });
            }
        }
    }

    /// Asks voters for a change, one after the other, and reads after each what has become of it. Only what is read counts.
    pub(super) async fn decide<T>(
        &self,
        survey: &Survey,
        what: &str,
        ask: impl AsyncFn(&Connection) -> Result<(), CallError>,
        done: impl Fn(&Membership) -> Option<T>,
    ) -> Result<T, EtcdError> {
        let voters = self.voters(survey);
        let mut last = nobody(self.first_seed(), "the change");
        let deadline = Instant::now() + ASKS;
        let mut tries = tokio::time::interval(Duration::from_millis(700));
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for voter in voters.iter().cycle() {
            tries.tick().await;
            let asked = ask(voter).await;
            let unknown = |source| EtcdError::Unknown { what: what.to_owned(), source };
            let membership = match read_again(&voters).await {
                Ok(membership) => membership,
                Err(silent) => return Err(unknown(asked.err().unwrap_or(silent))),
            };
            if let Some(result) = done(&membership) {
                return Ok(result);
            }
            match asked {
                // What was agreed to is not there: somebody else has taken it back.
                Ok(()) => {
                    last = CallError::malformed(voter.endpoint(), "reading again", "etcd said yes, and it is not so");
                }
                Err(error) if error.outcome() == Outcome::Refused && !error.is_learner_behind() => {
                    return Err(EtcdError::NotDone { what: what.to_owned(), source: error });
                }
                Err(error) => last = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(match last.outcome() {
            Outcome::Refused => EtcdError::NotDone { what: what.to_owned(), source: last },
            // It was sent, and may be agreed to yet.
            Outcome::Unknown => EtcdError::Unknown { what: what.to_owned(), source: last },
        })
    }
}

/// The membership that the cluster agrees on now. A change of leader may take a while.
async fn read_again(voters: &[Connection]) -> Result<Membership, CallError> {
    let deadline = Instant::now() + READ_AGAIN;
    let mut looks = tokio::time::interval(Duration::from_millis(300));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for voter in voters {
            match voter.members(true).await {
                Ok(membership) => return Ok(membership),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }
}

fn find(survey: &Survey, id: MemberId) -> Result<&Member, EtcdError> {
    survey.membership.find(id).ok_or_else(|| EtcdError::NoMember(id.to_string()))
}

fn lag_of(survey: &Survey, id: MemberId) -> Option<Lag> {
    let leader = survey.state_of(survey.leader?)?.status.as_ref()?;
    let learner = survey.state_of(id).and_then(|state| state.status.as_ref());
    Some(Lag {
        member: id,
        leader_index: leader.raft_index,
        learner_applied: learner.filter(|status| status.leader.is_some()).map(|status| status.raft_applied),
    })
}

impl Survey {
    /// The same, without `id`: it is neither asked to remove itself nor believed about it.
    fn without(&self, id: MemberId) -> Self {
        let mut others = self.clone();
        if others.states.len() > 1 {
            others.states.retain(|state| state.member != id);
        }
        others
    }
}
