//! Upkeep: the leader's place, alarms, defragmenting, and whether all members hold the same.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use super::client::{Etcd, MemberState, Survey};
use super::error::{CallError, EtcdError, Outcome};
use super::member::{Alarm, Member, MemberId};
use super::quorum;

/// How long a member may take to serve again after it was defragmented.
const SERVES_AGAIN: Duration = Duration::from_secs(60);
const MOVES: Duration = Duration::from_secs(20);

/// What defragmenting one member came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defragmented {
    /// Which.
    pub member: Member,
    /// Bytes of its file before.
    pub before: i64,
    /// Bytes of it now.
    pub after: i64,
}

/// One member's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashCheck {
    /// Which.
    pub member: Member,
    /// Of all that it holds up to the revision.
    pub hash: u32,
    /// Below this revision its history is compacted; hashes compare only where it is the same.
    pub compacted: i64,
}

/// All members' hashes at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashVerdict {
    /// Where they were compared.
    pub revision: i64,
    /// Whether all are the same, as far as they compare.
    pub agree: bool,
    /// Each.
    pub checks: Vec<HashCheck>,
}

impl Etcd {
    /// Makes `to` the leader, or any other voter that is well where none is named. Answers who leads.
    ///
    /// # Errors
    /// The gates refuse, there is nobody else, or the leader did not move.
    pub async fn move_leader(&self, to: Option<MemberId>) -> Result<Member, EtcdError> {
        let survey = self.survey().await?;
        let leader = survey.leader.ok_or(EtcdError::NoLeader)?;
        let target = match to {
            Some(id) => id,
            None => next_leader(&survey, leader).ok_or_else(|| EtcdError::NoMember("that could lead".to_owned()))?,
        };
        let member = survey.membership.find(target).ok_or_else(|| EtcdError::NoMember(target.to_string()))?.clone();
        if target == leader {
            return Ok(member);
        }
        quorum::may_lead(&survey, target)?;
        let state = survey.state_of(leader).and_then(|state| self.at(state)).ok_or(EtcdError::NoLeader)?;
        // Only the leader itself takes this. What has become of it the members say.
        let asked = state.move_leader(target).await;
        let enough = |survey: &Survey| match survey.leader {
            Some(leads) if leads == target => None,
            Some(leads) => Some(format!("{leads} leads")),
            None => Some("there is no leader".to_owned()),
        };
        let limit =
            if matches!(&asked, Err(error) if error.outcome() == Outcome::Refused) { Duration::ZERO } else { MOVES };
        let what = format!("moving the leader to {member}");
        match (self.await_survey(&what, limit, enough).await, asked) {
            (Ok(_), _) => Ok(member),
            (Err(_), Err(source)) => Err(EtcdError::NotDone { what, source }),
            (Err(error), Ok(())) => Err(error),
        }
    }

    /// Takes an alarm back. The cause must be gone, or it comes again.
    ///
    /// # Errors
    /// It still stands.
    pub async fn disarm(&self, alarm: Alarm) -> Result<(), EtcdError> {
        let survey = self.survey().await?;
        quorum::may_change(&survey)?;
        let voters = self.voters(&survey);
        let mut last = None;
        for voter in &voters {
            let asked = voter.disarm(alarm).await;
            match voter.alarms().await {
                Ok(alarms) if !alarms.contains(&alarm) => return Ok(()),
                Ok(_) => last = asked.err().or(last),
                Err(error) => last = Some(error),
            }
        }
        let what = format!("taking back the alarm {} of {}", alarm.kind, alarm.member);
        let source = last.unwrap_or_else(|| {
            CallError::malformed(self.first_seed().endpoint(), "reading again", "the alarm still stands")
        });
        Err(EtcdError::NotDone { what, source })
    }

    /// Gives unused room of the members' files back, one member at a time, the leader last. A member serves nothing while it is
    /// defragmented; the next is begun only when it serves again. `only` names the one that is meant, where not all are.
    ///
    /// # Errors
    /// The gates refuse; a member did not do it, or does not serve again.
    pub async fn defragment(
        &self,
        only: Option<MemberId>,
        progress: &dyn Fn(&Member),
    ) -> Result<Vec<Defragmented>, EtcdError> {
        let survey = self.survey().await?;
        quorum::may_pause_each(&survey)?;
        let mut results = Vec::new();
        for member in survey.leader_last() {
            if only.is_none_or(|id| id == member.id) {
                progress(member);
                results.push(self.defragment_one(&survey, member).await?);
            }
        }
        match (only, results.is_empty()) {
            (Some(id), true) => Err(EtcdError::NoMember(id.to_string())),
            _ => Ok(results),
        }
    }

