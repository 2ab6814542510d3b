//! `sealock node invite`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_cluster::machine::{self, JoinFile};
use sealock_node::{Local, facts, runner};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// For so long a token holds where nothing is said, as kubeadm has it.
pub const HOURS: u32 = 24;

/// Write what the next machine needs to join this one's cluster
///
/// Into a new file that only its owner reads: where the API is reached, the digest of the cluster's authority, and a token. With
/// --control-plane the authorities are laid into the cluster for two hours, encrypted, and the key to them stands in the file, too. Whoever
/// has the file can join until it ends: carry it like a key, and delete it. A further file for a control plane has a new key, and with that
/// the key of the earlier one ends.
#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    join_file: PathBuf,
    /// For a further control plane, too
    #[arg(long)]
    control_plane: bool,
    /// How many hours the token holds
    #[arg(long, value_name = "HOURS", default_value_t = HOURS, value_parser = clap::value_parser!(u32).range(1..=168))]
    valid_for: u32,
}

/// What was written, without its secrets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    join_file: &'a Path,
    cluster: &'a str,
    kubernetes: String,
    endpoint: String,
    ca_hash: &'a str,
    expires: Timestamp,
    /// Until when a control plane may join, where one may.
    control_plane_until: Option<Timestamp>,
}

pub fn run(args: &InviteArgs, context: &Context) -> Result<()> {
    check_new(&args.join_file)?;
    let path = &args.join_file;
    if context.dry_run {
        let hours = args.valid_for;
        let text = format!("{} would be written, with a token for {hours} hours", path.display());
        return context.ui.result(&serde_json::json!({"joinFile": path, "hours": hours}), text);
    }
    let file = write(path, (args.control_plane, args.valid_for), context)?;
    let written = Written {
        join_file: path,
        cluster: file.cluster.as_str(),
        kubernetes: file.kubernetes.to_string(),
        endpoint: file.endpoint.to_string(),
        ca_hash: &file.ca_hash,
        expires: file.expires,
        control_plane_until: file.control_plane.as_ref().map(|plane| plane.expires),
    };
    context.ui.result(&written, words(path, &file))
}

/// Nothing is made that could not be written down.
///
/// # Errors
/// There is something at `path` already.
pub fn check_new(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(CommandError::failed(format!("{} exists already", path.display()))
            .hint("A join file is made anew each time: name another one, or delete it.")),
        Err(_) => Ok(()),
    }
}

/// Makes a join file at `path`.
///
/// # Errors
/// The control plane here is not complete, or refuses; the file cannot be written.
pub fn write(path: &Path, (control_plane, hours): (bool, u32), context: &Context) -> Result<JoinFile> {
    let host = Local::new();
    let folder = Path::new(runner::FOLDER);
    let facts = facts::observe(&host, folder)?;
    // Who is refused anyway is not asked about etcd, and gets no file.
    machine::invites(&facts)?;
    files::create_from(path, 0o600, || {
        let _held = machine::hold(folder)?;
        if control_plane {
            context.runtime()?.block_on(machine::check_etcd(&host))?;
            machine::forget(&host)?;
        }
        let file = machine::invite(&host, &facts, (control_plane, hours), Timestamp::now())?;
        let text = file.to_json()?;
        Ok((file, text))
    })
}

/// What was made, and how it is used.
pub fn words(path: &Path, file: &JoinFile) -> String {
    let flag = if file.control_plane.is_some() { " --control-plane" } else { "" };
    let path = path.display();
    let JoinFile { kubernetes, expires, ca_hash, .. } = file;
    let key = file.control_plane.as_ref().map(|plane| {
        format!("; the key for a control plane until {}, and that of an earlier file has ended", plane.expires)
    });
    format!(
        "{path} holds a token until {expires}{}; the cluster is known by {ca_hash}\n\nOn the next machine, prepared for {kubernetes}, with that file:\n\n  \
         sealock node join{flag} --join-file {path}",
        key.unwrap_or_default()
    )
}
