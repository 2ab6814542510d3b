//! Which tasks may start: each once, after those that it names, and one at a time on a host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::plan::{Plan, Task};

use super::ExecuteError;

/// The tasks of a plan by their numbers in it. No question looks at all of them: a plan for a thousand hosts has many thousands.
#[derive(Clone, Debug)]
pub(super) struct Schedule<'a> {
    plan: &'a Plan,
    numbers: HashMap<&'a str, usize>,
    /// For each task, how many of those that it comes after are not done.
    missing: Vec<usize>,
    /// For each task, those that come after it.
    followers: Vec<Vec<usize>>,
    /// For each host, the tasks that wait for nothing but their turn there.
    waiting: BTreeMap<&'a str, BTreeSet<usize>>,
    /// Hosts that carry out a task.
    busy: BTreeSet<&'a str>,
    /// The tasks that may start now.
    startable: BTreeSet<usize>,
}

impl<'a> Schedule<'a> {
    /// # Errors
    /// A task names one that is not there, has the name of another, or tasks wait for each other.
    pub(super) fn new(plan: &'a Plan) -> Result<Self, ExecuteError> {
        let numbers: HashMap<&str, usize> = plan.tasks.iter().enumerate().map(|(n, task)| (&*task.id, n)).collect();
        let mut schedule = Self {
            plan,
            missing: plan.tasks.iter().map(|task| task.after.len()).collect(),
            followers: followers(plan, &numbers),
            numbers,
            waiting: BTreeMap::new(),
            busy: BTreeSet::new(),
            startable: BTreeSet::new(),
        };
        for n in 0..plan.tasks.len() {
            schedule.wait_if_due(n);
        }
        match schedule.clone().stuck() {
            Some(task) => Err(ExecuteError::InvalidPlan { problem: format!("task {} can never start", task.id) }),
            None => Ok(schedule),
        }
    }

    /// The next task that may start now, with its number in the plan. A host takes one at a time: its fence refuses a second one.
    pub(super) fn startable(&self) -> Option<(usize, &'a Task)> {
        self.startable.first().map(|n| (*n, &self.plan.tasks[*n]))
    }

    pub(super) fn begin(&mut self, task: &'a Task) {
        let host = task.host.as_str();
        self.busy.insert(host);
        let Some(waiting) = self.waiting.get_mut(host) else { return };
        for n in waiting.iter() {
            self.startable.remove(n);
        }
        if let Some(n) = self.numbers.get(task.id.as_str()) {
            waiting.remove(n);
        }
    }

    /// Takes a task that was begun for done.
    pub(super) fn finish(&mut self, task: &'a Task) {
        let host = task.host.as_str();
        self.busy.remove(host);
        self.startable.extend(self.waiting.get(host).into_iter().flatten());
        let Some(n) = self.numbers.get(task.id.as_str()) else { return };
        for follower in std::mem::take(&mut self.followers[*n]) {
            self.missing[follower] -= 1;
            self.wait_if_due(follower);
        }
    }

    fn wait_if_due(&mut self, n: usize) {
        if self.missing[n] > 0 {
            return;
        }
        let host = self.plan.tasks[n].host.as_str();
        self.waiting.entry(host).or_default().insert(n);
        if !self.busy.contains(host) {
            self.startable.insert(n);
        }
    }

    /// Goes through the whole plan; what is left is never carried out.
    fn stuck(mut self) -> Option<&'a Task> {
        let mut left: BTreeSet<usize> = (0..self.plan.tasks.len()).collect();
        while let Some((n, task)) = self.startable() {
            left.remove(&n);
            self.begin(task);
            // Of two with one name, only one is known by it.
            if self.numbers.get(task.id.as_str()) != Some(&n) {
                return Some(task);
            }
            self.finish(task);
        }
        left.first().map(|n| &self.plan.tasks[*n])
    }
}

/// A task that comes after one that is not there is nobody's follower: it never starts.
fn followers(plan: &Plan, numbers: &HashMap<&str, usize>) -> Vec<Vec<usize>> {
    let mut followers = vec![Vec::new(); plan.tasks.len()];
    for (n, task) in plan.tasks.iter().enumerate() {
        for before in task.after.iter().filter_map(|before| numbers.get(before.as_str())) {
            followers[*before].push(n);
        }
    }
    followers
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

    #[test]
    fn what_comes_after_nothing_or_has_anothers_name_is_no_plan() {
        for tasks in [vec![task("a/1", &["a/0"])], vec![task("a/1", &[]), task("a/1", &[])]] {
            let plan = Plan { tasks, ..plan::example() };
            let refused = Schedule::new(&plan).unwrap_err();
            assert!(refused.to_string().contains("a/1 can never start"), "{refused}");
        }
    }

    #[test]
    fn a_thousand_hosts_are_gone_through_each_task_once_and_in_order() {
        let mut tasks: Vec<Task> = (0..1000).map(|n| task(&format!("h{n}/prepare"), &[])).collect();
        tasks.push(task("h0/init", &["h0/prepare"]));
        tasks.extend((1..1000).map(|n| task(&format!("h{n}/join"), &["h0/init", &format!("h{n}/prepare")])));
        let joined: Vec<String> = (1..1000).map(|n| format!("h{n}/join")).collect();
        let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
        tasks.extend((0..1000).map(|n| task(&format!("h{n}/look"), &joined)));
        let plan = Plan { tasks, ..plan::example() };
        let mut schedule = Schedule::new(&plan).unwrap();
        let mut waves = Vec::new();
        loop {
            let mut under_way = Vec::new();
            while let Some((_, task)) = schedule.startable() {
                schedule.begin(task);
                under_way.push(task);
            }
            if under_way.is_empty() {
                break;
            }
            waves.push(under_way.len());
            under_way.into_iter().for_each(|task| schedule.finish(task));
        }
        assert_eq!(waves, [1000, 1, 999, 1000]);
    }
}
