//! Signs a bundle: rewrites its header, and not one byte behind it.
//!
//! A power loss while the header is rewritten would leave half of it, so the new one is written beside the bundle first
//! (`NAME.header`), and written again from there when the next call finds it.

mod error;
mod requests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_trust::request::{SigningRequest, Subject};
use sealock_trust::tuf::{self, MetadataSet, Signed, Targets, Terms};
use sealock_trust::{Digest, KeyId, Signer};

use crate::archive::layout::MetadataFiles;
use crate::archive::{Archive, ArchiveError, IoContext, sync_folder_of};
use crate::manifest::Manifest;
use crate::reference::ArtifactName;
use crate::vendors::{self, Words};

pub use error::SignBundleError;
pub use requests::{Requested, Requests, merge, requests, words};

/// A bundle that carries signatures; whether they suffice is for [`crate::verify`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBundle {
    /// The digest of `manifest.json`.
    pub manifest: Digest,
    /// The keys that have signed it so far.
    pub signers: Vec<KeyId>,
}

/// Adds the signatures of `signers` to the bundle `path`; `roots` is the root chain, oldest first, that travels with it.
///
/// Signatures that were made under the same root chain stay. Without `roots` the bundle's own stay.
///
/// # Errors
/// When the file is not a whole bundle, a signer is not a publisher of the newest root, or the header cannot be written.
pub fn sign(path: &Path, roots: &[Vec<u8>], signers: &[&dyn Signer]) -> Result<SignedBundle, SignBundleError> {
    rewrite(path, (roots, None), |set, _| Ok(set.add_signatures(signers)?)).map(|(signed, ())| signed)
}

/// As [`sign`]; what vendors have signed before is carried again where it serves ([`vendors::plan`]): as long as nobody has
/// signed anything, in the place of what they would be asked for, and later where it says exactly the same.
///
/// # Errors
/// As [`sign`].
pub fn sign_with(
    path: &Path,
    roots: &[Vec<u8>],
    words: &Words,
    signers: &[&dyn Signer],
) -> Result<SignedBundle, SignBundleError> {
    rewrite(path, (roots, Some(words)), |set, _| Ok(set.add_signatures(signers)?)).map(|(signed, ())| signed)
}

/// The manifest that `request` asks to vouch for, read from the very bytes that are to be signed; none for a root or a vendor.
///
/// # Errors
/// When it is no manifest, or what is to be signed says something else than it; for a vendor, when it names no artifacts.
pub fn manifest_of(request: &SigningRequest) -> Result<Option<Manifest>, SignBundleError> {
    let (manifest, terms, delegations) = match request.subject() {
        Subject::Bundle { manifest, terms, delegations, .. } => (manifest, terms, delegations),
        Subject::Vendor { targets, .. } => {
            let strange = targets.targets.keys().find(|name| name.parse::<ArtifactName>().is_err());
            return strange.map_or(Ok(None), |name| Err(SignBundleError::NoName(name.clone())));
        }
        Subject::Root { .. } => return Ok(None),
    };
    let manifest = Manifest::from_bytes(manifest).map_err(ArchiveError::from)?;
    let expected = terms_of(&manifest);
    match terms {
        _ if *delegations != manifest.delegations => Err(SignBundleError::OtherTerms("the delegations")),
        Terms { sequence, .. } if *sequence != expected.sequence => Err(SignBundleError::OtherTerms("the sequences")),
        Terms { issued, .. } if *issued != expected.issued => Err(SignBundleError::OtherTerms("the times of issue")),
        Terms { expires, .. } if *expires != expected.expires => Err(SignBundleError::OtherTerms("the expiry times")),
        _ => Ok(Some(manifest)),
    }
}

