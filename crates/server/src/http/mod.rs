//! The registry's side of HTTP: from a request to a response (OCI distribution specification 1.1, read-only).
//!
//! Routed by hand, since repository names have slashes in them. Nothing is ever content-encoded: clients hash what they get.

mod body;
mod content;
mod lists;
mod query;
mod range;
mod respond;

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use sealock_trust::Digest;
use serde_json::json;

pub(crate) use body::Body;
use query::Query;
use respond::{OCI_NAMESPACE, Problem, of_json};

use crate::revoked::Affected;
use crate::state::State;
use crate::view::{Repository, View, name};

/// Answers one request. Its body is never read.
pub(crate) async fn answer<B>(state: &State, request: &Request<B>) -> Response<Body> {
    let method = request.method();
    let mut response = route(state, request).await;
    if method == Method::HEAD {
        // Headers, `Content-Length` among them, are those of GET (RFC 9110, section 9.3.2).
        *response.body_mut() = Body::Empty;
    }
    response
}

async fn route<B>(state: &State, request: &Request<B>) -> Response<Body> {
    let view = state.view();
    let method = request.method();
    let reads = method == Method::GET || method == Method::HEAD;
    match request.uri().path() {
        path if !reads && path.starts_with("/v2") => Problem::Unsupported.respond(method.as_str()),
        _ if !reads => empty(StatusCode::METHOD_NOT_ALLOWED),
        "/healthz" => health(state, &view),
        "/readyz" => readiness(state),
        "/v2" | "/v2/" => version(),
        path => match path.strip_prefix("/v2/") {
            Some(path) => registry(state, &view, request, path).await,
            None => empty(StatusCode::NOT_FOUND),
        },
    }
}

/// Everything under `/v2/<name>/`.
async fn registry<B>(state: &State, view: &View, request: &Request<B>, path: &str) -> Response<Body> {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return Problem::NameInvalid.respond("") };
    let Some((name, endpoint)) = Endpoint::parse(&path) else { return Problem::NameInvalid.respond(&path) };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let Some(repository) = state.repository_name(name, query.ns.as_deref()) else {
        return Problem::NameInvalid.respond(query.ns.as_deref().unwrap_or(name));
    };
    let mut response = endpoint.answer(state, view, request, (&repository, &query)).await;
    if let Some(Ok(ns)) = query.ns.map(|ns| HeaderValue::from_str(&ns)) {
        response.headers_mut().insert(OCI_NAMESPACE, ns);
    }
    response
}

