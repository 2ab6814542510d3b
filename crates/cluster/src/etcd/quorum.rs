//! Gates: may a change of the membership be begun? Pure: judges what was observed, and asks nobody.
//!
//! A cluster of n voters serves while ⌊n/2⌋ + 1 of them are up. Each gate counts what would be up *after* the change.

use super::client::Survey;
use super::member::{Member, MemberId};

/// Why a change is refused. Each names the numbers it was judged by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too few voters would be up.
    #[error("removing {member} would lose quorum: {healthy} of {voters} voters would be up, and {needed} are needed")]
    WouldLoseQuorum {
        /// Whom.
        member: String,
        /// Voters that would be up.
        healthy: usize,
        /// Voters that would be left.
        voters: usize,
        /// How many of these must be up.
        needed: usize,
    },
    /// Too few voters are up already.
    #[error("the cluster has lost quorum: {healthy} of {voters} voters are up, and {needed} are needed")]
    QuorumLost {
        /// Voters that are up.
        healthy: usize,
        /// All voters.
        voters: usize,
        /// How many must be up.
        needed: usize,
    },
    /// The only voter.
    #[error("{0} is the only voter: without it there is no cluster")]
    LastVoter(String),
    /// A learner is there already.
    #[error("{0} is a learner already, and etcd takes one at a time")]
    OtherLearner(String),
    /// A member that never started.
    #[error("{0} has been added and has never started")]
    Unstarted(String),
    /// The name is taken.
    #[error("{member} is called {name} already")]
    NameTaken {
        /// Who has it.
        member: String,
        /// The name.
        name: String,
    },
    /// Not all are well.
    #[error("{member} is not well: {problem}")]
    Unwell {
        /// Who.
        member: String,
        /// What it says.
        problem: String,
    },
    /// The target cannot lead.
    #[error("{0} is a learner, and cannot lead")]
    LearnerCannotLead(String),
    /// The data is in doubt.
    #[error("{0} raised the alarm CORRUPT")]
    Corrupt(String),
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::WouldLoseQuorum { .. } => {
                "Start the members that are down first, or let a new member join before this one goes."
            }
            Self::QuorumLost { .. } => {
                "Start the members that are down. Where they are lost for good, restore a snapshot: `sealock etcd restore`."
            }
            Self::LastVoter(_) => "`sealock etcd reset` ends the cluster, and keeps its data aside.",
            Self::OtherLearner(_) | Self::Unstarted(_) => {
                "Finish its join on its own machine, or remove it: `sealock etcd remove`."
            }
            Self::NameTaken { .. } => "Give this one another name: --name.",
            Self::Unwell { .. } => "`sealock etcd status` shows each member. Mend this one first, or remove it.",
            Self::LearnerCannotLead(_) => "Name a voter.",
            Self::Corrupt(_) => "Remove the member, and let it join again with an empty data directory.",
        }
    }
}

/// How many of `voters` must be up.
pub fn needed(voters: usize) -> usize {
    voters / 2 + 1
}

/// May anything be changed at all? Without quorum etcd cannot even be asked.
pub fn may_change(survey: &Survey) -> Result<(), Refusal> {
    let (healthy, voters) = (healthy_voters(survey, None), survey.membership.voters().count());
    if healthy < needed(voters) {
        return Err(Refusal::QuorumLost { healthy, voters, needed: needed(voters) });
    }
    Ok(())
}

/// May a learner be added, called `name`, reached by its peers at `peer_url`? Every voter must be well: with one down, the new
/// voter would take the place of the reserve that is missing, and not add to it.
pub fn may_add(survey: &Survey, name: &str, peer_url: &str) -> Result<(), Refusal> {
    may_change(survey)?;
    let membership = &survey.membership;
    let is_other = |member: &&Member| !member.has_peer_url(peer_url);
    if let Some(other) = membership.members.iter().filter(is_other).find(|member| member.learner) {
        return Err(Refusal::OtherLearner(other.to_string()));
    }
    for member in membership.members.iter().filter(is_other) {
        if member.name == name {
            return Err(Refusal::NameTaken { member: member.to_string(), name: name.to_owned() });
        }
        if !member.has_started() {
            return Err(Refusal::Unstarted(member.to_string()));
        }
        well(survey, member)?;
    }
    Ok(())
}

/// May `id` be removed? A learner always; a voter only if those that are left and up still are a quorum, and are no fewer than
/// the cluster needs to survive the moment of the change.
pub fn may_remove(survey: &Survey, id: MemberId) -> Result<(), Refusal> {
    may_change(survey)?;
    let Some(member) = survey.membership.find(id).filter(|member| !member.learner) else { return Ok(()) };
    let left = survey.membership.voters().count() - 1;
    if left == 0 {
        return Err(Refusal::LastVoter(member.to_string()));
    }
    let healthy = healthy_voters(survey, Some(id));
    if healthy < needed(left) {
        return Err(Refusal::WouldLoseQuorum {
            member: member.to_string(),
            healthy,
            voters: left,
            needed: needed(left),
        });
    }
    Ok(())
}

/// May `id` become the leader?
pub fn may_lead(survey: &Survey, id: MemberId) -> Result<(), Refusal> {
    may_change(survey)?;
    let Some(member) = survey.membership.find(id) else { return Ok(()) };
    if member.learner {
        return Err(Refusal::LearnerCannotLead(member.to_string()));
    }
    well(survey, member)
}

/// May members be stopped one after the other, as defragmenting does? All must be up.
pub fn may_pause_each(survey: &Survey) -> Result<(), Refusal> {
    may_change(survey)?;
    survey.membership.members.iter().try_for_each(|member| well(survey, member))
}

fn well(survey: &Survey, member: &Member) -> Result<(), Refusal> {
    let problem = match survey.state_of(member.id) {
        Some(state) if state.corrupt() => return Err(Refusal::Corrupt(member.to_string())),
        Some(state) => match &state.problem {
            None => return Ok(()),
            Some(problem) => problem.clone(),
        },
        None => "it was not looked at".to_owned(),
    };
    Err(Refusal::Unwell { member: member.to_string(), problem })
}

fn healthy_voters(survey: &Survey, without: Option<MemberId>) -> usize {
    let counts = |member: &&Member| {
        Some(member.id) != without && survey.state_of(member.id).is_some_and(|state| state.problem.is_none())
    };
    survey.membership.voters().filter(counts).count()
}
