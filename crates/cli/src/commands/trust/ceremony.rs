//! What `trust init` and `trust rotate` have in common: a draft, its request, the signatures at hand, and what comes next.

use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use sealock_trust::request::{RootDraft, Tally};
use sealock_trust::tuf::{Root, RootSpec};
use serde::Serialize;

use super::finish::{self, Finished};
use super::roles::RoleArgs;
use super::target::{self, Kind};
use super::{describe, export, vendors};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys;

/// Where a ceremony stands.
#[derive(Serialize)]
pub struct Standing {
    draft: PathBuf,
    /// What goes out to the keyholders.
    request: PathBuf,
    request_digest: Digest,
    roles: Vec<Tally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<Finished>,
}

/// Begins a ceremony, or goes on with the one whose draft is there, and tells where it stands.
///
/// # Errors
/// Another draft is there, a key is not fit, or a file cannot be written.
pub fn hold(path: &Path, previous: Option<&[u8]>, spec: &RootSpec, args: &RoleArgs, context: &Context) -> Result<()> {
    let mut draft = open_or_new(path, previous, spec)?;
    if context.dry_run {
        let summary = describe::summary(draft.request())?;
        return context.ui.result(&summary.value, summary.text);
    }
    warn(draft.root(), context)?;
    target::write_again(path, &draft.to_bytes()?, Kind::Draft)?;
    let request = export::request_path(path);
    export::write_request(draft.request(), &request)?;
    sign(&mut draft, args, context)?;
    let finished = finish::keep(path, None, &draft)?;
    let request_digest = draft.request().digest().clone();
    let standing = Standing { draft: path.to_owned(), request, request_digest, roles: draft.tally()?, finished };
    context.ui.result(&standing, text(&standing))
}

fn open_or_new(path: &Path, previous: Option<&[u8]>, spec: &RootSpec) -> Result<RootDraft> {
    let new = RootDraft::new(previous, spec)?;
    if !path.exists() {
        return Ok(new);
    }
    // Run again after it was cut off: the draft that may have been sent out stays, with the expiry that it has.
    let draft = target::read_draft(path)?;
    let is_same = draft.root().named_roles()? == new.root().named_roles()?
        && draft.previous().map(|root| root.version) == new.previous().map(|root| root.version);
    if is_same {
        return Ok(draft);
    }
    Err(CommandError::failed(format!("{} is a draft with other keys or thresholds", path.display()))
        .hint("Finish it with `sealock trust sign`, or remove it to begin anew."))
}

fn sign(draft: &mut RootDraft, args: &RoleArgs, context: &Context) -> Result<()> {
    let passphrases = args.passphrases(context);
    let keys = args.private_root_keys()?.into_iter().map(|name| passphrases.load(name));
    let keys: Vec<_> = keys.collect::<Result<_>>()?;
    if keys.is_empty() {
        return Ok(());
    }
    context.ui.review(describe::summary(draft.request())?.text);
    context.ui.confirm("Sign this with the private root keys that were given?")?;
    draft.sign(&keys::signers(&keys))?;
    Ok(())
}

/// What is allowed, and yet rarely meant.
fn warn(root: &Root, context: &Context) -> Result<()> {
    let roles = root.named_roles()?;
    for (role, keys) in &roles {
        let count = keys.keys().len();
        if count > 1 && usize::try_from(keys.threshold()).is_ok_and(|threshold| threshold == count) {
            context.ui.warn(format_args!("{role}: all {count} keys must sign, so one lost key stops it"));
        }
    }
    if let [(_, root_keys), others @ ..] = roles.as_slice() {
        for (role, _) in others.iter().filter(|(_, keys)| vendors::share(root_keys, keys)) {
            context.ui.warn(format_args!("a root key is a {role}'s key as well: root keys are best kept offline"));
        }
    }
    Ok(())
}

fn text(standing: &Standing) -> String {
    let tally = describe::tally_text(&standing.roles);
    if let Some(finished) = &standing.finished {
        return format!("{tally}{}", finished.text());
    }
    let (draft, request) = (standing.draft.display(), standing.request.display());
    let name = export::file_name(&standing.request);
    format!(
        "{tally}\ndraft    {draft}\nrequest  {request}\ndigest   {}\n\n\
         Give {name} to the keyholders that are missing; the digest goes another way. Each runs\n\n  \
         sealock trust sign {name} --key KEY\n\n\
         and sends the signature file back. Then:\n\n  sealock trust sign {draft} --add FILE...",
        standing.request_digest,
    )
}
