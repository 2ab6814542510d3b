//! A plan as a person reviews it.

use std::collections::BTreeMap;
use std::fmt;

use sealock_node::step::Stage;
use sealock_node::{Class, Probe, Step};
use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Task, stage_of};

/// What the hosts said about the steps of a plan: not part of the plan, since it changes while the plan is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assessment {
    /// By task, then by step.
    pub tasks: BTreeMap<String, BTreeMap<String, Probe>>,
}

impl Assessment {
    /// What the host said about `step` of `task`.
    pub fn probe(&self, task: &str, step: &str) -> Option<&Probe> {
        self.tasks.get(task)?.get(step)
    }

    /// Whether every step of `task` is done.
    pub fn is_done(&self, task: &Task) -> bool {
        task.steps.iter().all(|step| self.probe(&task.id, &step.id).is_some_and(Probe::is_done))
    }

    /// Whether every step of `plan` is done: there is nothing to do.
    pub fn all_done(&self, plan: &Plan) -> bool {
        plan.tasks.iter().all(|task| self.is_done(task))
    }

    /// Steps of `plan` that are not done, as their hosts said, each with what was found.
    pub fn differences<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a Task, &'a Step, &'a Probe)> {
        self.found(plan).filter(|(.., probe)| !probe.is_done())
    }

    /// How much of `plan` there is to do.
    pub fn tally(&self, plan: &Plan) -> Tally {
        let steps = plan.tasks.iter().map(|task| task.steps.len()).sum();
        let done = self.found(plan).filter(|(.., probe)| probe.is_done()).count();
        let in_the_way = self.obstacles(plan).len();
        Tally { steps, to_do: steps - done - in_the_way, done, in_the_way }
    }

    fn found<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a Task, &'a Step, &'a Probe)> {
        let steps = plan.tasks.iter().flat_map(|task| task.steps.iter().map(move |step| (task, step)));
        steps.filter_map(|(task, step)| Some((task, step, self.probe(&task.id, &step.id)?)))
    }

    /// Steps that something stands in the way of, as `(host, step, what was found)`.
    pub fn obstacles<'a>(&'a self, plan: &'a Plan) -> Vec<(&'a str, &'a str, &'a str)> {
        let in_the_way = |(task, step, probe): (&'a Task, &'a Step, &'a Probe)| match probe {
            Probe::Foreign { found } => Some((task.host.as_str(), step.id.as_str(), found.as_str())),
            _ => None,
        };
        self.found(plan).filter_map(in_the_way).collect()
    }
}

/// How much of a plan there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// All steps.
    pub steps: usize,
    /// Those that are not done.
    pub to_do: usize,
    /// Those that are.
    pub done: usize,
    /// Those that something of others stands in the way of.
    pub in_the_way: usize,
}

/// A plan as a person reviews it; `Display` writes it.
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the hosts said about its steps, where they were asked.
    pub assessment: Option<&'a Assessment>,
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.deviations(f)?;
        for host in &self.plan.hosts {
            let roles: Vec<String> = host.roles.iter().map(ToString::to_string).collect();
            let pods = if host.pods.is_empty() { String::new() } else { format!(", pods {}", host.pods) };
            writeln!(f, "\n{} ({}, {}{pods})", host.name, host.address, roles.join(" and "))?;
            for task in self.plan.tasks.iter().filter(|task| task.host == host.name) {
                self.task(f, task)?;
            }
        }
        writeln!(f)?;
        self.summary(f)
    }
}

/// What a plan comes to, without its steps; `Display` writes it.
#[derive(Clone, Copy, Debug)]
pub struct Brief<'a>(Printed<'a>);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.head(f)?;
        self.0.summary(f)
    }
}

impl<'a> Printed<'a> {
    /// The plan without its steps: what it is for, its digest, and how much there is to do.
    pub fn brief(self) -> Brief<'a> {
        Brief(self)
    }
}

