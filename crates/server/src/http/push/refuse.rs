//! What a pusher is told when something does not work.

use http::header::{LOCATION, RANGE};
use sealock_store::StoreError;
use sealock_store::pushed::PushError;

use super::super::content::insert_text;
use super::super::respond::{Problem, Refusal};
use crate::rules;

/// The response to a push that failed, or was refused.
pub(crate) fn of(error: &PushError) -> Refusal {
    let problem = problem(error);
    if problem.is_ours() {
        // Where the store stands on the disk is nobody else's business.
        tracing::error!(%error, source = ?std::error::Error::source(error).map(ToString::to_string), "a push failed");
        return problem.refuse("");
    }
    problem.refuse(&error.to_string())
}

/// The response to a push that a rule of the site does not let in.
pub(crate) fn of_rule(refusal: &rules::Refusal) -> Refusal {
    let problem = match refusal {
        rules::Refusal::Tag { .. } => Problem::TagTaken,
        rules::Refusal::Manifest(_) => Problem::ManifestInvalid,
        rules::Refusal::NoRule(_)
        | rules::Refusal::TwoRules(_)
        | rules::Refusal::MediaType { .. }
        | rules::Refusal::Quota { .. } => Problem::Rule,
    };
    tracing::info!(why = refusal.word(), %refusal, "a push was refused");
    problem.refuse(&refusal.to_string())
}

/// The same, about the upload at `location`: who sent bytes out of order is told where it goes on.
pub(crate) fn of_upload(error: &PushError, location: &str) -> Refusal {
    let mut response = of(error);
    if let PushError::OutOfOrder { offset } = error {
        insert_text(response.headers_mut(), LOCATION, location);
        insert_text(response.headers_mut(), RANGE, &range_so_far(*offset));
    }
    response
}

/// The first `offset` bytes, as the specification writes them: the last one counts, so that nothing looks like one byte.
pub(crate) fn range_so_far(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn problem(error: &PushError) -> Problem {
    match error {
        PushError::Store(StoreError::WrongDigest { .. }) => Problem::DigestMismatch,
        PushError::Store(StoreError::DiskFull { .. }) => Problem::DiskFull,
        PushError::UnknownUpload { .. } => Problem::UnknownUpload,
        PushError::Busy => Problem::Busy,
        PushError::OutOfOrder { .. } => Problem::UploadOffset,
        PushError::TooManyUploads { .. } => Problem::TooManyUploads,
        PushError::TooLong { .. } => Problem::TooLong,
        PushError::UnknownBlob { .. } => Problem::BlobUnknown,
        PushError::UnknownManifest { .. } | PushError::UnknownTag { .. } => Problem::ManifestUnknown,
        PushError::MissingChild { .. } => Problem::ManifestBlobUnknown,
        PushError::ChildSize { .. } => Problem::ManifestSize,
        PushError::TagTaken { .. } => Problem::TagTaken,
        PushError::InUse { .. } => Problem::InUse,
        PushError::RecordTooLong => Problem::ManifestInvalid,
        PushError::Broken => Problem::Unavailable,
        _ => Problem::Internal,
    }
}
