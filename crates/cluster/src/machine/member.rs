//! The etcd member of a control plane on this machine, as kubeadm set it up: who else counts on it, its leaving, and its data where it
//! does not leave.

use std::fmt;
use std::time::Duration;

use sealock_node::Step;
use sealock_node::host::{self, Host};
use sealock_node::step::{File, Mode, SetAside};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::MachineError;
use crate::etcd::quorum::{self, Refusal};
use crate::etcd::{Credentials, Endpoint, Endpoints, Etcd, EtcdError, MemberId, Survey};

const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
const PKI: &str = "/etc/kubernetes/pki/etcd";
const OWN: &str = "https://127.0.0.1:2379";
const PEER_URL: &str = "--initial-advertise-peer-urls=";
const DATA_FLAG: &str = "--data-dir=";
const DATA: &str = "/var/lib/etcd";
/// How long a member may take to vote once kubeadm is through.
const VOTES: Duration = Duration::from_secs(120);
/// Where the others answer: cut off after etcd has ended here, the next run asks them whether the member is gone. Empty where there are no
/// others.
const OTHERS: &str = "/var/lib/sealock/node/plane-etcd-others";

/// A member of the etcd of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Which.
    pub id: MemberId,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Where the others answer; none where it is the only one.
    pub others: Vec<String>,
}

impl fmt::Display for EtcdMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} at {}", self.id, self.peer_url)
    }
}

/// The etcd member on this machine that its cluster lists; refused where the others would lose their majority without it.
///
/// # Errors
/// etcd does not answer, or its quorum would be lost.
pub async fn etcd_member(host: &dyn Host) -> Result<Option<EtcdMember>, MachineError> {
    let manifest = host::read_text(host, MANIFEST)?;
    let remembered = host::read_text(host, OTHERS)?;
    match (manifest, remembered) {
        (Some(manifest), remembered) => {
            let peer_url = peer_url_in(&manifest)?;
            match (survey(host, &[OWN.to_owned()]).await, remembered) {
                (Err(MachineError::MemberUnknown(silent)), Some(others)) if matches!(*silent, EtcdError::Silent(_)) => {
                    gone(host, &peer_url, &lines(&others)).await
                }
                (asked, remembered) => match (member_in(&asked?, &peer_url)?, remembered) {
                    (Some(member), _) => Ok(Some(member)),
                    // It has just left, and still answers.
                    (None, Some(others)) => gone(host, &peer_url, &lines(&others)).await,
                    (None, None) => {
                        let not_listed = format!("its cluster lists no member at {peer_url}");
                        Err(MachineError::MemberNotFound(not_listed))
                    }
                },
            }
        }
        // A reset that was cut off: the member had left before the manifest was taken away.
        (None, Some(_)) => Ok(None),
        (None, None) if host::exists(host, &format!("{DATA}/member"))? => {
            Err(MachineError::MemberNotFound(format!("{DATA} holds data, and {MANIFEST} is not there")))
        }
        (None, None) => Ok(None),
    }
}

/// What a reset that was cut off left: whether the member has left by the word of the others.
async fn gone(host: &dyn Host, peer_url: &str, others: &[String]) -> Result<Option<EtcdMember>, MachineError> {
    if others.is_empty() {
        return Ok(None);
    }
    let survey = survey(host, others).await?;
    if !survey.agreed {
        return Err(unknown(EtcdError::NoLeader));
    }
    member_in(&survey, peer_url)
}

fn member_in(survey: &Survey, peer_url: &str) -> Result<Option<EtcdMember>, MachineError> {
    let Some(member) = survey.membership.at(peer_url) else { return Ok(None) };
    let (id, peer_url) = (member.id, peer_url.to_owned());
    match quorum::may_remove(survey, id) {
        Err(Refusal::LastVoter(_)) => Ok(Some(EtcdMember { id, peer_url, others: Vec::new() })),
        allowed => {
            allowed?;
            Ok(Some(EtcdMember { id, others: others(survey, id), peer_url }))
        }
    }
}

async fn survey(host: &dyn Host, seeds: &[String]) -> Result<Survey, MachineError> {
    let seeds = seeds.iter().map(|url| url.parse()).collect::<Result<_, EtcdError>>()?;
    etcd(host, seeds)?.survey().await.map_err(unknown)
}

fn unknown(error: EtcdError) -> MachineError {
    MachineError::MemberUnknown(Box::new(error))
}

/// The etcd of the control plane on this machine is well: only then another member may come.
///
/// # Errors
/// It is not, or does not answer.
pub async fn check_etcd(host: &dyn Host) -> Result<(), MachineError> {
    Ok(quorum::may_pause_each(&survey(host, &[OWN.to_owned()]).await?)?)
}

