//! A machine that a task starts anew: the task ends with it, and is begun again when it answers.

use std::time::Duration;

use sealock_node::StepKind;

use super::ExecuteError;
use super::pool::Pool;
use crate::plan::Task;

/// Where a machine is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs as it did.
    Up,
    /// It ends what runs on it.
    GoingDown,
    /// It has been started anew.
    Again,
}

/// How long the machine of `task` may be away, where the task starts it anew.
pub(super) fn of(task: &Task) -> Option<Duration> {
    task.steps.iter().find_map(|step| match &step.action {
        StepKind::MachineRestarted(step) => Some(Duration::from_secs(step.timeout_seconds.into())),
        _ => None,
    })
}

/// Whether this is how it looks when a machine has gone down under a task.
pub(super) fn may_have_ended(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Lost { .. } | ExecuteError::Silent { .. })
}

/// Where the machine of `host` is, which was in the start `before`; connected to again, where it has to be, within `left`.
///
/// # Errors
/// It does not answer, or not any more.
pub(super) async fn state(pool: &Pool, host: &str, (before, left): (&str, Duration)) -> Result<State, ExecuteError> {
    let boot = match pool.current(host)?.boot().await {
        Ok(boot) => boot,
        // A connection that was lost does not come back by itself.
        Err(_) => {
            pool.renew_within(host, left).await?;
            pool.current(host)?.boot().await?
        }
    };
    if boot != before {
        return Ok(State::Again);
    }
    Ok(if pool.current(host)?.is_up().await? { State::Up } else { State::GoingDown })
}
