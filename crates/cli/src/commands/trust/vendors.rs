//! What stands of vendors in a publisher's folder: `trust/delegations.json`, and what each of them signed last in
//! `trust/vendors/NAME.json`. Both are committed.

use std::path::{Path, PathBuf};

use sealock_bundle::sign;
use sealock_trust::tuf::Delegations;
use sealock_trust::{KeySet, RoleName};

use super::target::MAX_DOCUMENT;
use crate::error::{CommandError, Result};
use crate::files;

/// Where the delegations of the publisher in `folder` stand.
pub fn delegations_path(folder: &Path) -> PathBuf {
    folder.join("trust/delegations.json")
}

/// Reads the delegations at `path`; none where there is no such file.
///
/// # Errors
/// It cannot be read, or is something else.
pub fn delegations(path: &Path) -> Result<Option<Delegations>> {
    if !path.exists() {
        return Ok(None);
    }
    let delegations = Delegations::from_bytes(&files::read(path, MAX_DOCUMENT)?);
    delegations.map(Some).map_err(|error| CommandError::from(error).context(path.display().to_string()))
}

fn words_folder(folder: &Path) -> PathBuf {
    folder.join("trust/vendors")
}

/// What the vendors of `delegations` signed last, as the publisher in `folder` keeps it.
///
/// # Errors
/// A file cannot be read.
#[cfg(feature = "outside")]
pub fn words(folder: &Path, delegations: Option<&Delegations>) -> Result<sealock_bundle::vendors::Words> {
    let mut words = sealock_bundle::vendors::Words::new();
    for role in delegations.iter().flat_map(|delegations| &delegations.roles) {
        let path = word_path(folder, &role.name);
        if path.exists() {
            words.insert(role.name.clone(), files::read(&path, MAX_DOCUMENT)?);
        }
    }
    Ok(words)
}

fn word_path(folder: &Path, vendor: &RoleName) -> PathBuf {
    words_folder(folder).join(format!("{vendor}.json"))
}

/// Keeps what vendors have signed in full in `bundle`, where the folder beside it is a publisher's with delegations.
///
/// Answers the files that are new or other than before.
///
/// # Errors
/// The bundle cannot be read, or a file cannot be written.
pub fn keep_words(bundle: &Path) -> Result<Vec<PathBuf>> {
    let folder = bundle.parent().unwrap_or(Path::new(""));
    let mut kept = Vec::new();
    if !delegations_path(folder).exists() {
        return Ok(kept);
    }
    for (vendor, bytes) in sign::words(bundle)? {
        let path = word_path(folder, &vendor);
        if path.exists() && files::read(&path, MAX_DOCUMENT)? == bytes {
            continue;
        }
        std::fs::create_dir_all(words_folder(folder))?;
        files::replace(&path, &bytes)?;
        kept.push(path);
    }
    Ok(kept)
}

/// `plant-7.tar` → `plant-7.acme.request.json`.
pub fn request_path(bundle: &Path, vendor: &RoleName) -> PathBuf {
    super::target::with_ending(bundle, &[".tar"], &format!(".{vendor}.request.json"))
}

/// Whether one of `keys` is one of `others`, under whatever id.
pub fn share(keys: &KeySet, others: &KeySet) -> bool {
    keys.keys().values().any(|key| others.keys().values().any(|other| other.identity() == key.identity()))
}
