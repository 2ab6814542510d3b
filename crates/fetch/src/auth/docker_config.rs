//! Docker's `config.json`, as `docker login` and its relatives write it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::{Credentials, helper};
use crate::error::FetchError;

/// What `docker login` uses for docker.io, for historical reasons.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The parts of the file that concern pulling.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
    #[serde(skip)]
    pub(super) helper_folders: Vec<PathBuf>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    pub(super) fn load(path: &Path) -> Result<Self, FetchError> {
        let bytes = fs::read(path).map_err(|source| FetchError::io("read the registry credentials", path, source))?;
        serde_json::from_slice(&bytes).map_err(|source| FetchError::DockerConfig { path: path.to_owned(), source })
    }

    /// The credentials for `host`; the error says which helper failed and why.
    pub(super) async fn credentials(&self, host: &str) -> Result<Option<Credentials>, String> {
        let names = names_of(host);
        for name in &names {
            if let Some(helper) = self.cred_helpers.get(name) {
                return helper::ask(&self.helper_folders, helper, name).await;
            }
        }
        if let Some(found) = self.entry(host).and_then(Entry::credentials) {
            return Ok(Some(found));
        }
        let Some(store) = &self.creds_store else { return Ok(None) };
        for name in &names {
            if let Some(found) = helper::ask(&self.helper_folders, store, name).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keys may be host names, or URLs of them.
    fn entry(&self, host: &str) -> Option<&Entry> {
        let names = names_of(host);
        names.iter().find_map(|name| self.auths.get(name)).or_else(|| {
            let bare =
                |key: &str| key.split_once("://").map_or(key, |(_, rest)| rest).split('/').next().map(str::to_owned);
            self.auths.iter().find(|(key, _)| bare(key).as_deref() == Some(host)).map(|(_, entry)| entry)
        })
    }
}

fn names_of(host: &str) -> Vec<String> {
    match host {
        "registry-1.docker.io" | "docker.io" | "index.docker.io" => {
            vec![
                DOCKER_HUB.to_owned(),
                "docker.io".to_owned(),
                "index.docker.io".to_owned(),
                "registry-1.docker.io".to_owned(),
            ]
        }
        host => vec![host.to_owned()],
    }
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Some(Credentials::IdentityToken(token.clone()));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Some(Credentials::Password { user: user.clone(), password: password.clone() });
        }
        let text = self.auth.as_ref()?.trim();
        let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Credentials::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(config: &str, host: &str) -> Option<String> {
        let config: DockerConfig = serde_json::from_str(config).unwrap();
        match config.entry(host).and_then(Entry::credentials)? {
            Credentials::Password { user, password } => Some(format!("{user}/{password}")),
            Credentials::IdentityToken(token) => Some(format!("token {token}")),
        }
    }

    #[test]
    fn entries_are_found_under_all_their_usual_names() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnMzY3JldA=="},
            "quay.io": {"username": "q", "password": "p:w"},
            "https://ghcr.io/v2/": {"auth": "Z2hjcjp4"},
            "acr.example": {"auth": "MDA6", "identitytoken": "refresh"},
            "empty.example": {}}, "HttpHeaders": {"X": "y"}}"#;
        assert_eq!(user(config, "registry-1.docker.io").as_deref(), Some("hub/s3cret"));
        assert_eq!(user(config, "quay.io").as_deref(), Some("q/p:w"));
        assert_eq!(user(config, "ghcr.io").as_deref(), Some("ghcr/x"));
        assert_eq!(user(config, "acr.example").as_deref(), Some("token refresh"));
        assert_eq!(user(config, "empty.example"), None);
        assert_eq!(user(config, "other.example"), None);
    }
}
