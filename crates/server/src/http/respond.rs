//! Responses that are not content: errors as the OCI distribution specification 1.1 has them ("Error Codes").

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::body::Body;

/// The digest of the content that is sent.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Which upstream registry the answer stands in for.
pub(crate) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// Which filters were applied to a list of referrers.
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PageInvalid,
    RangeInvalid,
    Unsupported,
    Internal,
}

impl Problem {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BlobUnknown => {
                (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "no manifest of the current release has this blob here")
            }
            Self::Denied => (StatusCode::FORBIDDEN, "DENIED", "its publisher has revoked it (REVOKED)"),
            Self::DigestInvalid => (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "this is not a digest"),
            Self::ManifestUnknown => {
                (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "the current release has no such manifest here")
            }
            Self::NameInvalid => {
                (StatusCode::BAD_REQUEST, "NAME_INVALID", "this is not a repository name, tag or namespace")
            }
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN", "the current release has no such repository"),
            Self::PageInvalid => {
                (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "n is the number of tags wanted")
            }
            Self::RangeInvalid => (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "the content has no such bytes"),
            Self::Unsupported => (
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "this registry is read-only: content comes by `sealock import`",
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the store could not be read: see the log of the server")
            }
        }
    }

    /// The response; `detail` says what it is about.
    pub(crate) fn respond(self, detail: &str) -> Response<Body> {
        let (status, code, message) = self.parts();
        let error = json!({"errors": [{"code": code, "message": message, "detail": detail}]});
        let mut response = of_json(status, &error);
        if self == Self::Unsupported {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// A JSON document.
pub(crate) fn of_json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    of_bytes(status, HeaderValue::from_static("application/json"), value.to_string().into())
}

/// Bytes of a type.
pub(crate) fn of_bytes(status: StatusCode, media_type: HeaderValue, bytes: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *response.body_mut() = Body::bytes(bytes);
    response
}
