//! `sealock etcd init`

use std::path::{Path, PathBuf};

use sealock_cluster::etcd::machine::{Reach, Restore, plan};
use sealock_cluster::etcd::restore::{BUMP, Wanted};
use sealock_trust::Digest;

use super::carry_out::carry_out;
use super::member::MemberArgs;
use super::programs::Programs;
use super::restore::{absolute, rehearse, say};
use super::target::date;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Begin a cluster: its first member on this machine
///
/// Installs etcd, makes an authority and certificates, writes the configuration, and has etcd started. With --snapshot the
/// cluster begins with what a snapshot holds, once a restore of it has been rehearsed. Run again it finishes what was cut
/// off, and issues certificates again that end within 30 days.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    #[command(flatten)]
    member: MemberArgs,
    /// Tells this cluster from any other [default: etcd-DATE]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Begin with what this snapshot holds
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The digest that the snapshot must have, as `etcd snapshot` printed it
    #[arg(long, value_name = "DIGEST", requires = "snapshot")]
    snapshot_digest: Option<Digest>,
}

pub fn run(args: &InitArgs, context: &Context) -> Result<()> {
    let observed = args.member.here.observe()?;
    let programs = args.member.programs(context)?;
    let when = date();
    let known = observed.known.as_ref().map(|known| known.token().to_owned());
    let token = args.token.clone().or(known).unwrap_or_else(|| format!("etcd-{when}"));
    let settings = args.member.settings(programs.as_ref(), &token)?;
    let given = plan::Given { observed: &observed, aside: &when, may_set_aside: args.member.set_data_aside };
    // What is refused anyway is refused before a rehearsal that may take minutes.
    let without = plan::init(&settings, None, given)?;
    let plan = match &args.snapshot {
        None => without,
        Some(snapshot) => {
            let restore = restore(args, snapshot, programs.as_ref(), &token, context)?;
            plan::init(&settings, Some(&restore), given)?
        }
    };
    let reach = Reach { others: Vec::new(), own: settings.client_url().parse()?, pki: settings.pki.clone() };
    let question = format!("Begin a cluster with member {} on this machine?", settings.name);
    carry_out(&plan, &reach, &question, &format!("member {} serves at {}", settings.name, reach.own), context)
}

fn restore(
    args: &InitArgs,
    snapshot: &Path,
    programs: Option<&Programs>,
    token: &str,
    context: &Context,
) -> Result<Restore> {
    let missing = || CommandError::usage("a snapshot is restored by etcd's own programs: give --binary, or --from");
    let programs = programs.ok_or_else(missing)?.for_restore()?;
    let snapshot = absolute(snapshot)?;
    let scratch = Path::new(super::restore::SCRATCH);
    let digest = args.snapshot_digest.as_ref();
    let wanted = Wanted { snapshot: &snapshot, digest, scratch, bump: BUMP };
    let rehearsal = rehearse(&programs, &wanted, context)?;
    context.ui.note(say(&rehearsal));
    Ok(Restore {
        snapshot: snapshot.to_string_lossy().into_owned(),
        digest: rehearsal.snapshot.digest,
        etcdutl: programs.etcdutl.to_string_lossy().into_owned(),
        initial_cluster: None,
        token: token.to_owned(),
        bump: BUMP,
    })
}
