//! What refers to an image: by the referrers API (OCI distribution specification 1.1, "Listing Referrers"), by its
//! fallback tag ("Referrers Tag Schema"), and by the tags that cosign derives from a digest.

use http::StatusCode;
use http::header::LINK;
use sealock_bundle::spec::Referrers;
use sealock_trust::Digest;
use serde::Deserialize;

use super::oci::{Content, Fetched, Repository};
use crate::error::FetchError;
use crate::http::{Http, Request};
use crate::progress::Event;
use crate::upstream::{Failure, UpstreamError};

/// Things that refer to one image at most.
const MOST: usize = 128;
/// Bytes of all of them together at most.
const MOST_BYTES: u64 = 512 << 20;
/// What a registry may send as one page of the list.
const PAGE_LIMIT: usize = 4 << 20;
const PAGES: usize = 16;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Suffixes of cosign's tags (cosign, "Signature spec" and "Attestation spec").
const SIGNATURE_TAG: &str = "sig";
const OTHER_TAGS: [&str; 2] = ["att", "sbom"];
/// What a Sigstore bundle signs, as cosign notes it in the manifest around it.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The statement by which cosign signs an image.
pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// How the media type of every Sigstore bundle begins, whatever its version.
pub(crate) const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Artifact types of signatures that are no Sigstore bundles: cosign's first form, and Notation's.
const SIGNATURES: [&str; 2] = ["application/vnd.dev.cosign.artifact.sig.v1+json", NOTATION];
/// Artifact type of Notation's signatures (Notary Project, "Signature Specification").
pub(crate) const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// One thing that refers to an image.
#[derive(Clone, Debug)]
pub(crate) struct Referrer {
    /// Its manifest.
    pub(crate) fetched: Fetched,
    /// The tag it was found under; none where only its digest is known.
    pub(crate) tag: Option<String>,
    /// What it says it is; empty where it was found by its tag.
    pub(crate) artifact_type: String,
    /// Whether it is a signature, and not something else that refers.
    pub(crate) is_signature: bool,
}

/// The fields of a referring manifest that [`Fetched`] leaves out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    artifact_type: Option<String>,
    config: Option<TypeOnly>,
    subject: Option<DigestOnly>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeOnly {
    media_type: String,
}

#[derive(Deserialize)]
struct DigestOnly {
    digest: Digest,
}

#[derive(Deserialize)]
struct Page {
    manifests: Vec<DigestOnly>,
}