/// What is asked of a repository.
#[derive(Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Manifest(&'a str),
    Blob(&'a str),
    Tags,
    Referrers(&'a str),
}

impl<'a> Endpoint<'a> {
    /// Splits `<name>/manifests/<reference>` and its like. The name may hold such words too, so the last ones count.
    fn parse(path: &'a str) -> Option<(&'a str, Self)> {
        let (rest, last) = path.rsplit_once('/')?;
        let (name, kind) = rest.rsplit_once('/')?;
        let endpoint = match (kind, last) {
            ("manifests", reference) => Self::Manifest(reference),
            ("blobs", digest) => Self::Blob(digest),
            ("tags", "list") => Self::Tags,
            ("referrers", digest) => Self::Referrers(digest),
            _ => return None,
        };
        Some((name, endpoint))
    }

    async fn answer<B>(
        self,
        state: &State,
        view: &View,
        request: &Request<B>,
        (name, query): (&str, &Query),
    ) -> Response<Body> {
        let repository = view.repository(name);
        match self {
            Self::Manifest(reference) => manifest(view, request, name, reference),
            Self::Blob(digest) => blob(state, view, request, (name, digest)).await,
            Self::Tags => match repository {
                Some(repository) => lists::tags(name, repository, query),
                None => Problem::NameUnknown.respond(name),
            },
            Self::Referrers(digest) => match digest.parse::<Digest>() {
                Ok(digest) => lists::referrers(repository, &digest, query),
                Err(_) => Problem::DigestInvalid.respond(digest),
            },
        }
    }
}

fn manifest<B>(view: &View, request: &Request<B>, name: &str, reference: &str) -> Response<Body> {
    if reference.contains(':') && reference.parse::<Digest>().is_err() {
        return Problem::DigestInvalid.respond(reference);
    }
    if !reference.contains(':') && !name::is_tag(reference) {
        return Problem::NameInvalid.respond(reference);
    }
    let Some(repository) = view.repository(name) else { return Problem::NameUnknown.respond(name) };
    match repository.manifest(reference) {
        Some(manifest) => content::of_manifest(request.method(), request.headers(), manifest),
        None => denied(repository, name, reference)
            .unwrap_or_else(|| Problem::ManifestUnknown.respond(&format!("{name}, {reference}"))),
    }
}

async fn blob<B>(state: &State, view: &View, request: &Request<B>, (name, digest): (&str, &str)) -> Response<Body> {
    let Ok(digest) = digest.parse::<Digest>() else { return Problem::DigestInvalid.respond(digest) };
    let Some(repository) = view.repository(name) else { return Problem::NameUnknown.respond(name) };
    // Some clients fetch manifests by the route of blobs.
    if let Some(manifest) = repository.manifest_by_digest(&digest) {
        return content::of_manifest(request.method(), request.headers(), manifest);
    }
    match repository.blob(&digest) {
        Some(length) => content::of_blob(request.method(), request.headers(), state.store(), (&digest, length)).await,
        None => denied(repository, name, &digest.to_string())
            .unwrap_or_else(|| Problem::BlobUnknown.respond(&format!("{name}, {digest}"))),
    }
}

/// 403 with what was revoked and why, so that whoever pulls knows that it is no fault of the network.
fn denied(repository: &Repository, name: &str, reference: &str) -> Option<Response<Body>> {
    let Affected { digest, reason, .. } = repository.blocked(reference)?;
    Some(Problem::Denied.respond(&format!("{name}, {reference}: {digest} is revoked: {reason}")))
}

/// `GET /v2/` (OCI distribution specification 1.1, "Determining Support").
fn version() -> Response<Body> {
    let mut response = of_json(StatusCode::OK, &json!({}));
    // Old Docker clients look for it.
    response.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

/// `GET /healthz`: 200 while requests are answered; what cannot be served, and what will soon be amiss, is listed.
fn health(state: &State, view: &Arc<View>) -> Response<Body> {
    let problems: Vec<_> =
        view.problems.iter().map(|(name, error)| json!({"reference": name, "problem": error.to_string()})).collect();
    let condition = state.condition();
    let fault = condition.fault();
    let is_well = problems.is_empty() && fault.is_none() && !condition.is_low();
    of_json(
        StatusCode::OK,
        &json!({
            "status": if is_well { "ok" } else { "degraded" },
            "release": view.release,
            "problems": problems,
            "revoked": view.affected,
            "fault": fault.as_deref(),
            "free-bytes": condition.free(),
            "disk-is-low": condition.is_low(),
        }),
    )
}

/// `GET /readyz`: 503 where what is served may be older than what was published, since that could not be read.
fn readiness(state: &State) -> Response<Body> {
    match state.condition().fault() {
        None => of_json(StatusCode::OK, &json!({"status": "ready"})),
        Some(fault) => {
            of_json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not ready", "fault": fault.as_str()}))
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_words_of_a_path_are_its_endpoint() {
        assert_eq!(Endpoint::parse("a/b/manifests/c"), Some(("a/b", Endpoint::Manifest("c"))));
        assert_eq!(
            Endpoint::parse("manifests/p/app.yaml/manifests/3"),
            Some(("manifests/p/app.yaml", Endpoint::Manifest("3")))
        );
        assert_eq!(Endpoint::parse("a/tags/list"), Some(("a", Endpoint::Tags)));
        assert_eq!(Endpoint::parse("a/tags/other"), None);
        assert_eq!(Endpoint::parse("manifests/c"), None);
        assert_eq!(Endpoint::parse(""), None);
    }

    proptest! {
        #[test]
        fn no_path_brings_the_router_down(path in ".{0,200}", query in ".{0,100}") {
            let _ = Endpoint::parse(&path);
            let _ = Query::parse(&query);
        }
    }
}
