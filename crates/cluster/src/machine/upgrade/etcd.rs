//! Whether etcd may go without the member on this machine for a moment, and with which data it is left.

use sealock_node::facts::HostFacts;
use sealock_node::host::{self, Host};

use super::super::error::MachineError;
use super::super::member::{MANIFEST, own_survey, peer_url_in};
use super::begun::BegunUpgrade;
use super::error::UpgradeError;
use crate::etcd::{EtcdError, Survey, quorum};
use crate::plan::PlanError;
use crate::release::compare_versions;

/// The first patch of etcd 3.5 that 3.6 may follow: in those before, members that were promoted or removed come back as something else
/// (etcd-io/etcd#19557, #20793, #20967).
const FLOOR: &str = "3.5.26";
const MIB: u64 = 1 << 20;

/// etcd is well, all of it, of a version that may become the next one, and there is room for a snapshot and for kubeadm's own copy. Answers how
/// many members it has.
///
/// # Errors
/// What is wrong, or nobody answers.
pub async fn check_pausable(host: &dyn Host, facts: &HostFacts, begun: &BegunUpgrade) -> Result<u32, MachineError> {
    let peer_url = peer_url_in(&host::read_text(host, MANIFEST)?.unwrap_or_default())?;
    let survey = own_survey(host).await?;
    judge(&survey, &peer_url, goes_on(begun))?;
    check_room(&survey, facts.disk.free_bytes)?;
    Ok(u32::try_from(survey.membership.members.len()).unwrap_or(u32::MAX))
}

/// Whether another control plane has gone before this one: it may have brought a newer etcd.
fn goes_on(begun: &BegunUpgrade) -> bool {
    !begun.components && begun.control_plane.is_some_and(|plane| !plane.first)
}

fn judge(survey: &Survey, own: &str, goes_on: bool) -> Result<(), MachineError> {
    if !survey.agreed {
        return Err(EtcdError::NoLeader.into());
    }
    quorum::may_pause_each(survey)?;
    if let Some(learner) = survey.membership.members.iter().find(|member| member.learner) {
        return Err(quorum::Refusal::OtherLearner(learner.to_string()).into());
    }
    // Two voters are less safe than one: each that is started anew stops both.
    if survey.membership.voters().count() == 2 {
        return Err(PlanError::TwoMembers.into());
    }
    let mut versions: Vec<&str> =
        survey.states.iter().filter_map(|state| Some(state.status.as_ref()?.version.as_str())).collect();
    versions.sort_by(|a, b| compare_versions(a, b));
    versions.dedup();
    let own = survey.membership.at(own).and_then(|member| survey.state_of(member.id)?.status.as_ref());
    match versions.as_slice() {
        [] | [_] => {}
        // This one follows those that went before.
        [older, _] if goes_on && own.is_some_and(|own| own.version == *older) => {}
        _ => return Err(UpgradeError::EtcdMixed(versions.into_iter().map(str::to_owned).collect()).into()),
    }
    match versions.first() {
        Some(oldest) if compare_versions(oldest, FLOOR).is_lt() => {
            Err(UpgradeError::EtcdFloor { runs: (*oldest).to_owned(), floor: FLOOR.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

fn check_room(survey: &Survey, free_bytes: u64) -> Result<(), MachineError> {
    let statuses = survey.states.iter().filter_map(|state| state.status.as_ref());
    let largest = statuses.filter_map(|status| u64::try_from(status.db_size).ok()).max().unwrap_or_default();
    let (free, needed) = (free_bytes / MIB, largest.saturating_mul(2) / MIB);
    if free < needed {
        return Err(UpgradeError::NoRoom { free, needed }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sealock_trust::reason::Code;

    use super::*;
    use crate::etcd::{Member, MemberId, MemberState, Membership, Status};

    const OWN: &str = "https://10.0.0.2:2380";

    /// Members at 10.0.0.1 and on, each of its version, all well.
    fn etcd_of(versions: &[&str]) -> Survey {
        let cluster = MemberId(7);
        let ids = || (1u64..).map(MemberId);
        let member = |(id, _): (MemberId, &&str)| Member {
            id,
            name: format!("cp{id}"),
            peer_urls: vec![format!("https://10.0.0.{id}:2380")],
            client_urls: vec![format!("https://10.0.0.{id}:2379")],
            learner: false,
        };
        let state = |(member, version): (MemberId, &&str)| {
            let status = Status {
                cluster,
                member,
                revision: 9,
                version: (*version).to_owned(),
                db_size: 64 << 20,
                db_in_use: 1 << 20,
                db_quota: 2 << 30,
                leader: Some(MemberId(1)),
                raft_index: 9,
                raft_applied: 9,
                raft_term: 2,
                learner: false,
                downgrade: None,
            };
            MemberState { member, endpoint: None, status: Some(status), problem: None, alarms: Vec::new() }
        };
        Survey {
            membership: Membership { cluster, members: ids().zip(versions).map(member).collect() },
            agreed: true,
            leader: Some(MemberId(1)),
            states: ids().zip(versions).map(state).collect(),
            stray_alarms: Vec::new(),
        }
    }

    fn refused(versions: &[&str], goes_on: bool) -> (Code, String) {
        let error = judge(&etcd_of(versions), OWN, goes_on).unwrap_err();
        (error.code().unwrap(), error.to_string())
    }

    /// The machine is the second one: the first has brought its etcd.
    #[test]
    fn a_further_control_plane_follows_the_etcd_of_the_first() {
        judge(&etcd_of(&["3.6.8", "3.5.28", "3.5.28"]), OWN, true).unwrap();
        judge(&etcd_of(&["3.6.8", "3.5.28", "3.6.8"]), OWN, true).unwrap();
        judge(&etcd_of(&["3.6.8", "3.6.8", "3.6.8"]), OWN, true).unwrap();
        judge(&etcd_of(&["3.5.28", "3.5.28", "3.5.28"]), OWN, false).unwrap();
    }

    #[test]
    fn versions_that_no_upgrade_explains_are_refused() {
        let (code, told) = refused(&["3.6.8", "3.5.28", "3.5.28"], false);
        assert_eq!(code, Code::Quorum);
        assert!(told.contains("3.5.28, 3.6.8"), "{told}");
        assert_eq!(refused(&["3.5.28", "3.6.8", "3.5.28"], true).0, Code::Quorum);
        assert_eq!(refused(&["3.6.8", "3.5.28", "3.5.27"], true).0, Code::Quorum);
        assert_eq!(refused(&["3.6.8", "3.6.8"], true).0, Code::Quorum);
        let (code, told) = refused(&["3.6.8", "3.5.21", "3.6.8"], true);
        assert_eq!(code, Code::Preflight);
        assert!(told.contains("etcd on this machine is 3.5.21"), "{told}");
    }

    #[test]
    fn there_is_room_for_two_copies_of_the_largest_database() {
        let survey = etcd_of(&["3.6.8"]);
        check_room(&survey, 128 << 20).unwrap();
        assert!(check_room(&survey, 127 << 20).unwrap_err().to_string().contains("only 127 MiB"));
    }
}
