//! What has to be done on this machine, in order. Pure: the same observation gives the same plan.

use std::fmt;

use sealock_node::Step;
use sealock_node::changes::Subject;
use sealock_node::step::{
    Directory, EtcdCertificates, EtcdRestored, EtcdStopped, File, GiveBack, LocalFile, LocalProgram, Mode, SetAside,
    StepKind, Unit,
};
use sealock_trust::Digest;
use serde::Serialize;

use super::config::{self, Bootstrap, Known};
use super::error::MachineError;
use super::files::{self, MANIFEST, OTHERS, UNIT};
use super::observe::{Observed, Supervision};
use super::settings::{Settings, Supervisor};
use crate::etcd::quorum::{self, Refusal};
use crate::etcd::{Member, MemberId, Survey};

/// A certificate with fewer days left is issued again whenever a plan is carried out.
const RENEW_BEFORE_DAYS: u32 = 30;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The first member of a new cluster.
    Init,
    /// One more member.
    Join,
    /// This member goes, and its machine is what it was.
    Reset,
    /// The member's data comes from a snapshot.
    Restore,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachinePlan {
    /// What for.
    pub purpose: Purpose,
    /// The member's name.
    pub member: String,
    /// In this order.
    pub stages: Vec<Stage>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
}

/// Something done on this machine, or asked of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "on")]
pub enum Stage {
    /// Steps on this machine.
    Machine {
        /// In this order.
        steps: Vec<Step>,
    },
    /// A change of the cluster.
    Cluster {
        /// Which.
        act: Act,
    },
}

/// What is asked of the cluster. Each looks first, and does only what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "act")]
pub enum Act {
    /// Add this machine's member, without a vote.
    #[serde(rename_all = "camelCase")]
    AddLearner {
        /// Its name.
        name: String,
        /// Where its peers reach it.
        peer_url: String,
        /// The peer URLs of all others, as the plan was made for them.
        others: Vec<String>,
    },
    /// Wait until this machine's member serves.
    #[serde(rename_all = "camelCase")]
    AwaitServing {
        /// Where its peers reach it.
        peer_url: String,
        /// The command line that somebody else has to start, where neither systemd nor kubelet does.
        start: Option<String>,
        /// How many members its cluster has.
        members: usize,
    },
    /// Give this machine's member its vote, once it has caught up.
    #[serde(rename_all = "camelCase")]
    Promote {
        /// Where its peers reach it.
        peer_url: String,
    },
    /// Have another member lead.
    StepDown {
        /// Who leads now, if it is this machine's member.
        member: MemberId,
    },
    /// Remove the member, and have another one confirm it.
    Remove {
        /// Which.
        member: MemberId,
    },
}

impl Act {
    /// The id under which the journal has it.
    pub fn id(&self) -> &'static str {
        match self {
            Self::AddLearner { .. } => "cluster/add-learner",
            Self::AwaitServing { .. } => "cluster/await-serving",
            Self::Promote { .. } => "cluster/promote",
            Self::StepDown { .. } => "cluster/step-down",
            Self::Remove { .. } => "cluster/remove",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddLearner { name, peer_url, .. } => {
                write!(f, "add {name} at {peer_url} to the cluster, without a vote")
            }
            Self::AwaitServing { start: None, .. } => f.write_str("wait until the member serves"),
            Self::AwaitServing { start: Some(line), .. } => write!(f, "wait until somebody has started `{line}`"),
            Self::Promote { .. } => f.write_str("wait until the member has caught up, and give it its vote"),
            Self::StepDown { .. } => f.write_str("have another member lead, if this one does"),
            Self::Remove { member } => write!(f, "remove member {member}, confirmed by another one"),
        }
    }
}

impl fmt::Display for MachinePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        let mut line = |f: &mut fmt::Formatter<'_>, place: &str, what: &dyn fmt::Display| {
            number += 1;
            writeln!(f, "{number:>3}  {place:<8} {what}")
        };
        for stage in &self.stages {
            match stage {
                Stage::Machine { steps } => steps.iter().try_for_each(|step| line(f, "machine", step))?,
                Stage::Cluster { act } => line(f, "cluster", act)?,
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  !  {warning}"))
    }
}

/// A snapshot to begin from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Absolute path.
    pub snapshot: String,
    /// Of the file.
    pub digest: Digest,
    /// Absolute path of `etcdutl`.
    pub etcdutl: String,
    /// All members of the restored cluster, as `name=peer URL` separated by commas; this one alone where it is not given.
    pub initial_cluster: Option<String>,
    /// Tells the restored cluster from the one before.
    pub token: String,
    /// By how much the revision is raised.
    pub bump: u64,
}

