//! SBOMs for images that bring none: made with syft outside, kept beside the spec, and carried as if upstream had attached them.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sealock_bundle::ArtifactName;
use sealock_bundle::artifact::{self, OCI_MANIFEST};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::sbom::{self, Sbom};
use sealock_trust::Digest;
use sealock_trust::attestation::PAYLOAD_TYPE;

use super::draft::Draft;
use super::{Context, tools};
use crate::error::FetchError;
use crate::http::{Expected, FileLanding};
use crate::source::layout::Layout;
use crate::source::oci::{Content, Descriptor, Fetched, Repository};

/// How long syft may take: it unpacks and reads a whole image.
const SCAN: Duration = Duration::from_secs(30 * 60);
/// Layers that may be SBOMs and are looked into.
const TRIED: usize = 8;
/// The folder beside the spec.
const FOLDER: &str = "sboms";

/// The image of one platform that needs an SBOM.
#[derive(Debug)]
pub(super) struct Bare {
    /// What a person calls the image.
    pub(super) name: String,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
}

/// Whether one of `blobs`, which hang on an image, is an SBOM.
pub(super) async fn has_one(
    context: Context<'_>,
    repository: &Repository,
    blobs: &[LockedBlob],
) -> Result<bool, FetchError> {
    let may_be = |blob: &&LockedBlob| {
        blob.role == BlobRole::Layer && sbom::is_media_type(&blob.media_type) && blob.size <= sbom::MAX_BYTES
    };
    for layer in blobs.iter().filter(may_be).take(TRIED) {
        let request = context.http.blob_request(repository, &layer.digest)?;
        let (bytes, _) = context.http.read(&request, &Expected::exactly(&layer.digest, layer.size)).await?;
        if Sbom::from_bytes(&bytes).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds an SBOM for each, one after the other: syft takes all the memory and processors that one image deserves.
pub(super) async fn gather(context: Context<'_>, bare: &[Bare], draft: &mut Draft) -> Result<(), FetchError> {
    for image in bare {
        add(context, image, draft).await?;
    }
    Ok(())
}

async fn add(context: Context<'_>, image: &Bare, draft: &mut Draft) -> Result<(), FetchError> {
    let manifest = context.http.manifest(&image.repository, &image.digest.to_string()).await?;
    if is_attestation(&manifest) {
        return Ok(());
    }
    let path = format!("{FOLDER}/{}-{}.spdx.json", image.digest.algorithm().as_str(), image.digest.hex());
    let bytes = match kept(&context.request.folder.join(&path))? {
        Some(bytes) => bytes,
        None => make(context, image, &manifest, &path).await?,
    };
    let content = artifact::Content {
        digest: Digest::sha256(&bytes),
        size: bytes.len() as u64,
        title: path.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let made = artifact::of_sbom(&content, &manifest.descriptor());
    draft.blobs(made.blobs);
    draft.blobs([LockedBlob {
        digest: content.digest,
        size: content.size,
        media_type: sbom::SPDX.to_owned(),
        role: BlobRole::Layer,
        source: BlobSource::File { path: path.clone() },
    }]);
    let name = format!("{}@{}", image.repository, made.digest);
    let name: ArtifactName = name.parse().map_err(|_| FetchError::Address { name: name.clone() })?;
    draft.reference(LockedReference {
        name,
        kind: ReferenceKind::Referrer,
        digest: made.digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: None,
        subject: Some(image.digest.clone()),
        requested_by: vec![format!("{} brings no SBOM", image.name)],
        source: path,
        verdict: Verdict::new(VerdictRule::Local).because("made with syft by the packager"),
    })
}

/// BuildKit puts attestations into the index, as if each were the image of a platform.
fn is_attestation(fetched: &Fetched) -> bool {
    let is_statement = |layer: &Descriptor| layer.media_type == PAYLOAD_TYPE;
    matches!(&fetched.content, Content::Manifest { layers, .. } if !layers.is_empty() && layers.iter().all(is_statement))
}

/// The SBOM that an earlier run, or a person, put there.
fn kept(path: &Path) -> Result<Option<Vec<u8>>, FetchError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read(path)?;
    match Sbom::from_bytes(&bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(FetchError::Sbom { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// Reads a file that is to be an SBOM, whoever wrote it.
fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::io("read", path, source);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > sbom::MAX_BYTES {
        let reason = format!("it has {length} bytes, and at most {} are read", sbom::MAX_BYTES);
        return Err(FetchError::Sbom { path: path.to_owned(), reason });
    }
    fs::read(path).map_err(failed)
}

/// Makes the SBOM, and keeps it for the next time where there is a place.
async fn make(context: Context<'_>, image: &Bare, manifest: &Fetched, path: &str) -> Result<Vec<u8>, FetchError> {
    let syft = tools::find(context, "syft");
    let syft = syft.ok_or_else(|| FetchError::NoTool { tool: "syft", asked: format!("the SBOM of {}", image.name) })?;
    context.phase(&format!("making the SBOM of {}", image.name));
    let home = tempfile::tempdir_in(context.work);
    let home = home.map_err(|source| FetchError::io("make a folder in", context.work, source))?;
    let layout = home.path().join("image");
    pull(context, image, manifest, Layout(&layout)).await?;
    let written = home.path().join("sbom.json");
    let output = format!("spdx-json={}", written.display());
    let from = format!("oci-dir:{}", layout.display());
    let version = image.digest.to_string();
    let arguments =
        ["scan", &from, "--quiet", "--output", &output, "--source-name", &image.name, "--source-version", &version];
    let set = [("SYFT_CHECK_FOR_APP_UPDATE", "false"), ("TMPDIR", &*home.path().to_string_lossy())];
    let program = tools::Program { path: &syft, home: home.path(), set: &set, patience: SCAN };
    let ended = program.output(&arguments.map(str::to_owned)).await;
    let ended = ended.map_err(|source| FetchError::io("run", &syft, source))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return Err(FetchError::Syft { image: image.name.clone(), said });
    }
    let broken = |said: String| FetchError::Syft { image: image.name.clone(), said };
    let bytes = read(&written)?;
    let bytes = sbom::reproducible(&bytes, &image.name, &image.digest, context.request.issued);
    let bytes = bytes.map_err(|error| broken(error.to_string()))?;
    if let Some(folder) = &context.request.keep {
        keep(&folder.join(path), &bytes)?;
    }
    Ok(bytes)
}

/// The image of one platform as an OCI layout, every blob verified on its way.
async fn pull(context: Context<'_>, image: &Bare, manifest: &Fetched, layout: Layout<'_>) -> Result<(), FetchError> {
    let Content::Manifest { config, layers } = &manifest.content else {
        return Err(FetchError::Syft { image: image.name.clone(), said: "it is an index inside an index".to_owned() });
    };
    for Descriptor { digest, size, .. } in std::iter::once(config).chain(layers) {
        let landing = FileLanding::create(&layout.blob(digest)?)?;
        let request = context.http.blob_request(&image.repository, digest)?;
        context.http.download(&request, &Expected::exactly(digest, *size), landing).await?;
    }
    layout.finish(&[manifest])
}

/// Writes a file as a whole or not at all.
fn keep(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let failed = |source| FetchError::io("write", path, source);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
