//! Sends manifests and blobs: whole, in part, or only their headers.

use std::io;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sealock_store::Store;
use sealock_store::oci::Manifest;
use sealock_trust::Digest;

use super::body::{BlobBody, Body};
use super::range::{self, Wanted};
use super::respond::{DOCKER_CONTENT_DIGEST, Problem};

/// The type of a blob; what is in it only its manifest knows.
const BLOB_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What is about to be sent.
struct Content<'a> {
    digest: &'a Digest,
    length: u64,
    media_type: HeaderValue,
}

/// A manifest or index, out of memory.
pub(crate) fn of_manifest(method: &Method, request: &HeaderMap, manifest: &Manifest) -> Response<Body> {
    let media_type = HeaderValue::from_str(&manifest.media_type).unwrap_or(BLOB_TYPE);
    let content = Content { digest: &manifest.digest, length: manifest.bytes.len() as u64, media_type };
    let (mut response, part) = content.head(method, request);
    if let Some((start, end)) = part {
        *response.body_mut() = Body::Bytes(slice(&manifest.bytes, start, end));
    }
    response
}

/// A blob of `length` bytes, out of the store.
pub(crate) async fn of_blob(
    method: &Method,
    request: &HeaderMap,
    store: &Store,
    (digest, length): (&Digest, u64),
) -> Response<Body> {
    let content = Content { digest, length, media_type: BLOB_TYPE };
    let (mut response, part) = content.head(method, request);
    let Some((start, end)) = part.filter(|(start, end)| start < end) else { return response };
    match open(store.clone(), digest.clone(), (start, end), length).await {
        Ok(Some(body)) => *response.body_mut() = Body::Blob(body),
        // The file vanished, or shrank, behind the release's back.
        Ok(None) => return Problem::BlobUnknown.respond(&digest.to_string()),
        Err(error) => {
            tracing::error!(%digest, %error, "a blob of the release cannot be read");
            return Problem::Internal.respond(&digest.to_string());
        }
    }
    response
}

impl Content<'_> {
    /// Status and headers, and which bytes have to follow them.
    fn head(self, method: &Method, request: &HeaderMap) -> (Response<Body>, Option<(u64, u64)>) {
        let mut response = Response::new(Body::Empty);
        let etag = format!("\"{}\"", self.digest);
        let (status, start, end) = match self.wanted(method, request, &etag) {
            Wanted::Whole => (StatusCode::OK, 0, self.length),
            Wanted::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
            Wanted::Unsatisfiable => return (self.unsatisfiable(), None),
        };
        let headers = response.headers_mut();
        insert_text(headers, ETAG, &etag);
        insert_text(headers, DOCKER_CONTENT_DIGEST, &self.digest.to_string());
        if matches_etag(request, &etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return (response, None);
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
        if status == StatusCode::PARTIAL_CONTENT {
            insert_text(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, self.length));
        }
        headers.insert(CONTENT_TYPE, self.media_type);
        *response.status_mut() = status;
        (response, (method == Method::GET).then_some((start, end)))
    }

    /// `Range` counts for GET only (RFC 9110, section 14.2), and only if the client's copy is of this content.
    fn wanted(&self, method: &Method, request: &HeaderMap, etag: &str) -> Wanted {
        let same = request.get(IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
        match request.get(RANGE) {
            Some(value) if method == Method::GET && same => range::parse(value.as_bytes(), self.length),
            _ => Wanted::Whole,
        }
    }

    fn unsatisfiable(&self) -> Response<Body> {
        let mut response = Problem::RangeInvalid.respond(&self.digest.to_string());
        insert_text(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", self.length));
        response
    }
}

async fn open(store: Store, digest: Digest, (start, end): (u64, u64), length: u64) -> io::Result<Option<BlobBody>> {
    let open = move || {
        let blob = store.open_blob(&digest).map_err(io::Error::other)?;
        // Never begin an answer that cannot be finished.
        let Some(blob) = blob.filter(|blob| blob.size() == length) else { return Ok(None) };
        BlobBody::open(blob, start, end).map(Some)
    };
    tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
}

/// Whether the client has the content already. A digest is its own entity tag.
fn matches_etag(request: &HeaderMap, etag: &str) -> bool {
    let has_it = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
    };
    request.get_all(IF_NONE_MATCH).iter().any(has_it)
}

fn slice(bytes: &Bytes, start: u64, end: u64) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(bytes.len()).min(bytes.len());
    bytes.slice(index(start)..index(end))
}

pub(crate) fn insert_text(headers: &mut HeaderMap, name: http::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