/// What a plan is made of beside the settings.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What stands on this machine.
    pub observed: &'a Observed,
    /// The name under which data is set aside: it says when.
    pub aside: &'a str,
    /// Whether data that is in the way may be set aside.
    pub may_set_aside: bool,
}

/// The first member of a new cluster, with data from a snapshot where one is given.
///
/// # Errors
/// There is another member here, or data that may not be set aside.
pub fn init(settings: &Settings, restore: Option<&Restore>, given: Given<'_>) -> Result<MachinePlan, MachineError> {
    let again = same_member(settings, given.observed)?;
    let resumed = again.is_some() && given.observed.has_data && !given.may_set_aside;
    let mut steps = prepare(settings, true);
    if given.observed.has_data && !resumed {
        steps.extend(set_aside(&settings.data, given, "of a member that is not known here")?);
    }
    steps.push(data_folder(settings));
    if let Some(restore) = restore.filter(|_| !resumed) {
        let (name, peer) = (settings.name.clone(), settings.peer_url());
        steps.push(restored(restore, (name, peer, settings.data.clone()), given.aside));
    }
    let only = format!("{}={}", settings.name, settings.peer_url());
    let fresh = Bootstrap { initial_cluster: only, state: "new".into(), token: settings.token.clone() };
    let bootstrap = again.filter(|_| resumed).map_or(fresh, |known| known.bootstrap.clone());
    steps.extend(run(settings, &bootstrap)?);
    let members = bootstrap.initial_cluster.split(',').count();
    let stages = vec![Stage::Machine { steps }, await_serving(settings, members)];
    Ok(MachinePlan { purpose: Purpose::Init, member: settings.name.clone(), stages, warnings: Vec::new() })
}

/// One more member of the cluster that `survey` has seen.
///
/// # Errors
/// The gates refuse; there is another member here, or data that may not be set aside.
pub fn join(settings: &Settings, survey: &Survey, given: Given<'_>) -> Result<MachinePlan, MachineError> {
    let again = same_member(settings, given.observed)?;
    let peer_url = settings.peer_url();
    let listed = survey.membership.at(&peer_url);
    quorum::may_change(survey).map_err(crate::etcd::EtcdError::from)?;
    let mut aside = Vec::new();
    match listed {
        Some(member) if member.has_started() && !given.observed.has_data => {
            return Err(MachineError::Ghost { member: member.to_string(), peer_url });
        }
        Some(member) if !member.has_started() && given.observed.has_data => {
            aside = set_aside(&settings.data, given, "from before the cluster took this member up")?;
        }
        Some(_) => {}
        None => {
            quorum::may_add(survey, &settings.name, &peer_url).map_err(crate::etcd::EtcdError::from)?;
            if given.observed.has_data {
                aside = set_aside(&settings.data, given, "of a member that the cluster does not list")?;
            }
        }
    }
    let resumed = listed.is_some_and(Member::has_started);
    let others = others_of(survey, &peer_url);
    let bootstrap = match again.filter(|_| resumed) {
        Some(known) => known.bootstrap.clone(),
        None => joining(settings, survey)?,
    };
    let mut before = prepare(settings, false);
    before.extend(aside);
    before.push(data_folder(settings));
    let name = settings.name.clone();
    let stages = vec![
        Stage::Machine { steps: before },
        Stage::Cluster { act: Act::AddLearner { name: name.clone(), peer_url: peer_url.clone(), others } },
        Stage::Machine { steps: run(settings, &bootstrap)? },
        await_serving(settings, survey.membership.members.len()),
        Stage::Cluster { act: Act::Promote { peer_url } },
    ];
    Ok(MachinePlan { purpose: Purpose::Join, member: name, stages, warnings: Vec::new() })
}

