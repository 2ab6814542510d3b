//! The part of a plan that can be carried out before the hour that the rest is for: what only brings things to hosts.

use super::{Plan, Purpose, Task};

/// A part of a plan after which nothing that runs is another, so that the rest may wait for its hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Of a plan to make a cluster: hosts are claimed and get what kubeadm will need.
    Prepare,
    /// Of an upgrade: images and programs lie on every host beside those in use.
    Stage,
}

impl Phase {
    /// As its tasks are called, behind the name of the host.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Stage => "stage",
        }
    }

    /// Whether `task` belongs to it.
    pub(super) fn has(self, task: &Task) -> bool {
        task.id.rsplit('/').next() == Some(self.as_str())
    }
}

impl Plan {
    /// This part of the plan, on hosts that it is for, as a plan of its own: it has an end, and the rest is planned anew.
    #[must_use]
    pub(crate) fn only(mut self, phase: Phase, is_for: impl Fn(&str) -> bool) -> Self {
        self.purpose = Purpose::Prepare;
        self.tasks.retain(|task| phase.has(task) && is_for(&task.host));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::example;

    #[test]
    fn what_is_for_a_later_hour_is_left_out() {
        let task = |id: &str, after: &[&str]| Task {
            id: id.into(),
            host: id.split('/').next().unwrap_or_default().into(),
            after: after.iter().map(|id| (*id).to_owned()).collect(),
            secrets: Vec::new(),
            steps: Vec::new(),
        };
        let tasks = vec![
            task("cp1/prepare", &[]),
            task("w1/prepare", &[]),
            task("cp1/init", &["cp1/prepare"]),
            task("w1/join", &["w1/prepare", "cp1/init"]),
        ];
        let whole = Plan { tasks, ..example() };
        let part = whole.clone().only(Phase::Prepare, |_| true);
        let ids: Vec<&str> = part.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["cp1/prepare", "w1/prepare"]);
        assert_eq!((part.purpose, part.spec.clone()), (Purpose::Prepare, whole.spec.clone()));
        assert_eq!(whole.clone().only(Phase::Prepare, |host| host == "w1").tasks.len(), 1);
        assert!(whole.only(Phase::Stage, |_| true).tasks.is_empty());
    }
}