impl Http {
    /// Everything of the kind `which` that refers to `subject`: first what the registry lists, sorted by digest, then cosign's tags.
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        which: Referrers,
    ) -> Result<Vec<Referrer>, FetchError> {
        if which == Referrers::None {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for digest in self.listed(repository, subject).await? {
            let fetched = self.manifest(repository, &digest.to_string()).await?;
            found.extend(self.referring(repository, subject, fetched));
        }
        let others = OTHER_TAGS.iter().filter(|_| which == Referrers::All);
        for suffix in std::iter::once(&SIGNATURE_TAG).chain(others) {
            let tag = format!("{}.{suffix}", tag_of(subject));
            if let Some(fetched) = optional(self.manifest(repository, &tag).await)? {
                let is_signature = *suffix == SIGNATURE_TAG;
                found.push(Referrer { fetched, tag: Some(tag), artifact_type: String::new(), is_signature });
            }
        }
        found.retain(|referrer| which == Referrers::All || referrer.is_signature);
        check_size(repository, subject, &found)?;
        Ok(found)
    }

    /// The digests that the registry lists, sorted and each once.
    async fn listed(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Digest>, FetchError> {
        let mut digests = match self.by_api(repository, subject).await? {
            Some(digests) => digests,
            None => match optional(self.manifest(repository, &tag_of(subject)).await)?.map(|fetched| fetched.content) {
                Some(Content::Index(entries)) => entries.into_iter().map(|entry| entry.digest).collect(),
                Some(Content::Manifest { .. }) | None => Vec::new(),
            },
        };
        digests.sort();
        digests.dedup();
        if digests.len() > MOST {
            let what = format!("{} things refer to it, and at most {MOST} are borne", digests.len());
            return Err(FetchError::Referrers { image: format!("{repository}@{subject}"), what });
        }
        Ok(digests)
    }

    /// What the referrers API says; nothing where the registry has none.
    async fn by_api(&self, repository: &Repository, subject: &Digest) -> Result<Option<Vec<Digest>>, FetchError> {
        let mut request = self.referrers_request(repository, subject)?;
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let response = match self.send(&request).await {
                Ok(response) => response,
                Err(error) if all.is_empty() && is_without_api(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let next = response.headers().get(LINK).and_then(|value| value.to_str().ok()).and_then(next_page);
            let next = next.map(|link| request.located.url.join(link));
            let page = body(&request, response).await?;
            let malformed = |error: serde_json::Error| {
                request.failed(Failure::Malformed(format!("it is no list of referrers ({error})")))
            };
            let page: Page = serde_json::from_slice(&page).map_err(malformed)?;
            all.extend(page.manifests.into_iter().map(|entry| entry.digest));
            match next {
                None => return Ok(Some(all)),
                Some(Ok(url)) if url.origin() == request.located.url.origin() => request.located.url = url,
                Some(_) => {
                    let reason = "the next page of its referrers is on another host".to_owned();
                    return Err(request.failed(Failure::Malformed(reason)).into());
                }
            }
        }
        let what = format!("what refers to it fills more than {PAGES} pages");
        Err(FetchError::Referrers { image: format!("{repository}@{subject}"), what })
    }

    fn referrers_request(&self, repository: &Repository, subject: &Digest) -> Result<Request, FetchError> {
        let wanted = format!("what refers to {repository}@{subject}");
        let request =
            self.registry_request(&wanted, &repository.host, &repository.path, &format!("referrers/{subject}"));
        let request = request.ok_or(FetchError::Address { name: wanted })?;
        Ok(Request { accept: Some(INDEX), ..request })
    }

    /// What a listed manifest is; nothing, and a note, where it does not refer to `subject` at all: inside, nobody would find it.
    fn referring(&self, repository: &Repository, subject: &Digest, fetched: Fetched) -> Option<Referrer> {
        let about: About = serde_json::from_slice(&fetched.bytes).ok()?;
        if about.subject.is_none_or(|found| found.digest != *subject) {
            let note =
                format!("{repository}@{} is listed as referring to {subject}, and does not; left out", fetched.digest);
            self.progress.report(&Event::Note(&note));
            return None;
        }
        let of_config = about.config.map(|config| config.media_type);
        let kind = about.artifact_type.filter(|kind| !kind.is_empty()).or(of_config).unwrap_or_default();
        let predicate = about.annotations.get(PREDICATE_TYPE);
        let is_bundle = kind.starts_with(SIGSTORE_BUNDLE) && predicate.is_none_or(|predicate| predicate == SIGN);
        let is_signature = is_bundle || SIGNATURES.contains(&kind.as_str());
        Some(Referrer { fetched, tag: None, artifact_type: kind, is_signature })
    }
}

/// `sha256-<hex>`.
fn tag_of(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().as_str(), subject.hex())
}

/// What is not there is nothing.
fn optional<T>(result: Result<T, FetchError>) -> Result<Option<T>, FetchError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(FetchError::Upstream(error)) if error.failure == Failure::NotFound => Ok(None),
        Err(other) => Err(other),
    }
}

/// Registries without the API answer 404 as the specification says, or as if a name or method were wrong.
fn is_without_api(error: &UpstreamError) -> bool {
    let odd = [StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_ACCEPTABLE];
    match &error.failure {
        Failure::NotFound | Failure::Forbidden => true,
        Failure::UnexpectedStatus(status) => odd.contains(status),
        _ => false,
    }
}

/// The address in `Link: <…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(address)
}

async fn body(request: &Request, mut response: reqwest::Response) -> Result<Vec<u8>, UpstreamError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| request.not_sent(error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > PAGE_LIMIT {
            return Err(request.failed(Failure::TooLarge { limit: PAGE_LIMIT as u64 }));
        }
    }
    Ok(bytes)
}

fn check_size(repository: &Repository, subject: &Digest, found: &[Referrer]) -> Result<(), FetchError> {
    let size = |referrer: &Referrer| match &referrer.fetched.content {
        Content::Manifest { config, layers } => {
            layers.iter().fold(config.size, |sum, layer| sum.saturating_add(layer.size))
        }
        Content::Index(_) => 0,
    };
    let bytes = found.iter().map(size).fold(0, u64::saturating_add);
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let what = format!("what refers to it has {bytes} bytes, and at most {MOST_BYTES} are borne");
    Err(FetchError::Referrers { image: format!("{repository}@{subject}"), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read_from_the_link() {
        assert_eq!(next_page("</v2/a/referrers/x?last=1>; rel=\"next\""), Some("/v2/a/referrers/x?last=1"));
        assert_eq!(next_page("<https://host/x>; rel=next"), Some("https://host/x"));
        assert_eq!(next_page("</x>; rel=\"prev\""), None);
        assert_eq!(next_page("x"), None);
    }
}
