//! Before the routes: who sends a request is found out, and tokens are given out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use ::http::request::Parts;
use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::identity::Identity;
use super::token::{self, LONGEST_BODY};
use super::{Challenge, Principal};
use crate::audit::{self, Seen};
use crate::http::{self, Body, empty};
use crate::observe::Who;
use crate::state::State;

/// Where tokens are to be had.
const TOKEN: &str = "/token";

/// For a form to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the server is well.
const HEALTH: &str = "/healthz";

/// Whether it serves what was published.
const READINESS: &str = "/readyz";

/// The content of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The body of a response, with the count of the request that it answers: a request is under way until its last byte is sent.
#[derive(Debug)]
pub(crate) struct Counted {
    body: Body,
    _principal: Option<Principal>,
}

/// Answers one request.
pub(crate) async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Response<Counted> {
    let access = state.access();
    let (head, body) = request.into_parts();
    let principal = match head.uri.path() {
        TOKEN => return token(state, &head, body).await,
        // Whoever watches the registry is not to be turned away where it has much to do.
        HEALTH | READINESS => access.anybody(),
        _ => match access.judge(&head).await {
            Ok(principal) => principal,
            Err(challenge) => {
                tracing::info!(why = challenge.word(), detail = challenge.detail(), "a request was refused");
                audit::refused(state, None, &Seen::of(&head), (challenge.word(), challenge.detail()));
                return counted(challenge.respond(), None);
            }
        },
    };
    tracing::debug!(who = principal.name(), method = %head.method, path = head.uri.path(), "asked");
    let asked = Seen::of(&head);
    let is_at_the_door = matches!(head.uri.path(), "/v2" | "/v2/");
    let mut response = http::answer(state, Request::from_parts(head, body), &principal).await;
    if response.status() == StatusCode::FORBIDDEN {
        let who = Some(principal.name()).filter(|_| !principal.is_anonymous());
        audit::refused(state, who, &asked, ("forbidden", ""));
    }
    // Clients knock there once when somebody logs in; each later request with the same proof is no login.
    if is_at_the_door && response.status() == StatusCode::OK && principal.has_own_proof() {
        audit::login(state, principal.name(), &asked).await;
    }
    response.extensions_mut().insert(Who(principal.name().into()));
    counted(response, Some(principal))
}

/// Answers a request for a token.
async fn token<B>(state: &Arc<State>, head: &Parts, body: B) -> Response<Counted>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_form = head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(FORM.as_bytes()));
    let body = match head.method {
        Method::GET => Bytes::new(),
        Method::POST if is_form => match timeout(PATIENCE, Limited::new(body, LONGEST_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => return counted(Challenge::of_request("the form is too long, or took too long").respond(), None),
        },
        Method::POST => return counted(Challenge::of_request("this is no form").respond(), None),
        _ => return counted(empty(StatusCode::METHOD_NOT_ALLOWED), None),
    };
    let answer = token::answer(state.access(), head, &body).await;
    match &answer.outcome {
        Ok(who) => {
            tracing::debug!(%who, "a token was given out");
            if **who != *Identity::Anonymous.to_string() {
                audit::login(state, who, &Seen::of(head)).await;
            }
        }
        Err(refusal) => {
            tracing::info!(why = refusal.word(), detail = refusal.detail(), "no token was given out");
            audit::refused(state, None, &Seen::of(head), (refusal.word(), refusal.detail()));
        }
    }
    counted(answer.response, None)
}

/// A response that counts as one of the principal's until it is sent.
fn counted(response: Response<Body>, principal: Option<Principal>) -> Response<Counted> {
    response.map(|body| Counted { body, _principal: principal })
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
