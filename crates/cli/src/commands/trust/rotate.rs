//! `sealock trust rotate`

use std::path::{Path, PathBuf};

use sealock_trust::tuf;

use super::roles::RoleArgs;
use super::{ceremony, target};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Make the root that replaces the newest one
///
/// What is not named stays: a role whose keys are given gets exactly these, and one key of the root before may be named by the
/// first 8 characters of its id. The new root takes the thresholds of both roots: signatures are collected as for the
/// first root. It travels in every bundle from then on, and sites follow it by themselves.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The newest root [default: the newest of trust/root.json, trust/2.root.json and so on]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    roles: RoleArgs,
    /// Have no revoker any more
    #[arg(long, conflicts_with_all = ["revoker_keys", "revoker_threshold"])]
    no_revoker: bool,
}

pub fn run(args: &RotateArgs, context: &Context) -> Result<()> {
    let path = match &args.root {
        Some(path) => path.clone(),
        None => target::root_chain(Path::new("")).pop().ok_or_else(no_root)?,
    };
    let previous = files::read(&path, target::MAX_DOCUMENT)?;
    let root = tuf::open_root(&previous)?;
    let spec = args.roles.next(&root, args.no_revoker, context)?;
    let draft = path.with_file_name(format!("{}.root.draft.json", root.version + 1));
    ceremony::hold(&draft, Some(&previous), &spec, &args.roles, context)
}

fn no_root() -> CommandError {
    CommandError::usage("there is no trust/root.json here").hint("Name the newest root with --root FILE.")
}
