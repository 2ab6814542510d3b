//! Tokens from a token service (distribution project, "Token Authentication" and "OAuth2 Token Authentication").

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::{Credentials, basic};
use crate::http::Request;
use crate::upstream::{Failure, UpstreamError};

/// No token is longer.
const LIMIT: usize = 256 * 1024;

/// What to ask a token service for.
pub(super) struct Ask {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The value of the `Authorization` header.
pub(super) async fn fetch(
    client: &reqwest::Client,
    request: &Request,
    ask: Ask,
    credentials: Option<Credentials>,
) -> Result<String, UpstreamError> {
    let place = crate::http::authority(&ask.realm);
    let at_service = Request { located: request.located.with_url(ask.realm.clone()), ..request.clone() };
    let personal = credentials.is_some();
    let response = asked(client, ask, credentials).send().await.map_err(|error| at_service.not_sent(error))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            return Err(request.failed(if personal { Failure::CredentialsRefused } else { Failure::NoCredentials }));
        }
        status => return Err(at_service.refused(status, response.headers())),
    }
    let malformed = || request.failed(Failure::Malformed(format!("the token service {place} gave no token")));
    let answer: Answer =
        serde_json::from_slice(&bounded(response).await.ok_or_else(malformed)?).map_err(|_| malformed())?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(malformed)?;
    Ok(format!("Bearer {token}"))
}

fn asked(client: &reqwest::Client, ask: Ask, credentials: Option<Credentials>) -> reqwest::RequestBuilder {
    let Ask { mut realm, service, scope } = ask;
    let mut fields: Vec<(&str, String)> = Vec::new();
    fields.extend(service.map(|service| ("service", service)));
    fields.extend(scope.map(|scope| ("scope", scope)));
    if let Some(Credentials::IdentityToken(token)) = credentials {
        fields.push(("grant_type", "refresh_token".to_owned()));
        fields.push(("client_id", "sealock".to_owned()));
        fields.push(("refresh_token", token));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        return client.post(realm).header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
    }
    realm.query_pairs_mut().extend_pairs(fields);
    let builder = client.get(realm);
    match credentials {
        Some(Credentials::Password { user, password }) => {
            builder.header(http::header::AUTHORIZATION, basic(&user, &password))
        }
        _ => builder,
    }
}

async fn bounded(mut response: reqwest::Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if bytes.len() + piece.len() > LIMIT {
            return None;
        }
        bytes.extend_from_slice(&piece);
    }
    Some(bytes)
}
