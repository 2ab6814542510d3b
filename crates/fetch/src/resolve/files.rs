//! Files from the web, pinned by digest in the spec.

use sealock_bundle::ArtifactName;
use sealock_bundle::artifact::{self, Content, OCI_MANIFEST, OCTET_STREAM, PGP_SIGNATURE};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::reference;
use sealock_bundle::spec::{FileRule, FileSpec};
use url::Url;

use super::Context;
use super::beside::Beside;
use super::components::parse_url;
use super::draft::Draft;
use super::gpg;
use crate::error::FetchError;
use crate::http::{Expected, FileLanding};

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
    let signed = match &file.verify {
        Some(rule) => Some(check(context, &url, &content, rule).await?),
        None => None,
    };
    let made = match &signed {
        Some((signature, _)) => artifact::of_signed_file(&content, &signature.content),
        None => artifact::of_file(&content),
    };
    draft.blobs(made.blobs);
    draft.blobs(signed.iter().map(|(signature, _)| signature.blob(PGP_SIGNATURE)));
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
        verdict: signed.map_or_else(pinned, |(_, verdict)| verdict),
    })
}

fn pinned() -> Verdict {
    Verdict::new(VerdictRule::Checksum).because("the spec pins its digest")
}

/// Downloads file and signature, and checks the one by the other.
async fn check(
    context: Context<'_>,
    url: &Url,
    content: &Content,
    rule: &FileRule,
) -> Result<(Beside, Verdict), FetchError> {
    let address = rule.signature.clone().unwrap_or_else(|| format!("{url}.asc"));
    let address = parse_url(&address)?;
    let title = address.path().rsplit('/').next().unwrap_or_default().to_owned();
    let signature = Beside::fetch(context, url.as_str(), address, title).await?;
    let folder = tempfile::tempdir_in(context.work).map_err(|source| FetchError::io("write", context.work, source))?;
    let path = folder.path().join("data");
    let expected = Expected::exactly(&content.digest, content.size);
    context.http.download(&context.http.file_request(url), &expected, FileLanding::create(&path)?).await?;
    let signed = gpg::Signed { what: url.as_str(), keyring: &rule.gpg, signature: &signature.bytes };
    let verdict = signed.detached(context, &path).await?;
    Ok((signature, verdict))
}
