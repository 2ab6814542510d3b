//! All members of one cluster: who belongs to it, who is up, who leads.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::{Connection, Credentials, Health, Status};
use super::endpoint::Endpoint;
use super::error::{CallError, EtcdError};
use super::member::{Alarm, AlarmKind, Member, MemberId, Membership};

/// Where a cluster is looked for, and with what.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Some of the cluster's endpoints; the others are learned from the membership.
    pub seeds: Vec<Endpoint>,
    /// None where the endpoints are not encrypted.
    pub credentials: Option<Credentials>,
}

/// All members of one cluster.
#[derive(Debug)]
pub struct Etcd {
    credentials: Option<Credentials>,
    seeds: Vec<Connection>,
}

/// What the cluster was seen to be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// Who belongs to it.
    #[serde(flatten)]
    pub membership: Membership,
    /// The cluster has agreed on this membership now; else it is what one member remembers.
    pub agreed: bool,
    /// Who leads, by the word of the members that are up.
    pub leader: Option<MemberId>,
    /// Each member, in the order of the membership.
    pub states: Vec<MemberState>,
    /// Alarms of members that are none any more: while one stands, nothing is written, and nobody is there that would take it back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stray_alarms: Vec<Alarm>,
}

/// One member as it was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberState {
    /// Who.
    pub member: MemberId,
    /// Where it answered.
    pub endpoint: Option<Endpoint>,
    /// What it says of itself.
    pub status: Option<Status>,
    /// Why it does not serve; none where it does.
    pub problem: Option<String>,
    /// The alarms that it raised.
    pub alarms: Vec<AlarmKind>,
}

impl MemberState {
    /// Whether it raised the alarm that its data differs.
    pub fn corrupt(&self) -> bool {
        self.alarms.contains(&AlarmKind::Corrupt)
    }

    /// Whether it serves, without alarms.
    pub fn is_well(&self) -> bool {
        self.problem.is_none() && self.alarms.is_empty()
    }
}

impl Survey {
    /// What was seen of `id`.
    pub fn state_of(&self, id: MemberId) -> Option<&MemberState> {
        self.states.iter().find(|state| state.member == id)
    }

    /// Whether every member serves, without alarms and with a vote, and no alarm is left of one that has gone.
    pub fn is_well(&self) -> bool {
        let members_are = self.states.iter().all(MemberState::is_well) && self.membership.learner().is_none();
        self.agreed && members_are && self.stray_alarms.is_empty()
    }

    /// The alarms of `id`, whether it is a member or was one.
    pub fn alarms_of(&self, id: MemberId) -> Vec<Alarm> {
        let kinds = self.state_of(id).into_iter().flat_map(|state| state.alarms.iter().copied());
        let strays = self.stray_alarms.iter().copied().filter(|alarm| alarm.member == id);
        kinds.map(|kind| Alarm { member: id, kind }).chain(strays).collect()
    }

    /// The minor version that the cluster is going back to, like `3.5.0`.
    pub fn downgrade(&self) -> Option<&str> {
        self.states.iter().find_map(|state| state.status.as_ref()?.downgrade.as_deref())
    }

    /// Members in an order in which each may be paused: the leader comes last, so that it is given up once at most.
    pub fn leader_last(&self) -> Vec<&Member> {
        let mut members: Vec<&Member> = self.membership.members.iter().collect();
        members.sort_by_key(|member| (Some(member.id) == self.leader, member.id));
        members
    }
}

impl Etcd {
    /// Prepares connections to `endpoints`; nothing is sent yet.
    ///
    /// # Errors
    /// No endpoint was given, or the certificates are none.
    pub fn new(endpoints: &Endpoints) -> Result<Self, EtcdError> {
        let problem = "an endpoint is needed";
        if endpoints.seeds.is_empty() {
            return Err(EtcdError::Endpoint { text: String::new(), problem });
        }
        let connect = |endpoint| Connection::new(endpoint, endpoints.credentials.as_ref());
        let seeds = endpoints.seeds.iter().map(connect).collect::<Result<_, _>>()?;
        Ok(Self { credentials: endpoints.credentials.clone(), seeds })
    }

    /// Looks at the whole cluster: membership, and each member by itself.
    ///
    /// # Errors
    /// No endpoint answers, or they belong to different clusters.
    pub async fn survey(&self) -> Result<Survey, EtcdError> {
        let (membership, agreed) = self.membership().await?;
        let seeds = self.seeds_by_member(&membership).await?;
        let looks = membership.members.iter().map(async |member| {
            let known: Vec<&Connection> = seeds.get(&member.id).into_iter().collect();
            self.look_at(member, &known).await
        });
        let mut states = join_all(looks).await;
        let mut stray_alarms = Vec::new();
        for alarm in self.alarms_seen(&states).await {
            match states.iter_mut().find(|state| state.member == alarm.member) {
                Some(state) => state.alarms.push(alarm.kind),
                None => stray_alarms.push(alarm),
            }
        }
        let leader = leader_of(&states);
        Ok(Survey { membership, agreed, leader, states, stray_alarms })
    }

    /// The membership that the cluster has agreed on, from whichever endpoint answers first.
    ///
    /// # Errors
    /// There is no quorum, or no endpoint answers.
    pub async fn agreed_membership(&self) -> Result<Membership, EtcdError> {
        self.ask(true).await
    }