/// Changes the metadata of the bundle `path`, and writes its header anew.
fn rewrite<T>(
    path: &Path,
    (roots, words): (&[Vec<u8>], Option<&Words>),
    change: impl FnOnce(&mut MetadataSet, &[u8]) -> Result<T, SignBundleError>,
) -> Result<(SignedBundle, T), SignBundleError> {
    finish_interrupted(path)?;
    let (archive, manifest) = open_whole(path)?;
    let mut set = current_set(&archive, &manifest, roots, words)?;
    let outcome = change(&mut set, archive.manifest_bytes())?;
    // Where the files were made anew; otherwise they say so already.
    set.promise_revocations(archive.revocations())?;
    let files: MetadataFiles = set.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    let header = archive.header_with(&files, &manifest)?;
    replace_header(path, &header)?;
    let signed = SignedBundle { manifest: archive.manifest_digest(), signers: set.claimed_signers()? };
    Ok((signed, outcome))
}

fn open_whole(path: &Path) -> Result<(Archive, Manifest), ArchiveError> {
    let archive = Archive::open(path)?;
    let manifest = archive.unverified_manifest()?;
    archive.check_frame(&manifest)?;
    Ok((archive, manifest))
}

fn terms_of(manifest: &Manifest) -> Terms {
    Terms { sequence: manifest.sequence, issued: manifest.issued, expires: manifest.expires }
}

/// The metadata that the bundle has, where it was made under `roots` or none are given; else unsigned metadata. With `words`
/// also in the place of metadata that nobody has signed yet.
fn current_set(
    archive: &Archive,
    manifest: &Manifest,
    roots: &[Vec<u8>],
    words: Option<&Words>,
) -> Result<MetadataSet, SignBundleError> {
    let terms = terms_of(manifest);
    let none = Words::new();
    let (plan, _) = vendors::plan(manifest, words.unwrap_or(&none));
    if !archive.metadata().is_empty() {
        let mut set = MetadataSet::from_files(archive.metadata().iter().cloned())?;
        let is_current = roots.is_empty() || set.roots.values().eq(roots);
        if is_current && (words.is_none() || !set.is_unsigned()?) {
            set.check_content(archive.manifest_bytes(), &terms)?;
            let targets = Signed::<Targets>::parse("targets.json", &set.targets)?;
            targets.signed.check_revocations(archive.revocations())?;
            if set.delegations()? != manifest.delegations {
                return Err(SignBundleError::OtherTerms("the delegations"));
            }
            plan.iter().flat_map(|plan| plan.words.values()).try_for_each(|word| set.take_word(word).map(drop))?;
            return Ok(set);
        }
    }
    let mut set = tuf::prepare(roots, archive.manifest_bytes(), &terms, plan.as_ref())?;
    set.promise_revocations(archive.revocations())?;
    Ok(set)
}

fn replace_header(path: &Path, header: &[u8]) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    let temporary = path.with_file_name(with_suffix(path, ".header.new"));
    fs::write(&temporary, header).during("write", &temporary)?;
    File::open(&temporary).and_then(|file| file.sync_all()).during("sync", &temporary)?;
    fs::rename(&temporary, &copy).during("rename to", &copy)?;
    sync_folder_of(path)?;
    write_header(path, header)?;
    fs::remove_file(&copy).during("remove", &copy)
}

fn write_header(path: &Path, header: &[u8]) -> Result<(), ArchiveError> {
    let file = OpenOptions::new().write(true).open(path).during("open", path)?;
    file.write_all_at(header, 0).and_then(|()| file.sync_all()).during("write", path)
}

/// A complete copy beside the bundle means that the header may be half written.
fn finish_interrupted(path: &Path) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    let header = match fs::read(&copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.during("read", &copy)?,
    };
    write_header(path, &header)?;
    fs::remove_file(&copy).during("remove", &copy)
}

/// Removes the copy that an interrupted signing of `path` has left, if there is one.
pub(crate) fn forget_interrupted(path: &Path) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    match fs::remove_file(&copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.during("remove", &copy),
    }
}

fn copy_path(path: &Path) -> PathBuf {
    path.with_file_name(with_suffix(path, ".header"))
}

fn with_suffix(path: &Path, suffix: &str) -> std::ffi::OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    name
}