impl Printed<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let digest = plan.digest().map_err(|_| fmt::Error)?;
        let release = plan.release.number;
        match plan.purpose {
            Purpose::Apply => {
                writeln!(
                    f,
                    "Plan to make cluster {} (Kubernetes {}, release {release})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Prepare => {
                writeln!(
                    f,
                    "Plan to bring to hosts of cluster {} what Kubernetes {} of release {release} will need, and no more",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Adopt => {
                writeln!(
                    f,
                    "Plan to take over cluster {} as it runs (Kubernetes {}, release {release})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Reset => writeln!(f, "Plan to give back the hosts of cluster {}", plan.cluster)?,
            Purpose::Renew => writeln!(f, "Plan to make the certificates of cluster {} anew", plan.cluster)?,
            Purpose::Upgrade => {
                writeln!(
                    f,
                    "Plan to upgrade cluster {} to Kubernetes {} (release {release})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Components => {
                writeln!(
                    f,
                    "Plan to bring the components of release {release} to cluster {} (Kubernetes stays {})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::OsPackages => {
                writeln!(
                    f,
                    "Plan to bring OS packages of release {release} to cluster {} (Kubernetes stays {})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Rollback => {
                writeln!(
                    f,
                    "Plan to take back what an upgrade has made of nodes of cluster {} (Kubernetes {} again)",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Member => {
                writeln!(f, "Plan to bring a lost member of the etcd of cluster {} back", plan.cluster)?;
            }
            Purpose::Neighbours => {
                writeln!(f, "Plan to tell the hosts of cluster {} who is still there", plan.cluster)?;
            }
            Purpose::Rescue => {
                writeln!(f, "Plan to bring cluster {} back, whose certificates have ended", plan.cluster)?;
            }
            Purpose::Restore => {
                writeln!(
                    f,
                    "Plan to make cluster {} again from a backup (Kubernetes {}, release {release})",
                    plan.cluster, plan.kubernetes
                )?;
            }
            Purpose::Authorities => {
                let what = match stage_of(plan) {
                    None | Some(Stage::Trust) => "believe new authorities beside the old ones",
                    Some(Stage::Issue) => "have the new authorities issue",
                    Some(Stage::Drop) => "believe the old authorities no more",
                };
                writeln!(f, "Plan to have cluster {} {what}", plan.cluster)?;
            }
            Purpose::Requests => {
                writeln!(f, "Plan to have hosts of cluster {} make keys, and requests for certificates", plan.cluster)?;
            }
            Purpose::Remove => writeln!(f, "Plan to take a host out of cluster {} and give it back", plan.cluster)?,
        }
        writeln!(f, "Digest {digest}")
    }

    fn deviations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.deviations.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nDeviations (from the spec's overrides)")?;
        self.plan.deviations.iter().try_for_each(|deviation| writeln!(f, "  ~ {deviation}"))
    }

    fn task(&self, f: &mut fmt::Formatter<'_>, task: &Task) -> fmt::Result {
        let name = task.id.rsplit('/').next().unwrap_or(&task.id);
        let after = if task.after.is_empty() { String::new() } else { format!(" (after {})", task.after.join(", ")) };
        writeln!(f, "  {name}{after}")?;
        for step in &task.steps {
            let probe = self.assessment.and_then(|assessment| assessment.probe(&task.id, &step.id));
            let (mark, remark) = match probe {
                Some(Probe::Done) => ('=', String::new()),
                Some(Probe::Foreign { found }) => ('!', format!("  <- in the way: {found}")),
                Some(Probe::Unknown { because }) => ('?', format!("  <- cannot tell: {because}")),
                Some(Probe::NotDone { .. }) | None if step.class() == Class::OneWay => ('-', String::new()),
                Some(Probe::NotDone { .. }) | None => ('+', String::new()),
            };
            writeln!(f, "    {mark} {step}{remark}")?;
        }
        Ok(())
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.plan.hosts.len();
        let Some(assessment) = self.assessment else {
            let total: usize = self.plan.tasks.iter().map(|task| task.steps.len()).sum();
            return writeln!(f, "{total} steps on {hosts} hosts.");
        };
        let Tally { steps, to_do, done, in_the_way } = assessment.tally(self.plan);
        let in_the_way = if in_the_way > 0 { format!(", {in_the_way} in the way") } else { String::new() };
        writeln!(f, "{to_do} of {steps} steps to do on {hosts} hosts, {done} done{in_the_way}.")
    }
}
