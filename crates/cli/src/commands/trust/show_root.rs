//! `sealock trust show FILE…`: roots and drafts for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_trust::request::{Tally, root_tally};
use sealock_trust::tuf::{RoleChange, Root, open_root, role_changes};
use sealock_trust::{Digest, PublicKey};
use serde::Serialize;

use super::describe::{difference, grouped, root_text, tally_text};
use super::target::{self, Kind};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::{files, time};

#[derive(Serialize)]
struct Shown {
    file: PathBuf,
    /// SHA-256 of the file; none for a draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Digest>,
    expired: bool,
    /// Who signed; for a rotation under the root before as well.
    roles: Vec<Tally>,
    /// What changes since the root shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<RoleChange>>,
    root: Root,
}

/// Shows each file, and what changes from one to the next.
pub fn show(paths: &[PathBuf], context: &Context) -> Result<()> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut text = String::new();
    for path in paths {
        let before = shown.last().map(|shown| &shown.root);
        let one = read(path, before)?;
        let _ = write!(text, "{}{}", if text.is_empty() { "" } else { "\n" }, describe(&one)?);
        if let Some(before) = before {
            let _ = write!(text, "\n{}", difference(before, &one.root)?);
        }
        shown.push(one);
    }
    context.ui.result(&shown, text)
}

fn read(path: &Path, before: Option<&Root>) -> Result<Shown> {
    let (root, roles, fingerprint) = match target::kind(path)? {
        Kind::Draft => {
            let draft = target::read_draft(path)?;
            (draft.root().clone(), draft.tally()?, None)
        }
        Kind::Json => {
            let bytes = files::read(path, target::MAX_DOCUMENT)?;
            let opened = open_root(&bytes);
            let root = opened.map_err(|error| CommandError::from(error).context(path.display().to_string()))?;
            let previous = before.filter(|before| before.version + 1 == root.version);
            let roles = root_tally(&bytes, previous)?;
            (root, roles, Some(Digest::sha256(&bytes)))
        }
        _ => return Err(CommandError::usage(format!("{} is neither a root nor a root draft", path.display()))),
    };
    let changes = before.map(|before| role_changes(before, &root)).transpose()?;
    let expired = time::now() >= root.expires;
    Ok(Shown { file: path.to_owned(), fingerprint, expired, roles, changes, root })
}

fn describe(shown: &Shown) -> Result<String> {
    let mut text = format!("{}\n", shown.file.display());
    match &shown.fingerprint {
        Some(fingerprint) => {
            let _ = writeln!(text, "fingerprint sha256: {}", grouped(fingerprint.hex()));
        }
        None => text.push_str("a draft: it has no fingerprint yet\n"),
    }
    if shown.expired {
        text.push_str("EXPIRED\n");
    }
    if !shown.root.keys.values().all(PublicKey::is_known) {
        text.push_str("some keys are of a scheme that is unknown here, and never count\n");
    }
    text.push_str(&root_text(&shown.root)?);
    text.push_str(&tally_text(&shown.roles));
    Ok(text)
}
