//! `sealock etcd restore`

use std::path::{Path, PathBuf};

use sealock_cluster::etcd::machine::{Observed, Reach, Restore, plan};
use sealock_cluster::etcd::restore::{self, BUMP, Programs, Rehearsal, Wanted};
use sealock_node::changes::Subject;
use sealock_trust::Digest;

use super::carry_out::carry_out;
use super::programs::{self, ProgramArgs};
use super::target::{HereArgs, date};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::took;

/// Where a rehearsal has its folder where nothing else is said: on a disk, and not in memory.
pub const SCRATCH: &str = "/var/tmp";

/// Restore this machine's member from a snapshot, rehearsed first
///
/// The snapshot is checked, restored into a temporary folder, and an etcd is started over it on loopback and read, before
/// anything is touched. Then this machine's etcd is stopped, its data moved aside with the date in its name, the snapshot
/// restored in its place, and etcd started. The revision is raised by a billion and marked as compacted, so that whoever
/// watched the cluster notices.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The snapshot
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    here: HereArgs,
    /// The digest that the snapshot must have, as `etcd snapshot` printed it
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// Rehearse only: the drill
    #[arg(long)]
    rehearse: bool,
    /// Where the rehearsal has room for the database, twice over
    #[arg(long, value_name = "DIR", default_value = SCRATCH)]
    scratch: PathBuf,
    #[command(flatten)]
    programs: ProgramArgs,
    /// All members of the restored cluster, as NAME=PEER-URL separated by commas, where it has several: the same on each
    #[arg(long, value_name = "MEMBERS", requires = "token")]
    initial_cluster: Option<String>,
    /// Tells the restored cluster from the one before; the same on each of several members [default: etcd-DATE]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// By how much the revision is raised
    #[arg(long, value_name = "NUMBER", default_value_t = BUMP)]
    bump_revision: u64,
}

pub fn run(args: &RestoreArgs, context: &Context) -> Result<()> {
    let observed = args.here.observe()?;
    let found = Found::new(args, &observed, context)?;
    let (snapshot, bump) = (absolute(&args.file)?, args.bump_revision);
    let wanted = Wanted { snapshot: &snapshot, digest: args.digest.as_ref(), scratch: &args.scratch, bump };
    if args.rehearse {
        let rehearsal = rehearse(&found.programs, &wanted, context)?;
        return context.ui.result(&rehearsal, say(&rehearsal));
    }
    let (observed, known) = args.here.known()?;
    let rehearsal = rehearse(&found.programs, &wanted, context)?;
    context.ui.note(say(&rehearsal));
    let when = date();
    let restore = Restore {
        snapshot: snapshot.to_string_lossy().into_owned(),
        digest: rehearsal.snapshot.digest,
        etcdutl: found.programs.etcdutl.to_string_lossy().into_owned(),
        initial_cluster: args.initial_cluster.clone(),
        token: args.token.clone().unwrap_or_else(|| format!("etcd-{when}")),
        bump,
    };
    let given = plan::Given { observed: &observed, aside: &when, may_set_aside: true };
    let plan = plan::restore(&known, &restore, given);
    let reach = Reach { others: Vec::new(), own: known.client_url.parse()?, pki: known.pki.clone() };
    let question = format!("Replace the data of member {} by that of the snapshot?", known.name);
    carry_out(&plan, &reach, &question, &format!("member {} holds what the snapshot held", known.name), context)
}

/// The programs, and what keeps them where they are.
struct Found {
    programs: Programs,
    _held: Option<programs::Programs>,
}

impl Found {
    fn new(args: &RestoreArgs, observed: &Observed, context: &Context) -> Result<Self> {
        if !args.programs.are_named()
            && let Some(programs) = installed(observed)
        {
            return Ok(Self { programs, _held: None });
        }
        let held = args.programs.find(context)?;
        Ok(Self { programs: held.for_restore()?, _held: Some(held) })
    }
}

/// Those that Sealock linked on this machine.
fn installed(observed: &Observed) -> Option<Programs> {
    let link = |name: &str| {
        let ending = format!("/{name}");
        observed.changed.iter().find_map(|subject| match subject {
            Subject::Link { path } if path.ends_with(&ending) && Path::new(path).exists() => Some(PathBuf::from(path)),
            _ => None,
        })
    };
    Some(Programs { etcd: link("etcd")?, etcdutl: link("etcdutl")? })
}

/// Rehearses, and says so meanwhile.
///
/// # Errors
/// The snapshot cannot be restored, or not to what it says.
pub fn rehearse(programs: &Programs, wanted: &Wanted<'_>, context: &Context) -> Result<Rehearsal> {
    let live = context.ui.live();
    live.begin("rehearsal", "restoring into a temporary folder, and reading it");
    let rehearsal = context.runtime()?.block_on(restore::rehearse(programs, wanted));
    live.rest("rehearsal");
    Ok(rehearsal?)
}

/// What a rehearsal came to, in words.
pub fn say(rehearsal: &Rehearsal) -> String {
    let s = if rehearsal.read.keys == 1 { "" } else { "s" };
    format!(
        "rehearsed: etcd {} serves {} key{s} from the snapshot of revision {}, at revision {}, after {}",
        rehearsal.version,
        rehearsal.read.keys,
        rehearsal.content.revision,
        rehearsal.read.revision,
        took(std::time::Duration::from_millis(rehearsal.took_ms))
    )
}

/// A path as other programs, started elsewhere, find it too.
///
/// # Errors
/// The current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| CommandError::from(error).context(format!("finding {}", path.display())))
}
