//! Upstream signatures: cosign's simple signing with a public key.
//!
//! The signature of the image with digest `sha256:<hex>` is an image tagged `sha256-<hex>.sig` in the same repository
//! (cosign, "Signature spec"). Each of its layers is a payload that names the digest; an annotation signs the payload.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_bundle::lock::{LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::spec::VerifyRule;
use sealock_trust::Digest;
use sealock_trust::key::PublicKey;
use serde::Deserialize;

use super::Context;
use super::images::{self, Fit};
use crate::error::FetchError;
use crate::http::Expected;
use crate::source::oci::{Content, Descriptor, Repository};
use crate::upstream::Failure;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const PAYLOAD_LIMIT: u64 = 64 * 1024;

/// What judging came to: the verdict, and the signature that travels along.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) reference: Option<LockedReference>,
    pub(super) blobs: Vec<LockedBlob>,
}

/// What is signed (containers/image, "container-signature(5)").
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    r#type: String,
    image: Subject,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Subject {
    docker_manifest_digest: Digest,
}

/// Judges an image by its rule.
pub(super) async fn judge(
    context: Context<'_>,
    repository: &Repository,
    digest: &Digest,
    rule: &VerifyRule,
) -> Result<Judged, FetchError> {
    let path = match rule {
        VerifyRule::Unsigned(reason) => {
            let verdict = Verdict { rule: VerdictRule::Unsigned, key: None, reason: Some(reason.clone()) };
            return Ok(Judged { verdict, reference: None, blobs: Vec::new() });
        }
        VerifyRule::Key(path) => context.request.folder.join(path),
    };
    let pem = std::fs::read_to_string(&path).map_err(|source| FetchError::io("read the public key", &path, source))?;
    let key = PublicKey::from_pem(&pem).map_err(|source| FetchError::Key { path: path.clone(), source })?;
    let tag = format!("{}-{}.sig", digest.algorithm().as_str(), digest.hex());
    let image = format!("{repository}@{digest}");
    check(context, repository, &tag, digest, &key).await.map_err(|error| match error {
        Unproven::Missing => FetchError::NoSignature { image: image.clone(), tag: tag.clone() },
        Unproven::Wrong(reason) => FetchError::BadSignature { image: image.clone(), key: path.clone(), reason },
        Unproven::Other(error) => error,
    })?;
    let tree = images::fetch(context, repository, &tag, Fit::Anything).await?;
    let verdict = Verdict { rule: VerdictRule::Key, key: Some(Digest::sha256(pem.as_bytes())), reason: None };
    let reference = carried(repository, &tag, &image, &tree, &verdict)?;
    Ok(Judged { verdict, reference: Some(reference), blobs: tree.blobs })
}

/// The signature itself as a reference: whoever has the key can check again, inside.
fn carried(
    repository: &Repository,
    tag: &str,
    image: &str,
    tree: &images::Tree,
    verdict: &Verdict,
) -> Result<LockedReference, FetchError> {
    let name = format!("{repository}:{tag}");
    Ok(LockedReference {
        name: name.parse().map_err(|_| FetchError::Address { name: name.clone() })?,
        kind: ReferenceKind::File,
        digest: tree.digest.clone(),
        media_type: tree.media_type.clone(),
        platform: None,
        source: name,
        requested_by: vec![format!("the signature of {image}")],
        verdict: verdict.clone(),
    })
}

enum Unproven {
    Missing,
    Wrong(String),
    Other(FetchError),
}

impl From<FetchError> for Unproven {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Upstream(error) if error.failure == Failure::NotFound => Self::Missing,
            other => Self::Other(other),
        }
    }
}

/// One good signature is enough; the reasons of all bad ones are told where there is none.
async fn check(
    context: Context<'_>,
    repository: &Repository,
    tag: &str,
    digest: &Digest,
    key: &PublicKey,
) -> Result<(), Unproven> {
    let fetched = context.http.manifest(repository, tag).await?;
    let Content::Manifest { layers, .. } = fetched.content else {
        return Err(Unproven::Wrong("the signature is an index, and not an image".to_owned()));
    };
    let mut reasons = Vec::new();
    for layer in layers.iter().filter(|layer| layer.media_type == PAYLOAD) {
        match check_layer(context, repository, layer, digest, key).await {
            Ok(()) => return Ok(()),
            Err(Unproven::Wrong(reason)) => reasons.push(reason),
            Err(other) => return Err(other),
        }
    }
    let reason = if reasons.is_empty() { "there is no signature in it".to_owned() } else { reasons.join("; ") };
    Err(Unproven::Wrong(reason))
}

async fn check_layer(
    context: Context<'_>,
    repository: &Repository,
    layer: &Descriptor,
    digest: &Digest,
    key: &PublicKey,
) -> Result<(), Unproven> {
    let wrong = |reason: &str| Unproven::Wrong(reason.to_owned());
    if layer.size > PAYLOAD_LIMIT {
        return Err(wrong("the signed payload is too large"));
    }
    let text = layer.annotations.get(SIGNATURE).ok_or_else(|| wrong("a layer has no signature"))?;
    let signature = STANDARD.decode(text).map_err(|_| wrong("the signature is not base64"))?;
    let request = context.http.blob_request(repository, &layer.digest)?;
    let (payload, _) = context.http.read(&request, &Expected::exactly(&layer.digest, layer.size)).await?;
    key.verify(&payload, &signature).map_err(|_| wrong("the signature is by another key, or was changed"))?;
    let Payload { critical } =
        serde_json::from_slice(&payload).map_err(|_| wrong("what is signed is no container signature"))?;
    if critical.r#type != "cosign container image signature" {
        return Err(wrong("what is signed is no container signature"));
    }
    if critical.image.docker_manifest_digest != *digest {
        return Err(Unproven::Wrong(format!("it signs {}, another image", critical.image.docker_manifest_digest)));
    }
    Ok(())
}
