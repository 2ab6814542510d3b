//! What an apply comes to where it is to do nothing but take hosts in.

use sealock_node::Probe;

use super::{Assessment, Plan, prepare};

/// Steps on hosts that stay, by which they come to know of those that come.
const TELL: [&str; 3] = [prepare::NETWORK, prepare::PROXY_UNIT, prepare::PROXY_NAME];
/// Waits on the host that speaks for the cluster.
const WAIT: &str = "ready/";

/// Steps of `plan` that would change something else than that `hosts` come, each as `host: step`: those of other hosts, but for what tells
/// them of `hosts`.
pub(crate) fn beyond(plan: &Plan, assessment: &Assessment, hosts: &[String]) -> Vec<String> {
    let others = assessment.differences(plan).filter(|(task, ..)| !hosts.contains(&task.host));
    let changes = others.filter(|(_, step, probe)| {
        let tells = TELL.contains(&step.id.as_str()) || step.id.starts_with(WAIT);
        // Of what cannot be told, or is in the way, the apply itself says so.
        !tells && matches!(probe, Probe::NotDone { .. })
    });
    changes.map(|(task, step, _)| format!("{}: {}", task.host, step.id)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sealock_node::Step;
    use sealock_node::step::KernelModule;

    use super::*;
    use crate::plan::{Task, example};

    #[test]
    fn what_tells_the_others_is_part_of_it_and_all_else_is_not() {
        let task = |id: &str, steps: &[&str]| Task {
            id: id.into(),
            host: id.split('/').next().unwrap_or_default().into(),
            after: Vec::new(),
            secrets: Vec::new(),
            steps: steps.iter().map(|id| Step::new(*id, KernelModule { modules: Vec::new() })).collect(),
        };
        let tasks = vec![
            task("cp1/prepare", &["containerd/config", "network", "local-proxy/unit"]),
            task("w1/prepare", &["containerd/config", "network"]),
            task("cp1/ready", &["ready/w1"]),
        ];
        let plan = Plan { tasks, ..example() };
        let missing = |task: &Task| -> BTreeMap<String, Probe> {
            task.steps.iter().map(|step| (step.id.clone(), Probe::not_done("it is not there"))).collect()
        };
        let all = plan.tasks.iter().map(|task| (task.id.clone(), missing(task))).collect();
        let mut assessment = Assessment { tasks: all };
        assert_eq!(beyond(&plan, &assessment, &["w1".into()]), ["cp1: containerd/config"]);
        let config = assessment.tasks.get_mut("cp1/prepare").and_then(|steps| steps.get_mut("containerd/config"));
        *config.expect("it is in the plan") = Probe::Done;
        assert_eq!(beyond(&plan, &assessment, &["w1".into()]), [""; 0]);
    }
}