    async fn membership(&self) -> Result<(Membership, bool), EtcdError> {
        match self.ask(true).await {
            Ok(membership) => Ok((membership, true)),
            // Without quorum a member still tells what it remembers.
            Err(EtcdError::Silent(agreed)) => match self.ask(false).await {
                Ok(membership) => Ok((membership, false)),
                Err(EtcdError::Silent(_)) => Err(EtcdError::Silent(agreed)),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, linearizable: bool) -> Result<Membership, EtcdError> {
        let mut silent = Vec::new();
        for seed in &self.seeds {
            match seed.members(linearizable).await {
                Ok(membership) => return Ok(membership),
                Err(error) => silent.push(error),
            }
        }
        Err(EtcdError::Silent(silent))
    }

    /// The seeds that answer, by the member that each leads to. Two clusters behind one list are found out here.
    async fn seeds_by_member(&self, membership: &Membership) -> Result<BTreeMap<MemberId, Connection>, EtcdError> {
        let answers = join_all(self.seeds.iter().map(Connection::status)).await;
        let mut found = BTreeMap::new();
        for (seed, status) in self.seeds.iter().zip(answers).filter_map(|(seed, status)| Some((seed, status.ok()?))) {
            if status.cluster != membership.cluster {
                let first = self.seeds[0].endpoint().clone();
                return Err(EtcdError::TwoClusters { first, second: seed.endpoint().clone() });
            }
            found.entry(status.member).or_insert_with(|| seed.clone());
        }
        Ok(found)
    }

    async fn look_at(&self, member: &Member, known: &[&Connection]) -> MemberState {
        let mut state =
            MemberState { member: member.id, endpoint: None, status: None, problem: None, alarms: Vec::new() };
        if !member.has_started() {
            state.problem = Some("it has never started".to_owned());
            return state;
        }
        match self.connect_to(member, known).await {
            Ok((connection, status)) => {
                state.problem = problem_of(&connection, &status).await;
                state.endpoint = Some(connection.endpoint().clone());
                state.status = Some(status);
            }
            Err(error) => state.problem = Some(error.to_string()),
        }
        state
    }

    /// A connection that leads to `member` itself, and not to another one in its place.
    async fn connect_to(&self, member: &Member, known: &[&Connection]) -> Result<(Connection, Status), EtcdError> {
        let mut silent = Vec::new();
        let advertised = member.client_urls.iter().filter_map(|url| url.parse::<Endpoint>().ok());
        let mut advertised =
            advertised.filter_map(|endpoint| Connection::new(&endpoint, self.credentials.as_ref()).ok());
        let mut known = known.iter().map(|connection| (*connection).clone());
        while let Some(connection) = known.next().or_else(|| advertised.next()) {
            match connection.status().await {
                Ok(status) if status.member == member.id => return Ok((connection, status)),
                Ok(status) => {
                    let endpoint = connection.endpoint().clone();
                    return Err(EtcdError::OtherMember { id: status.member, endpoint, wanted: member.id });
                }
                Err(error) => silent.push(error),
            }
        }
        Err(EtcdError::Silent(silent))
    }

    /// Connections to members that serve and have a vote, the leader first: only these are asked for changes, for a learner or a
    /// member without a leader lets a caller hang.
    pub(super) fn voters(&self, survey: &Survey) -> Vec<Connection> {
        let mut serving: Vec<&MemberState> = survey.states.iter().filter(|state| state.problem.is_none()).collect();
        serving.retain(|state| survey.membership.find(state.member).is_some_and(|member| !member.learner));
        serving.sort_by_key(|state| Some(state.member) != survey.leader);
        serving.into_iter().filter_map(|state| self.at(state)).collect()
    }

    /// The connection by which `state` was seen.
    pub(super) fn at(&self, state: &MemberState) -> Option<Connection> {
        let endpoint = state.endpoint.as_ref()?;
        let seed = self.seeds.iter().find(|seed| seed.endpoint() == endpoint).cloned();
        seed.or_else(|| Connection::new(endpoint, self.credentials.as_ref()).ok())
    }

    async fn alarms_seen(&self, states: &[MemberState]) -> Vec<Alarm> {
        for connection in states.iter().filter(|state| state.problem.is_none()).filter_map(|state| self.at(state)) {
            if let Ok(alarms) = connection.alarms().await {
                return alarms;
            }
        }
        Vec::new()
    }

    /// Surveys until `enough` is satisfied with what it sees, or until `limit` has passed. `enough` answers what is still missing.
    ///
    /// # Errors
    /// [`EtcdError::Late`] with what was missing last.
    pub async fn await_survey(
        &self,
        what: &str,
        limit: Duration,
        enough: impl Fn(&Survey) -> Option<String>,
    ) -> Result<Survey, EtcdError> {
        let deadline = Instant::now() + limit;
        let mut looks = tokio::time::interval(Duration::from_millis(300));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let missing = match self.survey().await {
                Ok(survey) => match enough(&survey) {
                    None => return Ok(survey),
                    Some(missing) => missing,
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(EtcdError::Late { what: what.to_owned(), seconds: limit.as_secs(), state: missing });
            }
        }
    }

    /// The first endpoint that was given.
    pub fn first_seed(&self) -> &Connection {
        &self.seeds[0]
    }
}

async fn problem_of(connection: &Connection, status: &Status) -> Option<String> {
    if status.leader.is_none() {
        return Some("it knows of no leader".to_owned());
    }
    // A learner answers no read that needs the whole cluster; that it follows a leader is all that it can show.
    if status.learner {
        return None;
    }
    match connection.health().await {
        Health::Serves => None,
        Health::Unwell(said) => Some(said),
    }
}

/// The leader of the newest term that a member speaks of.
fn leader_of(states: &[MemberState]) -> Option<MemberId> {
    let statuses = states.iter().filter_map(|state| state.status.as_ref());
    statuses.max_by_key(|status| (status.leader.is_some(), status.raft_term))?.leader
}

/// The call error for a change that found no member to ask.
pub(super) fn nobody(seed: &Connection, call: &'static str) -> CallError {
    CallError::malformed(seed.endpoint(), call, "no member with a vote serves")
}
