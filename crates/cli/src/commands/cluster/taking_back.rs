//! An upgrade that is carried out, and what becomes of nodes that fail in it.

use std::collections::BTreeMap;

use sealock_cluster::operator::{Applied, OperatorError, Planned};
use sealock_cluster::plan::Draining;
use sealock_cluster::spec::OnFailure;
use sealock_cluster::{Cluster, Plan};
use sealock_node::StepKind;

use super::plan::print;
use super::progress;
use super::target::Target;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// An upgrade on its way: of Kubernetes, or of components.
pub struct Upgrading<'a> {
    pub target: &'a Target,
    pub cluster: &'a Cluster,
    pub draining: &'a Draining,
    /// What goes on with it.
    pub again: &'a str,
}

impl Upgrading<'_> {
    /// Carries `planned` out. Where a node fails in it, the node becomes again what it was, if the spec says so and it can be had on the
    /// node alone; the upgrade stays open.
    ///
    /// # Errors
    /// The first step that failed, with what became of its node.
    pub fn carry_out(&self, planned: &Planned, context: &Context) -> Result<Applied> {
        let (operator, runtime) = (self.target.operator_now(context)?, context.runtime()?);
        let outcome = {
            let live = context.ui.live();
            runtime.block_on(operator.apply(planned, &|event| progress::tell(&live, event)))
        };
        match outcome {
            Err(error) if error.is_of_a_step() => Err(self.after(error, &planned.plan, context)),
            outcome => Ok(outcome?),
        }
    }

    fn after(&self, error: OperatorError, upgrade: &Plan, context: &Context) -> CommandError {
        let failed = error.to_string();
        let error = CommandError::from(error);
        if self.cluster.spec().upgrade.on_failure == OnFailure::Halt {
            let (again, back) = (self.again, "`sealock cluster rollback` takes the upgrade back");
            return error.hint(format!(
                "The node stays as it is, for the spec says `upgrade.onFailure: halt`. `{again}` goes on; {back}."
            ));
        }
        match self.take_back(upgrade, &failed, context) {
            Ok(Some(nodes)) => error.hint(format!(
                "{nodes} as before. {}. The others wait: mend what failed, and `{}` goes on; or `sealock cluster rollback` takes the whole upgrade back.",
                self.serving(context),
                self.again
            )),
            Ok(None) => error,
            Err(because) => {
                let because = because.chain().join(": ");
                error.hint(format!(
                    "The node was not taken back: {because}. {}. `{}` goes on once it is mended.",
                    self.serving(context),
                    self.again
                ))
            }
        }
    }

    /// What has become of the nodes that were put back; nothing where none has to be.
    fn take_back(&self, upgrade: &Plan, failed: &str, context: &Context) -> Result<Option<String>> {
        let operator = self.target.operator_now(context)?;
        let planned = operator.plan_taking_back(self.cluster, self.draining.clone(), upgrade);
        let Some(planned) = context.runtime()?.block_on(planned)? else { return Ok(None) };
        context.ui.warn(failed);
        context.ui.note(print(&planned).brief());
        super::carry_out::carry_out(&operator, &planned, context)?;
        Ok(Some(match nodes_of(&planned.plan).as_slice() {
            [node] => format!("{node} became again what it was before, and takes pods"),
            nodes => format!("{} became again what they were before, and take pods", nodes.join(" and ")),
        }))
    }

    /// What the nodes run now, in words.
    fn serving(&self, context: &Context) -> String {
        let runtime = context.runtime();
        let status = runtime.map(|runtime| runtime.block_on(self.target.operator().status(self.cluster)));
        let Ok(Ok(status)) = status else { return "What the nodes run is not told".to_owned() };
        let mut running: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for host in &status.hosts {
            let state = match &host.node {
                Some(node) if node.ready => format!("serve as {} on {}", node.kubelet, node.runtime),
                Some(_) => "are not Ready".to_owned(),
                None => "are not told of".to_owned(),
            };
            running.entry(state).or_default().push(&host.name);
        }
        let told = running.iter().map(|(state, hosts)| format!("{} {state}", hosts.join(", ")));
        format!("Nodes now: {}", told.collect::<Vec<_>>().join("; "))
    }
}

/// The nodes that `plan` puts back.
pub fn nodes_of(plan: &Plan) -> Vec<&str> {
    let is_back = |task: &&sealock_cluster::plan::Task| {
        task.steps.iter().any(|step| matches!(step.action, StepKind::TakenBack(_)))
    };
    plan.tasks.iter().filter(is_back).map(|task| task.host.as_str()).collect()
}
