//! Which tasks may start: each once, after those that it names.

use std::collections::BTreeSet;

use crate::plan::{Plan, Task};

use super::ExecuteError;

/// The tasks of a plan that are not done, and those that are.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    plan: &'a Plan,
    begun: BTreeSet<&'a str>,
    done: BTreeSet<&'a str>,
}

impl<'a> Schedule<'a> {
    /// # Errors
    /// A task names one that is not there, or tasks wait for each other.
    pub(super) fn new(plan: &'a Plan) -> Result<Self, ExecuteError> {
        let schedule = Self { plan, begun: BTreeSet::new(), done: BTreeSet::new() };
        let mut trial = Self { plan, begun: BTreeSet::new(), done: BTreeSet::new() };
        loop {
            let ready: Vec<&Task> = trial.startable().map(|(_, task)| task).collect();
            if ready.is_empty() {
                break;
            }
            for task in ready {
                trial.begin(task);
                trial.finish(task);
            }
        }
        if trial.done.len() < plan.tasks.len() {
            let stuck = plan.tasks.iter().find(|task| !trial.done.contains(task.id.as_str()));
            let stuck = stuck.map(|task| task.id.as_str()).unwrap_or_default();
            return Err(ExecuteError::InvalidPlan { problem: format!("task {stuck} can never start") });
        }
        Ok(schedule)
    }

    /// The tasks that may start now, with their numbers in the plan.
    pub(super) fn startable(&self) -> impl Iterator<Item = (usize, &'a Task)> {
        let may_start = |task: &Task| {
            !self.begun.contains(task.id.as_str())
                && task.after.iter().all(|before| self.done.contains(before.as_str()))
        };
        self.plan.tasks.iter().enumerate().filter(move |(_, task)| may_start(task))
    }

    pub(super) fn begin(&mut self, task: &'a Task) {
        self.begun.insert(&task.id);
    }

    pub(super) fn finish(&mut self, task: &'a Task) {
        self.begun.insert(&task.id);
        self.done.insert(&task.id);
    }
}
