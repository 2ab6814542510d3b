//! Pushing: what scoped principals bring, change and take away (OCI distribution specification 1.1, "Push" and "Content Management").

mod delete;
mod manifest;
mod mount;
mod receive;
mod refuse;
mod upload;

use http::{Method, Response};
use hyper::body::Incoming;

use super::ask::Ask;
use super::body::Body;
use super::endpoint::Endpoint;
use super::respond::Problem;

pub(super) use upload::parse_range;
pub(crate) use upload::status;

/// Answers a request that is to change something.
pub(crate) async fn answer(ask: &Ask<'_>, endpoint: Endpoint<'_>, body: Incoming) -> Response<Body> {
    let method = &ask.head.method;
    let answered = match (method, endpoint) {
        (&Method::POST, Endpoint::Uploads) => upload::begin(ask, body).await,
        (&Method::PATCH, Endpoint::Upload(id)) => upload::patch(ask, id, body).await,
        (&Method::PUT, Endpoint::Upload(id)) => upload::put(ask, id, body).await,
        (&Method::DELETE, Endpoint::Upload(id)) => upload::cancel(ask, id).await,
        (&Method::PUT, Endpoint::Manifest(reference)) => manifest::put(ask, reference, body).await,
        (&Method::DELETE, Endpoint::Manifest(reference)) => delete::manifest(ask, reference).await,
        (&Method::DELETE, Endpoint::Blob(digest)) => delete::blob(ask, digest).await,
        _ => Err(Problem::Unsupported.refuse(method.as_str())),
    };
    answered.unwrap_or_else(|refusal| *refusal)
}
