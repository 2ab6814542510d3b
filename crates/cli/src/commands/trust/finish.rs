//! What becomes of a root draft once every threshold is met: the root, its fingerprint, and the page for the witnesses.

use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use sealock_trust::request::{RequestError, RootDraft};
use serde::Serialize;

use super::describe;
use super::target::{self, Kind, MAX_DOCUMENT};
use super::transcript;
use crate::error::{CommandError, Result};
use crate::files;
use crate::time;

/// A root that is finished.
#[derive(Serialize)]
pub struct Finished {
    root: PathBuf,
    /// SHA-256 of that file.
    fingerprint: Digest,
    transcript: PathBuf,
}

impl Finished {
    /// What is to be done with it.
    pub fn text(&self) -> String {
        format!(
            "\nroot         {}\nfingerprint  sha256: {}\ntranscript   {}, to be printed and signed by the witnesses\n",
            self.root.display(),
            describe::grouped(self.fingerprint.hex()),
            self.transcript.display(),
        )
    }
}

/// Writes the draft, the transcript, and the root where every threshold is met. A finished root is never written again: its
/// fingerprint may be on paper already.
///
/// # Errors
/// Another root stands where this one belongs, or a file cannot be written.
pub fn keep(draft_path: &Path, to: Option<&Path>, draft: &RootDraft) -> Result<Option<Finished>> {
    target::write_again(draft_path, &draft.to_bytes()?, Kind::Draft)?;
    let root_path = to.map_or_else(|| root_path(draft_path), Path::to_owned);
    let root = match draft.finished()? {
        Some(root) => Some(keep_root(&root_path, root, draft)?),
        None => None,
    };
    let fingerprint = root.map(|root| Digest::sha256(&root));
    let transcript = target::with_ending(&root_path, &[".json"], ".transcript.txt");
    let page = transcript::page(draft, fingerprint.as_ref(), time::now())?;
    files::replace(&transcript, page.as_bytes())?;
    Ok(fingerprint.map(|fingerprint| Finished { root: root_path, fingerprint, transcript }))
}

/// `root.draft.json` → `root.json`.
pub fn root_path(draft: &Path) -> PathBuf {
    target::with_ending(draft, &[".draft.json"], ".json")
}

fn keep_root(path: &Path, root: Vec<u8>, draft: &RootDraft) -> Result<Vec<u8>> {
    if !path.exists() {
        files::create(path, &root, 0o644)?;
        return Ok(root);
    }
    let kept = files::read(path, MAX_DOCUMENT)?;
    if draft.is_finished_as(&kept)? {
        return Ok(kept);
    }
    Err(CommandError::from(RequestError::OtherRoot).context(path.display().to_string()))
}
