//! Lists: the repositories, the tags of one, and what refers to a digest.

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderValue, Response, StatusCode};
use sealock_store::oci::Manifest;
use sealock_trust::Digest;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::body::Body;
use super::query::Query;
use super::respond::{OCI_FILTERS_APPLIED, Problem, of_json};
use crate::access::Action;
use crate::view::shelf::merged;

/// Entries in one answer, whatever the client asks for.
const LONGEST_PAGE: usize = 10_000;

const INDEX_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// `GET /v2/_catalog` (the registry API of Docker, which clients still use): the repositories, behind `last`, at most `n`.
pub(crate) fn catalog(ask: &Ask<'_>) -> Response<Body> {
    let last = ask.query.last.as_deref();
    let of_release = ask.view.repositories(last).map(|(name, _)| name.as_str());
    let pushed = ask.snapshot.repositories(last).map(|(name, _)| name.as_str());
    let all = merged(of_release, pushed).filter(|name| ask.may_in(name, Action::Catalog));
    page(ask.query, all, "/v2/_catalog", |page| json!({"repositories": page}))
}

/// `GET /v2/<name>/tags/list` (OCI distribution specification 1.1, "Listing Tags"): in the order of bytes, behind `last`, at most `n`.
pub(crate) fn tags(ask: &Ask<'_>) -> Response<Body> {
    let (shelf, name) = (ask.shelf(), ask.name);
    if shelf.is_absent() {
        return Problem::NameUnknown.respond(name);
    }
    let all = shelf.tags(ask.query.last.as_deref());
    page(ask.query, all, &format!("/v2/{name}/tags/list"), |page| json!({"name": name, "tags": page}))
}

/// As much of `all` as is wanted, and where there is more, how to ask for it.
fn page<'a>(
    query: &Query,
    mut all: impl Iterator<Item = &'a str>,
    path: &str,
    document: impl FnOnce(&[&'a str]) -> Value,
) -> Response<Body> {
    let Ok(limit) = query.n.as_deref().map_or(Ok(LONGEST_PAGE), str::parse::<usize>) else {
        return Problem::PageInvalid.respond(query.n.as_deref().unwrap_or_default());
    };
    let limit = limit.min(LONGEST_PAGE);
    let page: Vec<&str> = all.by_ref().take(limit).collect();
    let more = all.next().is_some();
    let mut response = of_json(StatusCode::OK, &document(&page));
    if let (true, Some(last)) = (more, page.last())
        && let Ok(link) = HeaderValue::from_str(&format!("<{path}?n={limit}&last={last}>; rel=\"next\""))
    {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// `GET /v2/<name>/referrers/<digest>` (OCI distribution specification 1.1, "Listing Referrers"): an index, also of nothing.
pub(crate) fn referrers(ask: &Ask<'_>, digest: &str) -> Response<Body> {
    let Ok(digest) = digest.parse::<Digest>() else { return Problem::DigestInvalid.respond(digest) };
    let wanted = ask.query.artifact_type.as_deref();
    let descriptors: Vec<Value> = ask
        .shelf()
        .referrers(&digest)
        .into_iter()
        .filter(|manifest| wanted.is_none_or(|wanted| manifest.artifact_type() == Some(wanted)))
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

fn descriptor(manifest: &Manifest) -> Value {
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".into(), manifest.media_type.clone().into());
    descriptor.insert("digest".into(), manifest.digest.to_string().into());
    descriptor.insert("size".into(), manifest.bytes.len().into());
    if let Some(kind) = manifest.artifact_type() {
        descriptor.insert("artifactType".into(), kind.into());
    }
    if let Some(annotations) = manifest.annotations() {
        descriptor.insert("annotations".into(), annotations.into());
    }
    descriptor.into()
}
