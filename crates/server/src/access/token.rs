//! `/token`: short-lived tokens for those who say who they are (distribution project, "Token Authentication Specification" and
//! "OAuth2 Token Authentication").

use std::borrow::Cow;
use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::credentials::Credentials;
use super::policy::Policy;
use super::scope::Scopes;
use super::who::Who;
use super::{Access, Challenge, Peer};
use crate::http::{Body, of_json};

/// Longest body of a request for a token, in bytes.
pub(crate) const LONGEST_BODY: usize = 64 * 1024;

/// Parameters of one request at most.
const MOST_PARAMETERS: usize = 128;

/// What asking for a token came to, for the operation log.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    /// Who got a token, or why nobody did.
    pub(crate) outcome: Result<Box<str>, Challenge>,
}

/// What is asked for, and by whom.
#[derive(Debug, Default)]
pub struct Request {
    service: Option<String>,
    scopes: Vec<String>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Request {
    /// Reads a query, or a form (`application/x-www-form-urlencoded`). Unknown parameters are passed over.
    ///
    /// # Errors
    /// Where a parameter stands twice that may not, or there are more than anybody needs.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let mut request = Self::default();
        for (count, (name, value)) in form_urlencoded::parse(text).enumerate() {
            if count >= MOST_PARAMETERS {
                return Err("there are too many parameters");
            }
            request.add(&name, value)?;
        }
        Ok(request)
    }

    fn add(&mut self, name: &str, value: Cow<'_, str>) -> Result<(), &'static str> {
        let place = match name {
            "scope" => {
                self.scopes.push(value.into_owned());
                return Ok(());
            }
            "service" => &mut self.service,
            "grant_type" => &mut self.grant_type,
            "username" => &mut self.username,
            "password" => &mut self.password,
            _ => return Ok(()),
        };
        match place.replace(value.into_owned()) {
            None => Ok(()),
            Some(_) => Err("a parameter stands twice"),
        }
    }
}

/// Answers `GET /token`, and `POST /token` with its `body`.
pub(crate) async fn answer(access: &Access, head: &Parts, body: &[u8]) -> Answer {
    answer_at(access, head, body, access.clock.now()).await
}

pub(super) async fn answer_at(access: &Access, head: &Parts, body: &[u8], now: Timestamp) -> Answer {
    match issue(access, head, body, now).await {
        Ok((response, who)) => Answer { response, outcome: Ok(who.name.clone()) },
        Err(refusal) => Answer { response: refusal.respond(), outcome: Err(refusal) },
    }
}

async fn issue(
    access: &Access,
    head: &Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<(Response<Body>, Arc<Who>), Challenge> {
    let policy = access.policy();
    let (request, credentials) = read(&policy, head, body)?;
    if request.service.as_ref().is_some_and(|service| **service != *policy.service) {
        return Err(Challenge::of_request(format!("tokens are made here for the service {:?}", policy.service)));
    }
    let asked = Scopes::parse(request.scopes.iter().map(String::as_str));
    let asked = asked.map_err(|error| Challenge::of_request(error.to_string()))?;
    let who = match credentials.as_ref().filter(|credentials| !credentials.is_empty()) {
        None => access.without_credentials(&policy, head),
        Some(credentials) => access
            .log_in(&policy, credentials, &Peer::of(head), now)
            .await
            .map_err(|error| Challenge::of_login(&policy, None, &error).asking_for_a_password(&policy))?,
    };
    if who.scopes.is_some() {
        return Err(Challenge::of_request("a token of this registry is no reason for another one"));
    }
    let _permit = access.admit(&policy, &who, &Peer::of(head))?;
    let granted = asked.intersect(|repository, action| policy.may(&who, repository, action), may_list(&policy, &who));
    let seconds = lifetime(&policy, &who, now);
    let token = access.key.sign(&policy.service, (&who.identity, &who.groups), &granted, (now, seconds));
    let token = token.map_err(|error| Challenge::of_request(error.to_string()))?;
    let answer = json!({
        "token": token, "access_token": token, "expires_in": seconds, "issued_at": now.to_string(), "scope": granted.to_string(),
    });
    let mut response = of_json(StatusCode::OK, &answer);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((response, who))
}

/// What is asked for, and with which credentials.
fn read(policy: &Policy, head: &Parts, body: &[u8]) -> Result<(Request, Option<Credentials>), Challenge> {
    let parse = |text: &[u8]| Request::parse(text).map_err(Challenge::of_request);
    if head.method != Method::POST {
        let request = parse(head.uri.query().unwrap_or_default().as_bytes())?;
        let credentials = Credentials::of_headers(&head.headers)
            .map_err(|error| Challenge::of_login(policy, None, &error.into()).asking_for_a_password(policy))?;
        return Ok((request, credentials));
    }
    let request = parse(body)?;
    match (request.grant_type.as_deref(), &request.username, &request.password) {
        (Some("password"), Some(name), Some(password)) => {
            let credentials = Credentials::of_pair(name, password);
            Ok((request, Some(credentials)))
        }
        (Some("password"), ..) => Err(Challenge::of_request("`grant_type=password` needs `username` and `password`")),
        _ => Err(Challenge::of_request("the only `grant_type` is `password`")),
    }
}

fn may_list(policy: &Policy, who: &Who) -> bool {
    policy.anonymous.catalog || policy.may_list(who)
}

/// A token holds no longer than what it was given for.
fn lifetime(policy: &Policy, who: &Who, now: Timestamp) -> u32 {
    let rest = who.expires.duration_since(now).as_secs().clamp(1, i64::from(u32::MAX));
    policy.login.token_seconds.min(u32::try_from(rest).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_and_forms_are_read() {
        let request =
            Request::parse(b"service=r&scope=repository%3Aa%3Apull+repository:b:push&scope=x:y:z&client_id=docker")
                .unwrap();
        assert_eq!(request.service.as_deref(), Some("r"));
        assert_eq!(request.scopes, ["repository:a:pull repository:b:push", "x:y:z"]);
        assert_eq!(Request::parse(b"service=a&service=b").unwrap_err(), "a parameter stands twice");
        assert!(Request::parse("scope=x&".repeat(200).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_parser_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = Request::parse(&bytes) {
                let _ = Scopes::parse(request.scopes.iter().map(String::as_str));
            }
        }
    }
}