/// Waits until the member on this machine votes, and is well. kubeadm has added it without a vote and given it its vote: what counts is
/// what the cluster says.
///
/// # Errors
/// It does not; etcd does not answer.
pub(super) async fn await_vote(host: &dyn Host) -> Result<(), MachineError> {
    let manifest = host::read_text(host, MANIFEST)?.unwrap_or_default();
    let peer_url = peer_url_in(&manifest)?;
    let own = OWN.parse::<Endpoint>().map_err(MachineError::from)?;
    let missing = |survey: &Survey| match survey.membership.at(&peer_url) {
        None => Some(format!("the cluster lists no member at {peer_url}")),
        Some(member) if member.learner => Some(format!("{member} has no vote yet")),
        Some(member) => survey.state_of(member.id).and_then(|state| state.problem.clone()),
    };
    etcd(host, vec![own])?.await_survey("the member of this machine does not vote", VOTES, missing).await?;
    Ok(())
}

/// Where the data of a member on this machine goes where nobody says that it may be deleted; `when` tells it from what went aside before.
///
/// # Errors
/// The machine refuses.
pub fn data_aside(host: &dyn Host, when: &str) -> Result<Option<SetAside>, MachineError> {
    let manifest = host::read_text(host, MANIFEST)?.unwrap_or_default();
    let path = flag_in(&manifest, DATA_FLAG).unwrap_or_else(|| DATA.to_owned());
    let name = format!("{}.{when}", path.rsplit('/').next().unwrap_or_default());
    let is_there = host::exists(host, &format!("{path}/member"))?;
    Ok(is_there.then_some(SetAside { path, name }))
}

/// Where kubeadm told the member's peers to reach it.
fn peer_url_in(manifest: &str) -> Result<String, MachineError> {
    flag_in(manifest, PEER_URL).ok_or_else(|| MachineError::MemberNotFound(format!("{MANIFEST} names no peer URL")))
}

pub(super) fn flag_in(manifest: &str, flag: &str) -> Option<String> {
    manifest.lines().find_map(|line| Some(line.split_once(flag)?.1.trim().to_owned()))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(ToOwned::to_owned).collect()
}

impl EtcdMember {
    /// Whether others count on it.
    pub fn is_counted_on(&self) -> bool {
        !self.others.is_empty()
    }

    /// The step that remembers whom to ask.
    pub(super) fn remember(&self) -> Step {
        let content = self.others.iter().map(|endpoint| format!("{endpoint}\n")).collect();
        Step::new("etcd/others", File { path: OTHERS.into(), content, mode: Mode::PRIVATE, replaces: None })
    }

    /// Has the member leave: another one leads, it is removed, and another one confirms it.
    ///
    /// # Errors
    /// The others refuse, or do not answer.
    pub(super) async fn leave(&self, host: &dyn Host) -> Result<(), MachineError> {
        let parse = |url: &String| url.parse::<Endpoint>();
        let seeds: Vec<Endpoint> = self.others.iter().map(parse).collect::<Result<_, _>>()?;
        let etcd = etcd(host, seeds)?;
        let survey = etcd.survey().await?;
        if survey.membership.find(self.id).is_none() {
            return Ok(());
        }
        if survey.leader == Some(self.id) {
            etcd.move_leader(None).await?;
        }
        match etcd.remove(self.id).await?.find(self.id) {
            Some(still) => Err(EtcdError::Stale(format!("{still} is listed again")).into()),
            None => Ok(()),
        }
    }
}

fn others(survey: &Survey, own: MemberId) -> Vec<String> {
    let others = survey.states.iter().filter(|state| state.member != own);
    others.filter_map(|state| Some(state.endpoint.as_ref()?.to_string())).collect()
}

fn etcd(host: &dyn Host, seeds: Vec<Endpoint>) -> Result<Etcd, MachineError> {
    let read = |name: &str| {
        let text = host::read_text(host, &format!("{PKI}/{name}"))?;
        Ok::<_, MachineError>(text.unwrap_or_default())
    };
    let credentials = Credentials {
        ca: read("ca.crt")?,
        certificate: read("healthcheck-client.crt")?,
        key: Zeroizing::new(read("healthcheck-client.key")?),
    };
    Ok(Etcd::new(&Endpoints { seeds, credentials: Some(credentials) })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member that is not found is not taken for one on which nobody counts.
    #[test]
    fn a_manifest_without_a_peer_url_is_told() {
        let url = "    - --initial-advertise-peer-urls=https://10.77.0.11:2380\n    - --name=cp1\n";
        assert_eq!(peer_url_in(url).unwrap(), "https://10.77.0.11:2380");
        let error = peer_url_in("    - --name=cp1\n").unwrap_err();
        assert!(error.to_string().contains(MANIFEST) && error.hint().is_some(), "{error}");
    }
}
