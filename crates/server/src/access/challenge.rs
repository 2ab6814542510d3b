//! What somebody is told who may not: 401 with what to do about it, 403, or 429 (OCI distribution specification 1.1, "Error
//! Codes"; distribution project, "Token Authentication Specification"; RFC 6750, section 3).

use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::action::Action;
use super::document::ChallengeKind;
use super::jwt::TokenError;
use super::login::LoginError;
use super::policy::Policy;
use super::scope;
use super::who::Who;
use crate::http::{Body, of_json};

/// The answer to a request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    status: StatusCode,
    message: &'static str,
    detail: String,
    /// The value of `WWW-Authenticate`.
    authenticate: Option<String>,
    retry_after: Option<Duration>,
    /// One word for logs.
    word: &'static str,
}

const WHO: &str = "say who you are";

impl Challenge {
    /// For somebody who is not who they say.
    pub(super) fn of_login(policy: &Policy, host: Option<&HeaderValue>, error: &LoginError) -> Self {
        if let LoginError::Busy { retry_after } = error {
            return Self { detail: error.to_string(), ..Self::too_much("", *retry_after) };
        }
        let invalid = match error {
            LoginError::Token(TokenError::Malformed(_) | TokenError::TooLong) | LoginError::Credentials(_) => {
                "invalid_request"
            }
            _ => "invalid_token",
        };
        Self {
            word: error.word(),
            ..Self::unauthorized(error.to_string(), authenticate(policy, host, None, Some(invalid)))
        }
    }

    /// For somebody who has not said who they are, at `/v2/`.
    pub(super) fn at_the_door(policy: &Policy, host: Option<&HeaderValue>) -> Self {
        Self::unauthorized(WHO.to_owned(), authenticate(policy, host, None, None))
    }

    /// For somebody who may not do `action`.
    pub(super) fn of_denial(
        policy: &Policy,
        who: &Who,
        host: Option<&HeaderValue>,
        (repository, action): (&str, Action),
    ) -> Self {
        let what = match action {
            Action::Catalog => "list repositories".to_owned(),
            _ => format!("{action} at {repository}"),
        };
        let detail = format!("{} may not {what}", who.name);
        let scope = scope::needed(repository, action);
        let lacks_scope = who.scopes.is_some() && may_at_all(policy, who, repository, action);
        if who.is_anonymous() && policy.has_logins() || lacks_scope {
            let error = who.scopes.is_some().then_some("insufficient_scope");
            return Self::unauthorized(detail, authenticate(policy, host, Some(&scope), error));
        }
        Self { detail, ..Self::denied() }
    }

    /// For somebody who asks for too much at once.
    pub(super) fn too_much(who: &str, retry_after: Duration) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: "too many requests at once",
            detail: format!("{who} asks for more than the site's limits"),
            authenticate: None,
            retry_after: Some(retry_after),
            word: "limit",
        }
    }

    /// For a request for a token that is none.
    pub(super) fn of_request(detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: "this is no request for a token",
            detail: detail.into(),
            word: "malformed",
            ..Self::denied()
        }
    }

    /// The same, asking for name and password: what the token endpoint takes.
    pub(super) fn asking_for_a_password(self, policy: &Policy) -> Self {
        match self.status {
            StatusCode::UNAUTHORIZED => Self { authenticate: Some(basic(policy)), ..self },
            _ => self,
        }
    }

    fn unauthorized(detail: String, authenticate: String) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            message: "authentication is required",
            detail,
            authenticate: Some(authenticate),
            retry_after: None,
            word: "unauthorized",
        }
    }

    fn denied() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            message: "the site's access policy does not allow this",
            detail: String::new(),
            authenticate: None,
            retry_after: None,
            word: "denied",
        }
    }

    /// One word for logs and metrics, of few: `unauthorized`, `denied`, `limit`, `password`, `expired`, `token`, `malformed`, `busy`.
    pub(crate) fn word(&self) -> &'static str {
        self.word
    }

    /// Who was refused what, and why, for the operation log.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn respond(&self) -> Response<Body> {
        let code = match self.status {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            StatusCode::FORBIDDEN => "DENIED",
            _ => "UNSUPPORTED",
        };
        let error = json!({"errors": [{"code": code, "message": self.message, "detail": self.detail}]});
        let mut response = of_json(self.status, &error);
        // Docker's client looks for it before it logs in.
        response.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        if let Some(Ok(value)) = self.authenticate.as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never none: that would be no pause at all.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        response
    }
}

fn may_at_all(policy: &Policy, who: &Who, repository: &str, action: Action) -> bool {
    match action {
        Action::Catalog => policy.may_list(who),
        _ => policy.may_at_all(who, repository, action),
    }
}

fn authenticate(policy: &Policy, host: Option<&HeaderValue>, scope: Option<&str>, error: Option<&str>) -> String {
    if policy.login.challenge == ChallengeKind::Basic {
        return basic(policy);
    }
    let realm = policy.login.realm.clone().unwrap_or_else(|| format!("https://{}/token", called(policy, host)));
    let scope = scope.map_or_else(String::new, |scope| format!(r#",scope="{scope}""#));
    let error = error.map_or_else(String::new, |error| format!(r#",error="{error}""#));
    format!(r#"Bearer realm="{realm}",service="{}"{scope}{error}"#, policy.service)
}

fn basic(policy: &Policy) -> String {
    format!(r#"Basic realm="{}",charset="UTF-8""#, policy.service)
}

/// What the client calls us: under that name it will find the tokens too.
fn called<'a>(policy: &'a Policy, host: Option<&'a HeaderValue>) -> &'a str {
    let host = host.and_then(|value| value.to_str().ok());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    host.filter(|host| (1..=262).contains(&host.len()) && host.bytes().all(legal)).unwrap_or(&policy.service)
}
