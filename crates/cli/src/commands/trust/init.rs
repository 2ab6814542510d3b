//! `sealock trust init`

use std::path::{Path, PathBuf};

use sealock_trust::{KeyId, KeySet, Scheme};
use serde::Serialize;

use super::roles::RoleArgs;
use super::{ceremony, describe, roles, target};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, KeyName, Passphrases};
use crate::{files, time};

/// Hold a root ceremony: several keyholders, thresholds, one page for the witnesses
///
/// First each keyholder makes a key (`--new-key`) and hands over its public half. Then one person names all keys: this writes
/// the root's draft, the signing request for the root keyholders, and a transcript to print. `sealock trust sign` collects
/// the signatures, and writes the root once the threshold is met. Where no revoker is named, a revoker's key is made in the
/// folder `keys` beside the root's. `sealock init` is the shortcut for one person.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder for root, draft, request and transcript
    #[arg(value_name = "DIR", default_value = "trust")]
    folder: PathBuf,
    #[command(flatten)]
    roles: RoleArgs,
    /// Make one keyholder's key in this file, and its public half beside it; nothing else
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
    /// Have no revoker: what was published can be taken back by the root's own keys only
    #[arg(long, conflicts_with_all = ["revoker_keys", "revoker_threshold", "new_key"])]
    no_revoker: bool,
    /// What kind of key to make: ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 or rsassa-pss-sha256
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::Ed25519)]
    scheme: Scheme,
    /// Keep the new key unencrypted: whoever reads the file can sign
    #[arg(long)]
    unencrypted_keys: bool,
}

#[derive(Serialize)]
struct NewKey {
    file: PathBuf,
    public: PathBuf,
    keyid: KeyId,
    scheme: String,
}

pub fn run(args: &InitArgs, context: &Context) -> Result<()> {
    if let Some(path) = &args.new_key {
        return new_key(path, args, context);
    }
    let root = args.folder.join("root.json");
    let draft = args.folder.join("root.draft.json");
    if root.exists() && !draft.exists() {
        return Err(CommandError::failed(format!("{} is a root already", root.display()))
            .hint("`sealock trust rotate` makes the one that replaces it."));
    }
    let mut spec = args.roles.first(context)?;
    if !context.dry_run {
        make_folder(&args.folder)?;
    }
    if spec.revoker.is_none() && !args.no_revoker {
        spec.revoker = revoker(args, context)?;
    }
    ceremony::hold(&draft, None, &spec, &args.roles, context)
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| CommandError::from(error).context(format!("making the folder {}", folder.display())))
}

/// The revoker whom nobody named: a key that is made here, in `keys/revoker.pem` beside the root's folder.
fn revoker(args: &InitArgs, context: &Context) -> Result<Option<KeySet>> {
    let path = args.folder.with_file_name("keys").join("revoker.pem");
    if context.dry_run {
        context.ui.note(format_args!("would make the revoker's key in {}", path.display()));
        return Ok(None);
    }
    make_folder(path.parent().unwrap_or(Path::new("")))?;
    let is_new = !path.exists();
    let key = keys::load_or_create(&path, args.scheme, &args.roles.passphrases(context), !args.unencrypted_keys)?;
    if is_new {
        context.ui.note(format_args!(
            "nobody was named as revoker, so its key was made in {}: give it to whoever is to revoke",
            path.display()
        ));
    }
    Ok(Some(roles::role("--revoker-key", vec![key.public_key().clone()], Some(1))?))
}

fn new_key(path: &Path, args: &InitArgs, context: &Context) -> Result<()> {
    if KeyName::from(path).is_uri() {
        return Err(CommandError::usage("keys in tokens are made by the tools that came with the token")
            .hint("`sealock trust export URI` then writes the public half, for the ceremony."));
    }
    let public = target::with_ending(path, &[".pem"], ".pub.pem");
    if context.dry_run {
        let paths = [path, &public];
        return context.ui.result(&paths, format!("would write {}\nwould write {}", path.display(), public.display()));
    }
    let passphrases: Passphrases<'_> = args.roles.passphrases(context);
    let key = keys::load_or_create(path, args.scheme, &passphrases, !args.unencrypted_keys)?;
    let pem = key.public_key().to_pem()?;
    if !public.exists() || files::read_text(&public)? != pem {
        files::create(&public, pem.as_bytes(), 0o644)?;
    }
    let (keyid, scheme) = (key.public_key().id().clone(), key.public_key().scheme().to_owned());
    let text = format!(
        "private  {}, stays here; keep a copy in another place\npublic   {}, goes to the ceremony\nscheme   {scheme}\n\n  {}\n\n\
         Read these groups out at the ceremony. Made {}.",
        path.display(),
        public.display(),
        describe::grouped(keyid.as_str()),
        time::now(),
    );
    context.ui.result(&NewKey { file: path.to_owned(), public, keyid, scheme }, text)
}