    async fn defragment_one(&self, survey: &Survey, member: &Member) -> Result<Defragmented, EtcdError> {
        let missing = || EtcdError::NoMember(member.to_string());
        let state = survey.state_of(member.id).ok_or_else(missing)?;
        let connection = self.at(state).ok_or_else(missing)?;
        let before = state.status.as_ref().map_or(0, |status| status.db_size);
        connection.defragment().await?;
        let serves = |survey: &Survey| match survey.state_of(member.id) {
            Some(state) => state.problem.clone(),
            None => Some("it is gone".to_owned()),
        };
        let what = format!("{member} does not serve again");
        let after = self.await_survey(&what, SERVES_AGAIN, serves).await?;
        let after =
            after.state_of(member.id).and_then(|state| state.status.as_ref()).map_or(0, |status| status.db_size);
        Ok(Defragmented { member: member.clone(), before, after })
    }

    /// Compares what all members that answer hold at one revision that all of them have.
    ///
    /// # Errors
    /// A member does not answer any more. That they differ is what [`HashVerdict::check`] tells.
    pub async fn check_hashes(&self) -> Result<HashVerdict, EtcdError> {
        let survey = self.survey().await?;
        quorum::may_change(&survey)?;
        let statuses = survey.states.iter().filter_map(|state| state.status.as_ref());
        let revision = statuses.map(|status| status.revision).min().unwrap_or(0);
        let answers = |member: &&Member| survey.state_of(member.id).is_some_and(|state| state.status.is_some());
        let asked = survey.membership.members.iter().filter(answers).map(async |member| {
            let missing = || EtcdError::NoMember(member.to_string());
            let connection = survey.state_of(member.id).and_then(|state| self.at(state)).ok_or_else(missing)?;
            let (hash, compacted) = connection.hash(revision).await?;
            Ok(HashCheck { member: member.clone(), hash, compacted })
        });
        let checks = join_all(asked).await.into_iter().collect::<Result<Vec<_>, EtcdError>>()?;
        Ok(HashVerdict::new(revision, checks))
    }
}

impl HashVerdict {
    /// Hashes compare only among members that were compacted at the same revision: compaction runs on each by itself.
    fn new(revision: i64, checks: Vec<HashCheck>) -> Self {
        let agree = checks.iter().all(|a| checks.iter().all(|b| a.compacted != b.compacted || a.hash == b.hash));
        Self { revision, agree, checks }
    }

    /// Whether the members hold the same.
    ///
    /// # Errors
    /// [`EtcdError::Differ`], with who holds what.
    pub fn check(&self) -> Result<(), EtcdError> {
        if self.agree {
            return Ok(());
        }
        Err(EtcdError::Differ { revision: self.revision, hashes: self.words() })
    }

    fn words(&self) -> String {
        let words = self.checks.iter().map(|check| format!("{} has {:08x}", check.member, check.hash));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A voter that is well, and is not the leader: the one with the lowest id, so that two who ask mean the same.
fn next_leader(survey: &Survey, leader: MemberId) -> Option<MemberId> {
    let mut voters = survey.membership.voters().filter(|member| member.id != leader);
    voters.find(|member| survey.state_of(member.id).is_some_and(MemberState::is_well)).map(|member| member.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: u64, hash: u32, compacted: i64) -> HashCheck {
        let member = Member {
            id: MemberId(id),
            name: format!("m{id}"),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner: false,
        };
        HashCheck { member, hash, compacted }
    }

    #[test]
    fn one_hash_that_differs_is_told_and_one_that_cannot_be_compared_is_not() {
        let of = |checks: &[HashCheck]| HashVerdict::new(9, checks.to_vec());
        of(&[check(1, 7, 0), check(2, 7, 0)]).check().unwrap();
        let differ = of(&[check(1, 7, 0), check(2, 8, 0)]);
        let said = differ.check().unwrap_err().to_string();
        assert!(said.contains("m1 (1) has 00000007, m2 (2) has 00000008"), "{said}");
        assert_eq!(serde_json::to_value(&differ).unwrap()["agree"], false);
        of(&[check(1, 7, 0), check(2, 8, 5)]).check().expect("one is compacted further");
    }
}
