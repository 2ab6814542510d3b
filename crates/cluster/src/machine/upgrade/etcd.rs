//! Whether etcd may go without the member on this machine for a moment, and with which data it is left.

use sealock_node::facts::HostFacts;
use sealock_node::host::Host;

use super::super::error::MachineError;
use super::super::member::own_survey;
use super::error::UpgradeError;
use crate::etcd::{EtcdError, Survey, quorum};
use crate::plan::PlanError;
use crate::release::compare_versions;

/// The first patch of etcd 3.5 that 3.6 may follow: in those before, members that were promoted or removed come back as something else
/// (etcd-io/etcd#19557, #20793, #20967).
const FLOOR: &str = "3.5.26";
const MIB: u64 = 1 << 20;

/// etcd is well, all of it, of one version that may become the next one, and there is room for a snapshot and for kubeadm's own copy.
///
/// # Errors
/// What is wrong, or nobody answers.
pub async fn check_pausable(host: &dyn Host, facts: &HostFacts) -> Result<(), MachineError> {
    let survey = own_survey(host).await?;
    judge(&survey, facts.disk.free_bytes)
}

fn judge(survey: &Survey, free_bytes: u64) -> Result<(), MachineError> {
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
    let statuses: Vec<_> = survey.states.iter().filter_map(|state| state.status.as_ref()).collect();
    let mut versions: Vec<String> = statuses.iter().map(|status| status.version.clone()).collect();
    versions.sort_by(|a, b| compare_versions(a, b));
    versions.dedup();
    match versions.as_slice() {
        [only] if compare_versions(only, FLOOR).is_lt() => {
            return Err(UpgradeError::EtcdFloor { runs: only.clone(), floor: FLOOR.to_owned() }.into());
        }
        [_] | [] => {}
        _ => return Err(UpgradeError::EtcdMixed(versions).into()),
    }
    let largest = statuses.iter().filter_map(|status| u64::try_from(status.db_size).ok()).max().unwrap_or_default();
    let (free, needed) = (free_bytes / MIB, largest.saturating_mul(2) / MIB);
    if free < needed {
        return Err(UpgradeError::NoRoom { free, needed }.into());
    }
    Ok(())
}
