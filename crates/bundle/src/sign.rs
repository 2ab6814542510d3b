//! Signs a bundle: rewrites its header, and not one byte behind it.
//!
//! A power loss while the header is rewritten would leave half of it, so the new one is written beside the bundle first
//! (`NAME.header`), and written again from there when the next call finds it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;
use sealock_trust::request::{Merged, RequestError, SignatureFile, SigningRequest, Subject, Tally};
use sealock_trust::tuf::{self, Delegations, MakeError, MetadataSet, TargetFile, Terms, TrustError, VendorPlan};
use sealock_trust::{Digest, KeyId, RoleName, Signer};

use crate::archive::layout::MetadataFiles;
use crate::archive::{Archive, ArchiveError, IoContext, sync_folder_of};
use crate::manifest::Manifest;

/// Why a bundle cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignBundleError {
    /// The file is no whole bundle, or cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The metadata that the bundle has cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A signature could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A signing request or a signature file is not fit.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A signing request whose metadata and manifest disagree.
    #[error("the request does not ask for what its manifest says: {0} differ")]
    OtherTerms(&'static str),
}

impl SignBundleError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Archive(source) => source.code(),
            Self::Trust(source) => Some(source.code()),
            Self::Make(MakeError::OtherContent(_)) | Self::OtherTerms(_) => Some(Code::Subject),
            Self::Make(MakeError::NotVendor { .. }) => Some(Code::Scope),
            Self::Make(_) => None,
            Self::Request(source) => source.code(),
        }
    }

    /// Whether the file or the keys are not fit, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Archive(source) => source.is_refusal(),
            Self::Trust(source) => source.is_refusal(),
            Self::Make(source) => source.is_refusal(),
            Self::Request(source) => source.is_refusal(),
            Self::OtherTerms(_) => true,
        }
    }
}

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
    rewrite(path, roots, |set, _| Ok(set.add_signatures(signers)?)).map(|(signed, ())| signed)
}

/// Adds signatures that came back from other machines; each is verified first, and none is added if one is refused.
///
/// Also says how far the publisher's role is.
///
/// # Errors
/// As [`sign`], and where a signature file is not fit.
pub fn merge(
    path: &Path,
    roots: &[Vec<u8>],
    files: &[SignatureFile],
) -> Result<(SignedBundle, Merged, Vec<Tally>), SignBundleError> {
    let (signed, (merged, tally)) = rewrite(path, roots, |set, manifest| {
        let request = SigningRequest::for_bundle(set, manifest)?;
        let mut signatures = set.signatures()?;
        let merged = request.merge(&mut signatures, files)?;
        set.set_signatures(&signatures)?;
        Ok((merged, request.tally(&signatures)?))
    })?;
    Ok((signed, merged, tally))
}

/// Gives the bundle `path` unsigned metadata with `delegations`: each vendor is asked to vouch for the artifacts whose names
/// its delegation covers. Signatures that were there are gone, since they were not over this.
///
/// # Errors
/// As [`sign`].
pub fn delegate(path: &Path, roots: &[Vec<u8>], delegations: &Delegations) -> Result<(), SignBundleError> {
    rewrite(path, roots, |set, bytes| {
        let manifest = Manifest::from_bytes(bytes).map_err(ArchiveError::from)?;
        let plan = VendorPlan { targets: vendor_targets(&manifest, delegations), delegations: delegations.clone() };
        let roots: Vec<Vec<u8>> = set.roots.values().cloned().collect();
        *set = tuf::prepare(&roots, bytes, &terms_of(&manifest), Some(&plan))?;
        Ok(())
    })
    .map(|_| ())
}

/// Adds the signatures of the vendor `role` to its file in the bundle `path`.
///
/// # Errors
/// As [`sign`], and where a signer is none of the vendor's keys.
pub fn sign_as_vendor(path: &Path, role: &RoleName, signers: &[&dyn Signer]) -> Result<(), SignBundleError> {
    rewrite(path, &[], |set, _| Ok(set.add_vendor_signatures(role, signers)?)).map(|_| ())
}