/// This machine's member goes. `survey` is the cluster as it was seen; without it the membership is left as it is.
///
/// # Errors
/// The gates refuse.
pub fn reset(known: &Known, survey: Option<&Survey>, given: Given<'_>) -> Result<MachinePlan, MachineError> {
    let (mut stages, mut warnings) = (Vec::new(), Vec::new());
    match survey.map(|survey| (survey, survey.membership.at(&known.peer_url))) {
        Some((survey, Some(member))) => match quorum::may_remove(survey, member.id) {
            Err(Refusal::LastVoter(_)) => {
                warnings
                    .push("this is the cluster's only member: the cluster ends here, and its data stays aside".into());
            }
            allowed => {
                allowed.map_err(crate::etcd::EtcdError::from)?;
                stages.push(Stage::Machine { steps: vec![remember(survey, member.id)] });
                stages.push(Stage::Cluster { act: Act::StepDown { member: member.id } });
                stages.push(Stage::Cluster { act: Act::Remove { member: member.id } });
            }
        },
        Some((_, None)) => {}
        None => warnings.push("the cluster was not asked: if it lists this member still, remove it there".to_owned()),
    }
    let mut steps = vec![Step::new("etcd/stop", stopped(known, given.observed))];
    steps.push(Step::new("etcd/data-aside", aside_of(&known.data, given.aside)));
    steps.push(Step::new("etcd/certificates-aside", aside_of(&known.pki, given.aside)));
    let mut subjects = vec![Subject::File { path: OTHERS.to_owned() }];
    subjects.extend(given.observed.changed.iter().cloned());
    steps.push(Step::new("etcd/give-back", GiveBack { subjects }));
    stages.push(Stage::Machine { steps });
    Ok(MachinePlan { purpose: Purpose::Reset, member: known.name.clone(), stages, warnings })
}

/// Cut off after etcd has ended here, the next run asks the others whether the member is gone.
fn remember(survey: &Survey, member: MemberId) -> Step {
    let others = survey.states.iter().filter(|state| state.member != member);
    let content = others.filter_map(|state| Some(format!("{}\n", state.endpoint.as_ref()?))).collect();
    Step::new("etcd/others", File { path: OTHERS.into(), content, mode: Mode::PRIVATE, replaces: None })
}

/// This machine's member gets its data from a snapshot, as a member of a new cluster.
pub fn restore(known: &Known, restore: &Restore, given: Given<'_>) -> MachinePlan {
    let mut steps = vec![Step::new("etcd/stop", stopped(known, given.observed))];
    steps.push(Step::new("etcd/data-aside", aside_of(&known.data, given.aside)));
    let identity = (known.name.clone(), known.peer_url.clone(), known.data.clone());
    steps.push(restored(restore, identity, given.aside));
    let mut start = None;
    match &given.observed.supervision {
        Supervision::Systemd { content } => {
            steps.push(Step::new("etcd/unit", unit(content.clone(), reads(known, given.observed))));
        }
        Supervision::StaticPod { path, content } => {
            let manifest = File { path: path.clone(), content: content.clone(), mode: Mode::PRIVATE, replaces: None };
            steps.push(Step::new("etcd/manifest", manifest));
        }
        Supervision::Other => start = Some("etcd".to_owned()),
    }
    let members = restore.initial_cluster.as_deref().map_or(1, |all| all.split(',').count());
    let mut warnings = vec![
        "all that was written after the snapshot is lost to the cluster; the data from before stays aside".to_owned(),
    ];
    let mut stages = vec![Stage::Machine { steps }];
    if members == 1 {
        let peer_url = known.peer_url.clone();
        stages.push(Stage::Cluster { act: Act::AwaitServing { peer_url, start, members } });
        warnings
            .push("the restored cluster has this member only: reset the others, and let them join again".to_owned());
    } else {
        warnings
            .push(format!("restore the same snapshot on all {members} members: the cluster serves when most are up"));
    }
    MachinePlan { purpose: Purpose::Restore, member: known.name.clone(), stages, warnings }
}

/// The member whose configuration is here, if it is the one that is meant; another one is refused.
fn same_member<'a>(settings: &Settings, observed: &'a Observed) -> Result<Option<&'a Known>, MachineError> {
    match &observed.known {
        Some(known) if known.name != settings.name => {
            Err(MachineError::OtherMember { found: known.name.clone(), wanted: settings.name.clone() })
        }
        known => Ok(known.as_ref()),
    }
}

/// What is needed before the cluster is told anything: programs and certificates, so that what cannot be started is never added.
fn prepare(settings: &Settings, new_authority: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if !settings.programs.is_empty() {
        let files = settings.programs.iter().map(|program| LocalFile {
            source: program.source.clone(),
            digest: program.digest.clone(),
            link: format!("{}/{}", settings.bin, program.name),
        });
        let program = LocalProgram { name: "etcd".into(), version: settings.version.clone(), files: files.collect() };
        steps.push(Step::new("etcd/programs", program));
    }
    let certificates = EtcdCertificates {
        folder: settings.pki.clone(),
        member: settings.name.clone(),
        names: settings.all_names(),
        new_authority,
        days: settings.days,
        renew_before_days: RENEW_BEFORE_DAYS.min(settings.days / 3),
    };
    steps.push(Step::new("etcd/certificates", certificates));
    steps
}

fn data_folder(settings: &Settings) -> Step {
    Step::new("etcd/data", Directory { path: settings.data.clone(), mode: Mode::new(0o700) })
}

