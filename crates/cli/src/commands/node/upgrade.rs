//! `sealock node upgrade`

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use sealock_cluster::machine::upgrade::{self, Asking, Emptying, Goal, Upgradable};
use sealock_cluster::machine::{
    self, BegunUpgrade, MachineError, MachinePlan, Means, Supply, kubernetes_images, plan, take_program,
};
use sealock_cluster::release::Program;
use sealock_cluster::spec::KubernetesVersion;
use sealock_node::runner::{self, RunError};
use sealock_node::{HostFacts, Local, facts};

use super::super::cluster::drain::HowArgs;
use super::carry_out;
use super::own_node::overrides;
use super::supply::SupplyArgs;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Bring this node to another version of Kubernetes, or to other components below it
///
/// For a node that `node init` or `node join` has set up: the control planes first, one after the other, and then the workers. Images and
/// programs are there before anything changes, and on a control plane a snapshot of etcd. Minor versions are taken one by one. The node is
/// emptied as budgets allow, unless it is the only one, and nothing on it is reset: what it keeps stays. Cut off anywhere, the same command
/// goes on, also while no API server answers. A node that fails becomes again what it was, where that can be had on the machine alone.
///
/// containerd, runc and CNI plugins of the release come along; --components brings them alone, for the Kubernetes that runs.
#[derive(Debug, clap::Args)]
pub struct UpgradeArgs {
    /// The version of Kubernetes, which the release must carry
    #[arg(long, value_name = "VERSION", required_unless_present = "components")]
    kubernetes: Option<KubernetesVersion>,
    /// Bring containerd, runc and CNI plugins of the release, and leave Kubernetes as it is
    #[arg(long, conflicts_with = "kubernetes")]
    components: bool,
    #[command(flatten)]
    supply: SupplyArgs,
    /// What is done differently, the same as with `prepare`: the fields of `overrides` in a cluster spec
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

impl UpgradeArgs {
    fn goal(&self) -> Goal {
        self.kubernetes.map_or(Goal::Components, Goal::Kubernetes)
    }

    fn asking<'a>(&self, node: &'a Upgradable, kubectl: &'a str) -> Asking<'a> {
        Asking { upgradable: node, goal: self.goal(), kubectl, emptying: self.emptying(), now: Timestamp::now() }
    }

