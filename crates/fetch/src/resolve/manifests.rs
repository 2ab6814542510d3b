//! Files with Kubernetes manifests, beside the spec.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::artifact::{self, Content, OCI_MANIFEST, YAML};
use sealock_bundle::document::DocumentError;
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::reference;
use sealock_trust::Digest;

use super::draft::Draft;
use super::guesses::Guesses;
use super::wishes::Wishes;
use super::{Context, objects, secrets};
use crate::discovery;
use crate::error::FetchError;

const FILE_LIMIT: u64 = 16 << 20;
/// Bytes of a file whose placeholders are filled in: it stands in the lock.
const FILLED_LIMIT: usize = 1 << 20;
const FILES: usize = 10_000;
const DEPTH: usize = 16;

/// Adds every manifest file, and wishes for the images that it names.
pub(super) async fn gather(
    context: Context<'_>,
    draft: &mut Draft,
    wishes: &mut Wishes,
    guesses: &mut Guesses,
) -> Result<(), FetchError> {
    let spec = &context.request.bundle.spec;
    if spec.manifests.is_empty() {
        return Ok(());
    }
    context.phase("reading manifests");
    let mut files = Vec::new();
    for path in &spec.manifests {
        let listed = files.len();
        list(&context.request.folder, path, 0, &mut files)?;
        if files.len() == listed {
            return Err(FetchError::NoManifests { path: path.clone() });
        }
    }
    files.sort();
    files.dedup();
    files.iter().try_for_each(|path| add(context, path, draft, (wishes, guesses)))
}

/// All YAML and JSON files below `path`, which is relative to `folder`.
fn list(folder: &Path, path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), FetchError> {
    let whole = folder.join(path);
    let failed = |source| FetchError::io("read the manifests in", &whole, source);
    if !fs::metadata(&whole).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&whole).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let inner = path.join(entry.file_name());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth < DEPTH {
            list(folder, &inner, depth + 1, files)?;
        } else if !kind.is_dir() && is_manifest(&inner) {
            files.push(inner);
        }
        if files.len() > FILES {
            return Err(failed(std::io::Error::other(format!("there are more than {FILES} files"))));
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

fn add(
    context: Context<'_>,
    path: &Path,
    draft: &mut Draft,
    (wishes, guesses): (&mut Wishes, &mut Guesses),
) -> Result<(), FetchError> {
    let whole = context.request.folder.join(path);
    let failed = |source| FetchError::io("read the manifest", &whole, source);
    let size = fs::metadata(&whole).map_err(failed)?.len();
    if size > FILE_LIMIT {
        return Err(failed(std::io::Error::other(format!("it has {size} bytes, and at most {FILE_LIMIT} are read"))));
    }
    let bytes = fs::read(&whole).map_err(failed)?;
    let name = slashed(path);
    let text = std::str::from_utf8(&bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    let filled = context.fill(path, text)?;
    look_into(context, filled.as_deref().unwrap_or(text), &name, (wishes, guesses))?;
    let from = Origin { path: &name, requested_by: "spec.manifests", verdict: Verdict::new(VerdictRule::Local) };
    match filled {
        Some(filled) if filled.len() > FILLED_LIMIT => {
            let problem = format!(
                "with its parameters it has {} bytes, and the lock takes {FILLED_LIMIT} of such a file",
                filled.len()
            );
            Err(FetchError::Parameters { source: DocumentError::other(path, None, problem) })
        }
        // What is carried is no file any more, so the lock itself holds it.
        Some(filled) => {
            let blob = artifact::generated(YAML, BlobRole::Layer, filled.as_bytes());
            carry(context, from, filled.as_bytes(), blob.source, draft)
        }
        None => carry(context, from, &bytes, BlobSource::File { path: name.clone() }, draft),
    }
}

/// Looks for secrets in the objects of `text`, and for the images that they name.
pub(super) fn look_into(
    context: Context<'_>,
    text: &str,
    name: &str,
    (wishes, guesses): (&mut Wishes, &mut Guesses),
) -> Result<(), FetchError> {
    for object in objects::parse(text, name)? {
        secrets::check(&object, "default", &context.request.bundle.spec.accept_secrets)?;
        for image in objects::images(&object)? {
            wishes.add(image, object.name.clone());
        }
        guesses.add_all(discovery::in_object(&object.value), &object.origin);
    }
    Ok(())
}

/// Where a file of manifests is from.
pub(super) struct Origin<'a> {
    /// Its path, or the one that it gets.
    pub(super) path: &'a str,
    pub(super) requested_by: &'a str,
    pub(super) verdict: Verdict,
}

/// Adds a file of manifests with these bytes.
pub(super) fn carry(
    context: Context<'_>,
    Origin { path, requested_by, verdict }: Origin<'_>,
    bytes: &[u8],
    source: BlobSource,
    draft: &mut Draft,
) -> Result<(), FetchError> {
    let title = path.rsplit('/').next().unwrap_or(path).to_owned();
    let content = Content { digest: Digest::sha256(bytes), size: bytes.len() as u64, title };
    let made = artifact::of_kubernetes_manifest(&content);
    draft.blobs(made.blobs);
    draft.blobs([LockedBlob {
        digest: content.digest,
        size: content.size,
        media_type: YAML.to_owned(),
        role: BlobRole::Layer,
        source,
    }]);
    let name = reference::of_manifest(&context.request.bundle.metadata.name, path, context.request.sequence);
    draft.reference(LockedReference {
        name: name.map_err(|_| FetchError::Address { name: path.to_owned() })?,
        kind: ReferenceKind::Manifest,
        digest: made.digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: None,
        subject: None,
        source: path.to_owned(),
        requested_by: vec![requested_by.to_owned()],
        verdict,
    })
}

/// The path with `/`, without `.` parts.
pub(super) fn slashed(path: &Path) -> String {
    let parts = path.components().filter(|part| !matches!(part, std::path::Component::CurDir));
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
