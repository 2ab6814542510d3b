//! Files from the web, pinned by digest in the spec.

use sealock_bundle::ArtifactName;
use sealock_bundle::artifact::{self, Content, OCI_MANIFEST, OCTET_STREAM};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::reference;
use sealock_bundle::spec::FileSpec;

use super::Context;
use super::components::parse_url;
use super::draft::Draft;
use crate::error::FetchError;

/// Adds every file of the spec.
pub(super) async fn gather(context: Context<'_>, draft: &mut Draft) -> Result<(), FetchError> {
    for file in &context.request.bundle.spec.files {
        add(context, file, draft).await?;
    }
    Ok(())
}

async fn add(context: Context<'_>, file: &FileSpec, draft: &mut Draft) -> Result<(), FetchError> {
    let url = parse_url(&file.url)?;
    let size = context.http.length(&context.http.file_request(&url)).await?;
    let title = url.path().rsplit('/').next().filter(|title| !title.is_empty()).unwrap_or("file").to_owned();
    let content = Content { digest: file.digest.clone(), size, title };
    let made = artifact::of_file(&content);
    draft.blobs(made.blobs);
    draft.blobs([LockedBlob {
        digest: content.digest,
        size,
        media_type: OCTET_STREAM.to_owned(),
        role: BlobRole::Layer,
        source: BlobSource::Http { url: url.to_string(), inner: None },
    }]);
    let tag = file.version.clone().unwrap_or_else(|| file.digest.hex().chars().take(12).collect());
    let name = reference::of_url(&file.url, &tag).map_err(|_| FetchError::Address { name: file.url.clone() })?;
    draft.reference(LockedReference {
        name: ArtifactName::from(&name),
        kind: ReferenceKind::File,
        digest: made.digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: None,
        subject: None,
        source: file.url.clone(),
        requested_by: vec!["spec.files".to_owned()],
        verdict: Verdict::new(VerdictRule::Checksum).because("the spec pins its digest"),
    })
}
