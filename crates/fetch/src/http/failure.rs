//! Tells apart why a request failed, from the chain of errors below it.

use std::error::Error;
use std::io;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use std::time::Duration;

use super::names::NameError;
use crate::upstream::Failure;

/// Why no answer came.
pub(super) fn of_request(error: &reqwest::Error) -> Failure {
    if caused_by(error, &|link| link.is::<NameError>()) {
        Failure::NameNotFound
    } else if caused_by(error, &|link| link.is::<InsecureRedirect>()) {
        Failure::InsecureRedirect
    } else if caused_by(error, &|link| link.is::<rustls::Error>()) {
        Failure::Tls
    } else if error.is_builder() {
        Failure::Malformed("only https:// and http:// addresses can be asked".to_owned())
    } else if error.is_connect() {
        Failure::Unreachable
    } else if error.is_redirect() {
        Failure::Malformed("it redirects in circles".to_owned())
    } else {
        Failure::Broken
    }
}

/// What a status that is not a success says.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> Failure {
    match status {
        StatusCode::UNAUTHORIZED => Failure::NoCredentials,
        StatusCode::FORBIDDEN => Failure::Forbidden,
        StatusCode::NOT_FOUND | StatusCode::GONE => Failure::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Failure::RateLimited { retry_after: retry_after(headers) },
        status if status.is_server_error() => Failure::ServerError { status, retry_after: retry_after(headers) },
        status => Failure::UnexpectedStatus(status),
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); its form as a date needs a clock that agrees and is not followed.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A redirect that would leave TLS.
#[derive(Debug, thiserror::Error)]
#[error("a redirect from https to http was not followed")]
pub(super) struct InsecureRedirect;

/// Walks the chain, also into what `io::Error` wraps: it leaves itself out of `source`.
fn caused_by(error: &(dyn Error + 'static), is: &dyn Fn(&(dyn Error + 'static)) -> bool) -> bool {
    if is(error) {
        return true;
    }
    if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
        && caused_by(inner, is)
    {
        return true;
    }
    error.source().is_some_and(|source| caused_by(source, is))
}