fn run(settings: &Settings, bootstrap: &Bootstrap) -> Result<Vec<Step>, MachineError> {
    let content = config::render(settings, bootstrap)?;
    let file = |path: String, content: String| File { path, content, mode: Mode::PRIVATE, replaces: None };
    let mut steps = vec![Step::new("etcd/config", file(settings.config.clone(), content.clone()))];
    match &settings.supervisor {
        Supervisor::Systemd => {
            let reads = [settings.config.clone(), format!("{}/etcd", settings.bin), settings.pki.clone()];
            steps.push(Step::new("etcd/unit", unit(files::unit(settings), reads.to_vec())));
        }
        Supervisor::StaticPod { image, manifests } => {
            let manifest = files::manifest(settings, image, &content)?;
            steps.push(Step::new("etcd/manifest", file(format!("{manifests}/{MANIFEST}"), manifest)));
        }
        Supervisor::Other => {}
    }
    Ok(steps)
}

/// The same as when the member was set up, so that setting it up again finds it started with what it reads.
fn reads(known: &Known, observed: &Observed) -> Vec<String> {
    let program = observed.changed.iter().find_map(|subject| match subject {
        Subject::Link { path } if path.ends_with("/etcd") => Some(path.clone()),
        _ => None,
    });
    [observed.config.clone(), known.pki.clone()].into_iter().chain(program).collect()
}

fn unit(content: String, restart_on: Vec<String>) -> StepKind {
    let (drop_ins, replaces) = Default::default();
    Unit { name: UNIT.into(), content, drop_ins, running: true, restart_on, replaces }.into()
}

fn await_serving(settings: &Settings, members: usize) -> Stage {
    let start = (settings.supervisor == Supervisor::Other).then(|| files::command_line(settings));
    Stage::Cluster { act: Act::AwaitServing { peer_url: settings.peer_url(), start, members } }
}

fn set_aside(data: &str, given: Given<'_>, whose: &'static str) -> Result<Vec<Step>, MachineError> {
    if !given.may_set_aside {
        return Err(MachineError::DataInTheWay { path: data.to_owned(), whose });
    }
    let mut steps = vec![Step::new("etcd/data-aside", aside_of(data, given.aside))];
    if let Some(known) = &given.observed.known {
        steps.insert(0, Step::new("etcd/stop", stopped(known, given.observed)));
    }
    Ok(steps)
}

fn aside_of(path: &str, when: &str) -> SetAside {
    let own = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    SetAside { path: path.to_owned(), name: format!("{own}.{when}") }
}

fn stopped(known: &Known, observed: &Observed) -> EtcdStopped {
    let (unit, manifest) = match &observed.supervision {
        Supervision::Systemd { .. } => (Some(UNIT.to_owned()), None),
        Supervision::StaticPod { path, .. } => (None, Some(path.clone())),
        Supervision::Other => (None, None),
    };
    EtcdStopped { unit, manifest, data: known.data.clone() }
}

fn restored(restore: &Restore, (member, peer_url, data): (String, String, String), run: &str) -> Step {
    let alone = || format!("{member}={peer_url}");
    let initial_cluster = restore.initial_cluster.clone().unwrap_or_else(alone);
    let step = EtcdRestored {
        snapshot: restore.snapshot.clone(),
        digest: restore.digest.clone(),
        etcdutl: restore.etcdutl.clone(),
        initial_cluster,
        token: restore.token.clone(),
        bump_revision: restore.bump,
        run: run.to_owned(),
        data,
        member,
        peer_url,
    };
    Step::new("etcd/restore", step)
}

fn others_of(survey: &Survey, peer_url: &str) -> Vec<String> {
    let others = survey.membership.members.iter().filter(|member| !member.has_peer_url(peer_url));
    let mut urls: Vec<String> = others.flat_map(|member| member.peer_urls.iter().cloned()).collect();
    urls.sort();
    urls
}

/// Everybody in the cluster and this machine's member. One that has never started has no name yet, and is refused before.
fn joining(settings: &Settings, survey: &Survey) -> Result<Bootstrap, MachineError> {
    let own = settings.peer_url();
    let mut all = Vec::new();
    for member in survey.membership.members.iter().filter(|member| !member.has_peer_url(&own)) {
        if !member.has_started() {
            return Err(crate::etcd::EtcdError::from(Refusal::Unstarted(member.to_string())).into());
        }
        all.extend(member.peer_urls.iter().map(|url| format!("{}={url}", member.name)));
    }
    all.push(format!("{}={own}", settings.name));
    Ok(Bootstrap { initial_cluster: all.join(","), state: "existing".into(), token: settings.token.clone() })
}
