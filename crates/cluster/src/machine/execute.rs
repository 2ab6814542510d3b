//! Carrying a plan out, under the machine's journal and fence.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use sealock_node::fence::Fence;
use sealock_node::host::Host;
use sealock_node::request::{RUN_FORMAT, RunRequest, Secrets};
use sealock_node::runner::RunError;
use sealock_node::{Event, EventKind, Probe, fence, runner};
use sealock_trust::Digest;

use super::error::MachineError;
use super::member::{await_vote, forget};
use super::plan::{MachinePlan, Purpose};
use super::supply::Supply;
use super::upgrade;

/// What the machine says about each step of `plan`, by its id. Nothing is changed.
///
/// # Errors
/// The machine refuses.
pub fn probe(plan: &MachinePlan, host: &dyn Host) -> Result<BTreeMap<String, Probe>, MachineError> {
    let found = std::cell::RefCell::new(BTreeMap::new());
    let hear = |event: Event| {
        if let EventKind::StepProbed { step, probe } = event.what {
            found.borrow_mut().insert(step, probe);
        }
    };
    runner::probe(&request(plan, 0)?, host, &hear)?;
    Ok(found.into_inner())
}

/// Nothing that is not Sealock's stands in the way of `plan`. Nothing is changed.
///
/// # Errors
/// [`MachineError::InTheWay`], [`MachineError::MadeOtherwise`]; the machine refuses.
pub fn check_free(plan: &MachinePlan, host: &dyn Host) -> Result<(), MachineError> {
    let in_the_way = probe(plan, host)?.into_values().filter_map(|probe| match probe {
        Probe::Foreign { found } => Some(found),
        _ => None,
    });
    let mut found: Vec<String> = in_the_way.collect();
    // Each phase of kubeadm says the same.
    found.dedup();
    match plan.purpose {
        _ if found.is_empty() => Ok(()),
        Purpose::Init | Purpose::Join => Err(MachineError::MadeOtherwise { found }),
        Purpose::Prepare | Purpose::Reset | Purpose::Upgrade | Purpose::TakeBack => {
            Err(MachineError::InTheWay { found })
        }
    }
}

/// Takes this machine, so that no other run changes it until what is answered is dropped.
///
/// # Errors
/// Another run is under way.
pub fn hold(folder: &Path) -> Result<Fence, MachineError> {
    let generation = fence::current(folder)?.map_or(1, |fence| fence.generation + 1);
    Ok(Fence::claim(folder, generation, ALONE).map_err(RunError::from)?)
}

/// Who holds a machine by itself.
const ALONE: &str = "this machine";
/// The id under which the journal has that a member leaves its etcd.
const LEAVES: &str = "etcd/leave";
/// The id under which it has that the machine's own member votes.
const VOTES: &str = "etcd/vote";

/// What a plan is carried out with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Means<'a> {
    /// Where steps fetch from, where they do.
    pub supply: Option<&'a Supply>,
    /// What steps ask for that stands in no plan.
    pub secrets: Option<&'a Secrets>,
}

/// Carries `plan` out, and answers how many steps changed the machine. Run again after it was cut off, it looks at everything anew,
/// and does what is missing. What is not Sealock's is refused before anything is changed, and no member leaves its etcd before the
/// machine is held and its journal is open.
///
/// # Errors
/// The first thing that failed.
pub async fn carry_out(
    plan: &MachinePlan,
    means: Means<'_>,
    host: &dyn Host,
    folder: &Path,
    tell: &dyn Fn(&Event),
) -> Result<usize, MachineError> {
    check_free(plan, host)?;
    let generation = fence::current(folder)?.map_or(1, |fence| fence.generation + 1);
    let mut request = request(plan, generation)?;
    let changed = Cell::new(0);
    let hear = |event: Event| {
        if let EventKind::StepDone { changed: true, .. } = event.what {
            changed.set(changed.get() + 1);
        }
        tell(&event);
    };
    let none = Secrets::default();
    let secrets = means.secrets.unwrap_or(&none);
    match means.supply {
        None => {
            let mut begun = runner::Begun::begin(&request, folder)?;
            by_itself(plan, &mut begun, host, (secrets, &hear)).await?;
            begun.finish()?;
        }
        Some(supply) => {
            request.registry = Some(supply.registry.clone());
            let run = runner::Run {
                request: &request,
                site_root: supply.site.as_bytes(),
                release: &supply.file,
                store: supply.store.as_deref(),
                secrets,
            };
            runner::run(run, host, folder, &hear)?;
        }
    }
    if matches!(plan.purpose, Purpose::Upgrade | Purpose::TakeBack) {
        upgrade::forget(host)?;
    }
    Ok(changed.get())
}

/// What is done where nothing is fetched: steps, and between them what is asked of others.
async fn by_itself(
    plan: &MachinePlan,
    begun: &mut runner::Begun,
    host: &dyn Host,
    means: (&Secrets, &dyn Fn(Event)),
) -> Result<(), MachineError> {
    if matches!(plan.purpose, Purpose::Init | Purpose::Join) {
        forget(host)?;
    }
    let before = if plan.joins_etcd.is_some() { plan.before_newcomer() } else { plan.before_leaving() };
    begun.steps(before, host, means)?;
    let after = &plan.steps[before.len()..];
    if let (Some(newcomer), Some(brings_it)) = (&plan.joins_etcd, after.first())
        && !probe(plan, host)?.get(&brings_it.id).is_some_and(Probe::is_done)
    {
        newcomer.check(host).await?;
    }
    if let Some(member) = &plan.leaves_etcd {
        asked(begun, LEAVES, member.leave(host)).await?;
    }
    begun.steps(after, host, means)?;
    if plan.joins_etcd.is_some() {
        asked(begun, VOTES, await_vote(host)).await?;
    }
    if plan.purpose == Purpose::Reset {
        begun.forget_earlier()?;
    }
    Ok(())
}

/// Has the journal hold that `ask` is begun, and what it came to.
async fn asked(
    begun: &mut runner::Begun,
    id: &str,
    ask: impl Future<Output = Result<(), MachineError>>,
) -> Result<(), MachineError> {
    begun.intend(id)?;
    let answer = ask.await;
    let recorded = begun.asked(id, answer.as_ref().err().map(ToString::to_string));
    // The error itself counts for more than that the journal could not take it.
    answer?;
    Ok(recorded?)
}

fn request(plan: &MachinePlan, generation: u64) -> Result<RunRequest, MachineError> {
    Ok(RunRequest {
        format: RUN_FORMAT.to_owned(),
        plan: Digest::sha256(&serde_json::to_vec(plan).map_err(MachineError::Unwritable)?),
        node: plan.machine.clone(),
        generation,
        nonce: ALONE.to_owned(),
        registry: None,
        steps: plan.steps.clone(),
    })
}
