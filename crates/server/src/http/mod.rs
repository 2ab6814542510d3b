//! The registry's side of HTTP: from a request to a response (OCI distribution specification 1.1).
//!
//! Routed by hand, since repository names have slashes in them. Nothing is ever content-encoded: clients hash what they get.

mod ask;
mod body;
mod content;
mod endpoint;
pub mod line;
mod lists;
mod pull;
mod push;
mod query;
mod range;
mod respond;

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;

use ask::Ask;
pub(crate) use body::Body;
use endpoint::Endpoint;
use query::Query;
use respond::{OCI_NAMESPACE, Problem};
pub(crate) use respond::{empty, of_json};

use crate::access::{Action, Principal};
use crate::state::State;
use crate::view::View;

/// Answers one request. The body of one that only reads is never looked at.
pub(crate) async fn answer(state: &Arc<State>, request: Request<Incoming>, principal: &Principal) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = route(state, (&head, principal), body).await;
    if head.method == Method::HEAD {
        // Headers, `Content-Length` among them, are those of GET (RFC 9110, section 9.3.2).
        *response.body_mut() = Body::Empty;
    }
    response
}

async fn route(state: &Arc<State>, (head, principal): (&request::Parts, &Principal), body: Incoming) -> Response<Body> {
    let view = state.view();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    match head.uri.path() {
        path if !reads && path.starts_with("/v2") && !state.access().takes_pushes() => {
            Problem::Unsupported.respond(head.method.as_str())
        }
        path if path.starts_with("/v2/") || path == "/v2" => registry(state, &view, (head, principal), body).await,
        _ if !reads => empty(StatusCode::METHOD_NOT_ALLOWED),
        "/healthz" => health(state, &view),
        "/readyz" => readiness(state),
        _ => empty(StatusCode::NOT_FOUND),
    }
}

/// Everything under `/v2`.
async fn registry(
    state: &Arc<State>,
    view: &View,
    (head, principal): (&request::Parts, &Principal),
    body: Incoming,
) -> Response<Body> {
    let path = head.uri.path().strip_prefix("/v2").unwrap_or_default().trim_start_matches('/');
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let snapshot = state.snapshot();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let ask = Ask { state, view, snapshot: &snapshot, head, principal, name: "", vouched: None, query: &query };
    let demanded = match path {
        "" => state.access().demand_at_the_door(principal),
        "_catalog" => state.access().demand_catalog(principal),
        _ => Ok(()),
    };
    if let Err(challenge) = demanded {
        return challenge.respond();
    }
    match path {
        "" | "_catalog" if !reads => Problem::Unsupported.respond(head.method.as_str()),
        "" => version(),
        "_catalog" => lists::catalog(&ask),
        path => repository(ask, path, body).await,
    }
}

/// Everything under `/v2/<name>/`.
async fn repository(ask: Ask<'_>, path: &str, body: Incoming) -> Response<Body> {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return Problem::NameInvalid.respond("") };
    let Some((name, endpoint)) = Endpoint::parse(&path) else { return Problem::NameInvalid.respond(&path) };
    let ns = ask.query.ns.as_deref();
    let Some(name) = ask.state.repository_name(name, ns) else {
        return Problem::NameInvalid.respond(ns.unwrap_or(name));
    };
    let ask = Ask { name: &name, ..ask };
    let mut response = match ask.demand(Action::Pull) {
        Ok(()) => {
            let vouched = ask.find_vouched().await;
            endpoint_answer(&Ask { vouched: vouched.as_deref(), ..ask }, endpoint, body).await
        }
        Err(refusal) => *refusal,
    };
    if let Some(Ok(ns)) = ns.map(HeaderValue::from_str) {
        response.headers_mut().insert(OCI_NAMESPACE, ns);
    }
    response
}

async fn endpoint_answer(ask: &Ask<'_>, endpoint: Endpoint<'_>, body: Incoming) -> Response<Body> {
    if !matches!(ask.head.method, Method::GET | Method::HEAD) {
        return Box::pin(push::answer(ask, endpoint, body)).await;
    }
    match endpoint {
        Endpoint::Manifest(reference) => pull::manifest(ask, reference),
        Endpoint::Blob(digest) => pull::blob(ask, digest).await,
        Endpoint::Tags => lists::tags(ask),
        Endpoint::Referrers(digest) => lists::referrers(ask, digest),
        Endpoint::Upload(id) => push::status(ask, id).await,
        Endpoint::Uploads => Problem::Unsupported.respond(ask.head.method.as_str()),
    }
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
    let problem = |reference: &str, problem: &str| json!({"reference": reference, "problem": problem});
    let pushed = state.snapshot();
    let released = view.problems.iter().map(|(name, error)| problem(name, &error.to_string()));
    // Whoever asks need not be one who may know what was pushed, and where it stands: `store check` says more.
    let lost =
        (pushed.lost().count() > 0).then(|| problem("pushed", "some manifests are not in the store as they were"));
    let problems: Vec<_> = released.chain(lost).collect();
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
