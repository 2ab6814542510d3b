//! Which tasks may start: each once, after those that it names, and one at a time on a host.

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
        while let Some((_, task)) = trial.startable() {
            trial.begin(task);
            trial.finish(task);
        }
        if trial.done.len() < plan.tasks.len() {
            let stuck = plan.tasks.iter().find(|task| !trial.done.contains(task.id.as_str()));
            let stuck = stuck.map(|task| task.id.as_str()).unwrap_or_default();
            return Err(ExecuteError::InvalidPlan { problem: format!("task {stuck} can never start") });
        }
        Ok(schedule)
    }

    /// The next task that may start now, with its number in the plan. A host takes one at a time: its fence refuses a second one.
    pub(super) fn startable(&self) -> Option<(usize, &'a Task)> {
        let is_under_way = |task: &Task| self.begun.contains(task.id.as_str()) && !self.done.contains(task.id.as_str());
        let busy: BTreeSet<&str> =
            self.plan.tasks.iter().filter(|task| is_under_way(task)).map(|task| task.host.as_str()).collect();
        let may_start = |task: &Task| {
            !self.begun.contains(task.id.as_str())
                && !busy.contains(task.host.as_str())
                && task.after.iter().all(|before| self.done.contains(before.as_str()))
        };
        self.plan.tasks.iter().enumerate().find(|(_, task)| may_start(task))
    }

    pub(super) fn begin(&mut self, task: &'a Task) {
        self.begun.insert(&task.id);
    }

    pub(super) fn finish(&mut self, task: &'a Task) {
        self.begun.insert(&task.id);
        self.done.insert(&task.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    fn task(id: &str, after: &[&str]) -> Task {
        let host = id.split('/').next().unwrap_or_default().to_owned();
        let after = after.iter().map(|id| (*id).to_owned()).collect();
        Task { id: id.to_owned(), host, after, secrets: Vec::new(), steps: Vec::new() }
    }

    fn begin_next<'a>(schedule: &mut Schedule<'a>) -> Option<&'a str> {
        let (_, task) = schedule.startable()?;
        schedule.begin(task);
        Some(&task.id)
    }

    #[test]
    fn a_host_takes_one_task_at_a_time() {
        let tasks = vec![task("cp1/a", &[]), task("cp1/b", &[]), task("w1/c", &["cp1/a"])];
        let plan = Plan { tasks, ..plan::example() };
        let mut schedule = Schedule::new(&plan).unwrap();
        assert_eq!(begin_next(&mut schedule), Some("cp1/a"));
        assert_eq!(begin_next(&mut schedule), None, "the other one would be refused there");
        schedule.finish(&plan.tasks[0]);
        assert_eq!(begin_next(&mut schedule), Some("cp1/b"));
        assert_eq!(begin_next(&mut schedule), Some("w1/c"), "another host does not wait for it");
    }

    #[test]
    fn tasks_that_wait_for_each_other_are_no_plan() {
        let plan = Plan { tasks: vec![task("a/1", &["b/1"]), task("b/1", &["a/1"])], ..plan::example() };
        assert!(matches!(Schedule::new(&plan), Err(ExecuteError::InvalidPlan { .. })));
    }
}
