//! Credentials as users have them, and the token flow of registries.

mod challenge;
mod docker_config;
mod helper;
mod token;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use url::Url;

use crate::error::FetchError;
use crate::http::Request;
use crate::settings::Settings;
use crate::upstream::{Failure, UpstreamError};
use challenge::Challenge;
use docker_config::DockerConfig;

/// The right that a request needs (`repository:<path>:pull`); none for plain files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(Option<String>);

impl Scope {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn pull(repository: &str) -> Self {
        Self(Some(format!("repository:{repository}:pull")))
    }
}

/// What to prove oneself with.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// A name and a password.
    Password { user: String, password: String },
    /// A refresh token (OAuth 2), which only a token service takes.
    IdentityToken(String),
}

/// An `Authorization` header that answers a challenge.
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    /// Made from credentials, and not an anonymous token.
    pub(crate) personal: bool,
}

/// Knows credentials, asks for tokens and remembers them.
pub(crate) struct Authority {
    client: reqwest::Client,
    config: DockerConfig,
    stall: Duration,
    known: Mutex<HashMap<(String, Option<String>), HeaderValue>>,
}

impl Authority {
    pub(crate) fn new(client: reqwest::Client, settings: &Settings) -> Result<Self, FetchError> {
        let mut config = settings.docker_config.as_deref().map(DockerConfig::load).transpose()?.unwrap_or_default();
        config.helper_folders.clone_from(&settings.helper_folders);
        Ok(Self { client, config, stall: settings.patience.stall, known: Mutex::default() })
    }

    /// What was accepted for such a request before.
    pub(crate) fn known(&self, request: &Request) -> Option<HeaderValue> {
        self.remembered().get(&key(request)).cloned()
    }

    /// What was remembered is no longer accepted.
    pub(crate) fn forget(&self, request: &Request) {
        self.remembered().remove(&key(request));
    }

    /// Answers the challenge of a 401, as well as possible.
    pub(crate) async fn answer(
        &self,
        request: &Request,
        headers: &HeaderMap,
    ) -> Result<Option<Authorization>, UpstreamError> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = challenges.flat_map(challenge::parse).find(Challenge::is_known) else {
            return Ok(None);
        };
        let credentials = self.credentials(request).await?;
        let personal = credentials.is_some();
        let header = match (challenge, credentials) {
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                let ask = token::Ask {
                    realm: realm_url(request, &realm)?,
                    service,
                    scope: scope.or_else(|| request.scope.0.clone()),
                };
                Some(self.token(request, ask, credentials).await?)
            }
            (Challenge::Basic, Some(Credentials::Password { user, password })) => Some(basic(&user, &password)),
            _ => None,
        };
        let Some(header) = header.and_then(|text| HeaderValue::from_str(&text).ok()) else { return Ok(None) };
        self.remembered().insert(key(request), header.clone());
        Ok(Some(Authorization { header, personal }))
    }

    /// A token service that keeps silent is given up like any other upstream.
    async fn token(
        &self,
        request: &Request,
        ask: token::Ask,
        credentials: Option<Credentials>,
    ) -> Result<String, UpstreamError> {
        let fetching = token::fetch(&self.client, request, ask, credentials);
        match tokio::time::timeout(self.stall, fetching).await {
            Ok(answer) => answer,
            Err(_) => Err(request.failed(Failure::Stalled { waited: self.stall, received: 0 })),
        }
    }

    /// The host that is asked decides: a mirror has credentials of its own.
    async fn credentials(&self, request: &Request) -> Result<Option<Credentials>, UpstreamError> {
        let host = crate::http::authority(&request.located.url);
        let found = self.config.credentials(&host).await;
        found.map_err(|reason| request.failed(Failure::CredentialHelper(reason)))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Option<String>), HeaderValue>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn key(request: &Request) -> (String, Option<String>) {
    (crate::http::authority(&request.located.url), request.scope.0.clone())
}

/// A token service in plain text would see the password, so it must be reached as the registry is.
fn realm_url(request: &Request, realm: &str) -> Result<Url, UpstreamError> {
    let url = Url::parse(realm)
        .map_err(|_| request.failed(Failure::Malformed(format!("its token service {realm:?} is no URL"))))?;
    if url.scheme() == "https" || request.located.url.scheme() == "http" {
        return Ok(url);
    }
    Err(request.failed(Failure::Malformed(format!("its token service {realm:?} is not on https"))))
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