    fn emptying(&self) -> Emptying {
        let rules = self.how.rules();
        Emptying {
            force: rules.force,
            delete_emptydir_data: rules.delete_emptydir_data,
            timeout_seconds: u32::try_from(self.how.timeout().as_secs()).unwrap_or(u32::MAX),
        }
    }
}

pub fn run(args: &UpgradeArgs, context: &Context) -> Result<()> {
    let host = Local::new();
    let facts = facts::observe(&host, Path::new(runner::FOLDER))?;
    let node = upgrade::upgradable(args.goal(), &facts)?;
    let supply = args.supply.open()?;
    let overrides = overrides(args.overrides.as_deref())?;
    args.supply.check_site(&supply, &host)?;
    let images = kubernetes_images(&supply, node.to, context.paths.state())?;
    let resumed = BegunUpgrade::load(&host, args.goal())?;
    let is_resumed = resumed.is_some();
    let told_nothing = || {
        let done = format!("{} runs Kubernetes {}", node.node, node.to);
        carry_out::told(&upgrade::nothing(&node, &facts), (&done, 0), Instant::now(), context)
    };
    if !is_resumed && !node.control_plane && args.kubernetes.is_some() && node.from == node.to {
        return told_nothing();
    }
    let (begun, etcd_members) = match resumed {
        Some(begun) => (upgrade::ask_again(&args.asking(&node, Program::Kubectl.as_str()), begun, &host), None),
        None => begin(args, &node, (&facts, &supply), context)?,
    };
    if !is_resumed && begun.is_there() && !begun.lacks_add_ons() {
        return told_nothing();
    }
    let prepared = plan::Intent {
        kubernetes: node.to,
        control_plane: begun.control_plane.is_some(),
        images: &images,
        release: &supply.release,
        site: &plan::SiteName { id: supply.site.id().to_string(), root: supply.site.fingerprint() },
        registry: &supply.registry,
        overrides: &overrides,
    };
    let program = std::env::current_exe()?;
    let program = program.to_string_lossy();
    let intent = upgrade::Intent {
        prepared: &prepared,
        begun: &begun,
        resumed: is_resumed,
        etcd_members,
        emptying: args.emptying(),
        program: &program,
    };
    let plan = upgrade::upgrade(&intent, &facts)?;
    let done = done(&begun, &supply);
    if !is_resumed && upgrade::is_through(&plan, &machine::probe(&plan, &host)?) {
        return carry_out::told(&plan, (&done, 0), Instant::now(), context);
    }
    if context.dry_run {
        return carry_out::look(&plan, context);
    }
    carry_out::ask(&plan, &question(&begun, &supply, is_resumed), context)?;
    if etcd_members.is_some() {
        // Whoever was asked may have taken an hour.
        context.runtime()?.block_on(upgrade::check_pausable(&host, &facts, &begun))?;
    }
    let (started, means) = (Instant::now(), Means { supply: Some(&supply), secrets: None });
    match carry_out::run(&plan, means, context)? {
        Ok(changed) => carry_out::told(&plan, (&done, changed), started, context),
        Err(error) => Err(after(error, &begun, &plan, context)),
    }
}

/// What the cluster says, before anything is changed; and how many members etcd has, where it goes without this one for a moment.
fn begin(
    args: &UpgradeArgs,
    node: &Upgradable,
    (facts, supply): (&HostFacts, &Supply),
    context: &Context,
) -> Result<(BegunUpgrade, Option<u32>)> {
    let host = Local::new();
    let is_there = facts.components.contains_key(Program::Kubectl.as_str());
    let taken =
        if is_there { None } else { Some(take_program(Program::Kubectl, supply, node.to, context.paths.state())?) };
    let path = taken.as_ref().map(|taken| taken.path().to_string_lossy().into_owned());
    let kubectl = path.as_deref().unwrap_or(Program::Kubectl.as_str());
    let begun = upgrade::ask(&args.asking(node, kubectl), &host)?;
    if !node.control_plane || begun.is_there() {
        return Ok((begun, None));
    }
    let members = context.runtime()?.block_on(upgrade::check_pausable(&host, facts, &begun))?;
    Ok((begun, Some(members)))
}

fn question(begun: &BegunUpgrade, supply: &Supply, is_resumed: bool) -> String {
    let release = supply.release.release.number;
    if begun.is_there() {
        return format!("Bring kube-proxy and CoreDNS of Kubernetes {} to the cluster?", begun.to);
    }
    match (begun.components, is_resumed) {
        (false, false) => format!("Upgrade this machine from Kubernetes {} to {}?", begun.from, begun.to),
        (false, true) => format!("Go on with the upgrade of this machine to Kubernetes {}?", begun.to),
        (true, _) => format!("Bring the components of release {release} to this machine?"),
    }
}

fn done(begun: &BegunUpgrade, supply: &Supply) -> String {
    match begun.components {
        false => format!("{} runs Kubernetes {}", begun.node, begun.to),
        true => format!("{} has the components of release {}", begun.node, supply.release.release.number),
    }
}

/// Where the node has failed because of what it became, it becomes again what it was.
fn after(error: MachineError, begun: &BegunUpgrade, plan: &MachinePlan, context: &Context) -> CommandError {
    let failed = match &error {
        MachineError::Run(run) => match run.as_ref() {
            RunError::Step { step, .. } if upgrade::is_of_the_node(plan, step) => error.to_string(),
            _ => return error.into(),
        },
        _ => return error.into(),
    };
    let error = CommandError::from(error);
    match take_back(begun, plan, &failed, context) {
        Ok(()) => {
            let pods = if begun.cordoned { "" } else { ", and takes pods" };
            error.hint(format!(
                "{} became again what it was before, Kubernetes {}{pods}. Mend what failed, and run the command again.",
                begun.node, begun.from
            ))
        }
        Err(because) => {
            let because = because.chain().join(": ");
            error.hint(format!("The node was not taken back: {because}. The same command goes on once it is mended."))
        }
    }
}

fn take_back(begun: &BegunUpgrade, plan: &MachinePlan, failed: &str, context: &Context) -> Result<()> {
    context.runtime()?.block_on(upgrade::check_goes_back(&Local::new(), begun))?;
    context.ui.warn(failed);
    let back = upgrade::back(begun, plan);
    context.ui.note(&back);
    carry_out::run(&back, Means::default(), context)??;
    Ok(())
}
