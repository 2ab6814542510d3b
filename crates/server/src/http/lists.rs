//! Lists: the tags of a repository, and what refers to a digest.

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderValue, Response, StatusCode};
use sealock_store::closure::Manifest;
use sealock_trust::Digest;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::query::Query;
use super::respond::{OCI_FILTERS_APPLIED, Problem, of_json};
use crate::view::Repository;

/// Tags in one answer, whatever the client asks for.
const LONGEST_PAGE: usize = 10_000;

const INDEX_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// `GET /v2/<name>/tags/list` (OCI distribution specification 1.1, "Listing Tags"): in the order of bytes, behind `last`, at most `n`.
pub(crate) fn tags(name: &str, repository: &Repository, query: &Query) -> Response<Body> {
    let Ok(limit) = query.n.as_deref().map_or(Ok(LONGEST_PAGE), str::parse::<usize>) else {
        return Problem::PageInvalid.respond(query.n.as_deref().unwrap_or_default());
    };
    let limit = limit.min(LONGEST_PAGE);
    let behind = |tag: &&String| query.last.as_deref().is_none_or(|last| tag.as_str() > last);
    let mut rest = repository.tags.keys().filter(behind);
    let page: Vec<&String> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let mut response = of_json(StatusCode::OK, &json!({"name": name, "tags": page}));
    if let (true, Some(last)) = (more, page.last())
        && let Ok(link) = HeaderValue::from_str(&format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""))
    {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// `GET /v2/<name>/referrers/<digest>` (OCI distribution specification 1.1, "Listing Referrers"): an index, also of nothing.
pub(crate) fn referrers(repository: Option<&Repository>, digest: &Digest, query: &Query) -> Response<Body> {
    let all = repository.map(|repository| repository.referrers(digest)).unwrap_or_default();
    let wanted = query.artifact_type.as_deref();
    let descriptors: Vec<Value> = all
        .into_iter()
        .filter(|manifest| wanted.is_none_or(|wanted| artifact_type(manifest) == Some(wanted)))
        .map(|manifest| descriptor(manifest))
        .collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": descriptors});
    let mut response = of_json(StatusCode::OK, &index);
    response.headers_mut().insert(CONTENT_TYPE, INDEX_TYPE);
    if wanted.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    response
}

/// Its own field, or else the type of its config (OCI distribution specification 1.1, "Listing Referrers").
fn artifact_type(manifest: &Manifest) -> Option<&str> {
    let parts = &manifest.parts;
    let of_config = || parts.config.as_ref().map(|config| config.media_type.as_str());
    parts.artifact_type.as_deref().filter(|kind| !kind.is_empty()).or_else(of_config)
}

fn descriptor(manifest: &Manifest) -> Value {
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".into(), manifest.media_type.clone().into());
    descriptor.insert("digest".into(), manifest.digest.to_string().into());
    descriptor.insert("size".into(), manifest.bytes.len().into());
    if let Some(kind) = artifact_type(manifest) {
        descriptor.insert("artifactType".into(), kind.into());
    }
    if let Some(annotations) = &manifest.parts.annotations {
        descriptor.insert("annotations".into(), annotations.clone().into());
    }
    descriptor.into()
}