/// The artifacts of `manifest` that each role of `delegations` is asked to vouch for: the first one that covers a name.
fn vendor_targets(manifest: &Manifest, delegations: &Delegations) -> BTreeMap<RoleName, BTreeMap<String, TargetFile>> {
    let sizes: BTreeMap<&Digest, u64> = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    let mut targets: BTreeMap<RoleName, BTreeMap<String, TargetFile>> = BTreeMap::new();
    for reference in &manifest.references {
        let name = reference.name.as_str();
        let Some(role) = delegations.roles.iter().find(|role| role.covers(name)) else { continue };
        let digest = &reference.digest;
        let length = sizes.get(digest).copied().unwrap_or_default();
        let hashes = BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]);
        let of_role = targets.entry(role.name.clone()).or_default();
        of_role.insert(name.to_owned(), TargetFile { length, hashes, custom: None });
    }
    targets
}

/// What is to go out to those who shall sign the bundle `path`, and how far it is; the bundle stays as it is.
///
/// # Errors
/// When the file is not a whole bundle, or its metadata is not about its manifest.
pub fn request(path: &Path, roots: &[Vec<u8>]) -> Result<(SigningRequest, Vec<Tally>), SignBundleError> {
    finish_interrupted(path)?;
    let (archive, manifest) = open_whole(path)?;
    let set = current_set(&archive, &manifest, roots)?;
    let request = SigningRequest::for_bundle(&set, archive.manifest_bytes())?;
    let tally = request.tally(&set.signatures()?)?;
    Ok((request, tally))
}

/// The manifest that `request` asks to vouch for, read from the very bytes that are to be signed; none for a root.
///
/// # Errors
/// When it is no manifest, or what is to be signed says something else than it.
pub fn manifest_of(request: &SigningRequest) -> Result<Option<Manifest>, SignBundleError> {
    let Subject::Bundle { manifest, terms, .. } = request.subject() else { return Ok(None) };
    let manifest = Manifest::from_bytes(manifest).map_err(ArchiveError::from)?;
    let expected = terms_of(&manifest);
    match terms {
        Terms { sequence, .. } if *sequence != expected.sequence => Err(SignBundleError::OtherTerms("the sequences")),
        Terms { issued, .. } if *issued != expected.issued => Err(SignBundleError::OtherTerms("the times of issue")),
        Terms { expires, .. } if *expires != expected.expires => Err(SignBundleError::OtherTerms("the expiry times")),
        _ => Ok(Some(manifest)),
    }
}

/// Changes the metadata of the bundle `path`, and writes its header anew.
fn rewrite<T>(
    path: &Path,
    roots: &[Vec<u8>],
    change: impl FnOnce(&mut MetadataSet, &[u8]) -> Result<T, SignBundleError>,
) -> Result<(SignedBundle, T), SignBundleError> {
    finish_interrupted(path)?;
    let (archive, manifest) = open_whole(path)?;
    let mut set = current_set(&archive, &manifest, roots)?;
    let outcome = change(&mut set, archive.manifest_bytes())?;
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

/// The metadata that the bundle has, where it was made under `roots` or none are given; else unsigned metadata.
fn current_set(archive: &Archive, manifest: &Manifest, roots: &[Vec<u8>]) -> Result<MetadataSet, SignBundleError> {
    let terms = terms_of(manifest);
    if !archive.metadata().is_empty() {
        let set = MetadataSet::from_files(archive.metadata().iter().cloned())?;
        if roots.is_empty() || set.roots.values().eq(roots) {
            set.check_content(archive.manifest_bytes(), &terms)?;
            return Ok(set);
        }
    }
    Ok(tuf::sign_manifest(roots, archive.manifest_bytes(), &terms, &[])?)
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
