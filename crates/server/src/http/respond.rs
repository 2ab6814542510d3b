//! Responses that are not content: errors as the OCI distribution specification 1.1 has them ("Error Codes").

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::body::Body;

/// The digest of the content that is sent.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Which upstream registry the answer stands in for.
pub(crate) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// What a manifest that was pushed is about.
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A tag that stands for a manifest that was pushed.
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Which filters were applied to a list of referrers.
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The response with which an answer stops.
pub(crate) type Refusal = Box<Response<Body>>;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    BlobUnknown,
    Busy,
    Denied,
    DigestInvalid,
    DigestMismatch,
    DiskFull,
    Rule,
    FromRelease,
    InUse,
    Internal,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestSize,
    ManifestTooLong,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PageInvalid,
    RangeInvalid,
    SizeInvalid,
    TagTaken,
    TooLong,
    TooManyTags,
    TooManyUploads,
    TooSlow,
    Unavailable,
    UnknownUpload,
    Unsupported,
    UploadCut,
    UploadOffset,
    Withheld,
}

impl Problem {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "no manifest here has this blob"),
            Self::Busy => {
                (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", "another request writes to this upload at this moment")
            }
            Self::Denied => (StatusCode::FORBIDDEN, "DENIED", "its publisher has revoked it (REVOKED)"),
            Self::DigestInvalid => (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "this is not a digest"),
            Self::DigestMismatch => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the content does not have this digest (DIGEST)")
            }
            Self::DiskFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "there is no room for it on the disk of the registry")
            }
            Self::Rule => (StatusCode::FORBIDDEN, "DENIED", "the rules of the site do not let this in"),
            Self::FromRelease => {
                (StatusCode::FORBIDDEN, "DENIED", "this came with a release, and only releases change it")
            }
            Self::InUse => {
                (StatusCode::CONFLICT, "DENIED", "a manifest here refers to it, and has to be deleted first")
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the store failed: see the log of the server")
            }
            Self::ManifestBlobUnknown => {
                (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", "the repository lacks what the manifest refers to")
            }
            Self::ManifestInvalid => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "this is no manifest"),
            Self::ManifestSize => {
                (StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "the manifest gives another size than the content has")
            }
            Self::ManifestTooLong => {
                (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "a manifest has at most 4194304 bytes")
            }
            Self::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "there is no such manifest here"),
            Self::NameInvalid => {
                (StatusCode::BAD_REQUEST, "NAME_INVALID", "this is not a repository name, tag or namespace")
            }
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN", "there is no such repository"),
            Self::PageInvalid => {
                (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "n is the number of entries wanted")
            }
            Self::RangeInvalid => (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "the content has no such bytes"),
            Self::SizeInvalid => {
                (StatusCode::BAD_REQUEST, "SIZE_INVALID", "Content-Range and Content-Length do not fit each other")
            }
            Self::TagTaken => {
                (StatusCode::FORBIDDEN, "DENIED", "this tag stands for something else already, and stays")
            }
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "this is longer than a blob may be here"),
            Self::TooManyTags => {
                (StatusCode::URI_TOO_LONG, "NAME_INVALID", "these are more tags than one request can set")
            }
            Self::TooManyUploads => {
                (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many uploads are open: try again later")
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", "the content came too slowly"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", "nothing can be pushed now: see the log of the server")
            }
            Self::Withheld => {
                (StatusCode::FORBIDDEN, "DENIED", "a rule of the site asks for what has not come yet (UNSIGNED)")
            }
            Self::UnknownUpload => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload here"),
            Self::Unsupported => (
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "this registry is read-only here: content comes by `sealock import`",
            ),
            Self::UploadCut => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "the content ended too early"),
            Self::UploadOffset => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", "the upload goes on at another byte")
            }
        }
    }

    /// Whether it is the machine that fails, and not the client.
    pub(crate) fn is_ours(self) -> bool {
        self.parts().0.is_server_error()
    }

    /// The response, for whoever stops here; `detail` says what it is about.
    pub(crate) fn refuse(self, detail: &str) -> Refusal {
        Box::new(self.respond(detail))
    }

    /// The response; `detail` says what it is about.
    pub(crate) fn respond(self, detail: &str) -> Response<Body> {
        let (status, code, message) = self.parts();
        let error = json!({"errors": [{"code": code, "message": message, "detail": detail}]});
        let mut response = of_json(status, &error);
        if self == Self::Unsupported {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if self == Self::TooManyUploads {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// No content, only a status.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
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
