//! `sealock cluster drain`

use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sealock_cluster::nodes::{self, Drained, Draining, PodName, Progress, Rules, Stays};
use sealock_cluster::plan::Draining as Waves;
use sealock_cluster::spec::{Drain, Upgrade};

use super::running::{NodeArgs, Running};
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Table, Ui, took};

/// Take a node's pods away, as fast as their budgets allow
///
/// The node takes no new pods. Each pod is evicted as soon as its PodDisruptionBudget lets it go, and what holds one up is said.
/// Pods of DaemonSets and static pods stay. Where a pod would be lost, or what it wrote, nothing is changed unless flags allow
/// that. `uncordon` gives the node back.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Which pods may be lost, and how long they are waited for.
#[derive(Debug, clap::Args)]
pub struct HowArgs {
    /// Seconds to wait until all are gone [default: 600]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Evict pods, too, that nothing starts anew
    #[arg(long)]
    force: bool,
    /// Evict pods, too, that have written into emptyDir volumes: what is there is gone with them
    #[arg(long)]
    delete_emptydir_data: bool,
}

impl HowArgs {
    pub fn rules(&self) -> Rules {
        Rules { force: self.force, delete_emptydir_data: self.delete_emptydir_data }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(Drain::TIMEOUT_SECONDS).into())
    }

    /// For several nodes one after the other: what is said here goes before what `policy` says.
    pub fn waves(&self, max_unavailable: Option<NonZeroU16>, policy: &Upgrade) -> Waves {
        let drain = Drain {
            timeout_seconds: self.timeout.or(policy.drain.timeout_seconds),
            force: self.force || policy.drain.force,
            delete_emptydir_data: self.delete_emptydir_data || policy.drain.delete_emptydir_data,
        };
        Waves::of(&Upgrade { max_unavailable: max_unavailable.or(policy.max_unavailable), drain, ..*policy })
    }
}

pub fn run(args: &DrainArgs, context: &Context) -> Result<()> {
    let running = Running::of_node(&args.node, context)?;
    let (toolbox, runtime) = (running.toolbox(), context.runtime()?);
    let (node, target) = (args.node.host.as_str(), running.target(&toolbox));
    let rules = args.how.rules();
    if context.dry_run {
        let draining = runtime.block_on(nodes::look(node, rules, &target))?;
        context.ui.result(&draining, pods(&draining))?;
        context.ui.note("nothing was changed");
        return Ok(());
    }
    let (started, told) = (Instant::now(), Told::default());
    let timeout = args.how.timeout();
    let tell = |event: &Progress<'_>| told.tell(&context.ui, event);
    let drained = runtime.block_on(nodes::drain(node, rules, timeout, &target, &tell))?;
    let Drained { evicted, stayed } = drained;
    let text =
        format!("{node} is empty: {evicted} pods left, {stayed} stay with the node, in {}", took(started.elapsed()));
    context.ui.result(&drained, text)
}

fn pods(draining: &Draining) -> String {
    let mut table = Table::new(["pod", "becomes"]);
    for leaving in &draining.leaving {
        table.row([leaving.pod.to_string(), "evicted".to_owned()]);
    }
    for staying in &draining.staying {
        let why = match staying.why {
            Stays::DaemonSet => "stays: of a DaemonSet",
            Stays::Static => "stays: from a file on the node",
        };
        table.row([staying.pod.to_string(), why.to_owned()]);
    }
    let mut text = String::new();
    let _ = write!(text, "{table}");
    text
}

/// Says what has changed since it was said last.
#[derive(Default)]
pub struct Told(Mutex<Vec<(PodName, String)>>);

impl Told {
    pub fn tell(&self, ui: &Ui, progress: &Progress<'_>) {
        match progress {
            Progress::Begun(draining) => {
                ui.done(format_args!("no new pods come; {} are evicted", draining.leaving.len()));
            }
            Progress::Gone(pod) => ui.done(format_args!("{pod} is gone")),
            Progress::Waiting(waiting) => self.waiting(ui, waiting),
        }
    }

    fn waiting(&self, ui: &Ui, waiting: &[(PodName, String)]) {
        let Ok(mut before) = self.0.lock() else { return };
        for (pod, why) in waiting.iter().filter(|one| !before.contains(one)) {
            ui.note(format_args!("  {pod}: {why}"));
        }
        *before = waiting.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sealock_cluster::spec::OnFailure;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        how: HowArgs,
    }

    #[test]
    fn what_is_said_goes_before_what_the_spec_says() {
        let drain = Drain { timeout_seconds: Some(90), force: false, delete_emptydir_data: true };
        let policy = Upgrade { on_failure: OnFailure::Halt, max_unavailable: NonZeroU16::new(3), drain };
        let waves = |line: &[&str], max: Option<NonZeroU16>, policy: &Upgrade| {
            let how = Line::parse_from([&["drain"], line].concat()).how;
            let Waves { force, delete_emptydir_data, timeout_seconds, max_unavailable, .. } = how.waves(max, policy);
            (force, delete_emptydir_data, timeout_seconds, max_unavailable)
        };
        assert_eq!(waves(&[], None, &Upgrade::default()), (false, false, 600, 1));
        assert_eq!(waves(&[], None, &policy), (false, true, 90, 3));
        let said = ["--force", "--timeout", "30"];
        assert_eq!(waves(&said, NonZeroU16::new(2), &policy), (true, true, 30, 2));
    }
}
