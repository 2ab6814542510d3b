//! What the kubelet asks before it pulls an image: with which name and password (API `credentialprovider.kubelet.k8s.io/v1`).
//!
//! The pod's own service account token is the password: the site registry verifies it by the cluster's keys on file. Nothing is
//! asked of anybody, so a node without a network answers the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of requests and answers that is spoken.
pub const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// Longest request that is read, in bytes.
pub const LONGEST: usize = 1 << 20;

/// The user as whom the registry takes tokens.
const USER: &str = "token";

/// For how long the kubelet may keep the answer: it asks again when it has another token.
const CACHED: &str = "5m0s";

/// The registry of a name without one, as the kubelet reads it.
const DEFAULT_HOST: &str = "docker.io";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Longer than any kubelet's.
    #[error("the request has more than {LONGEST} bytes")]
    TooLong,
    /// Not a request.
    #[error("this is no request for credentials")]
    Json(#[source] serde_json::Error),
    /// Another version or kind.
    #[error("this is a {kind:?} of {version:?}, and a CredentialProviderRequest of {API_VERSION} is answered")]
    Kind {
        /// Its `apiVersion`.
        version: String,
        /// Its `kind`.
        kind: String,
    },
}

impl CredentialError {
    /// Always: the same request is refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    api_version: String,
    kind: String,
    image: String,
    #[serde(default)]
    service_account_token: String,
}

/// What the kubelet gets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    api_version: &'static str,
    kind: &'static str,
    cache_key_type: &'static str,
    cache_duration: &'static str,
    auth: BTreeMap<String, Login>,
}

#[derive(Serialize)]
struct Login {
    username: &'static str,
    password: String,
}

/// Tokens stay out of logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The answer to a request; without credentials where the kubelet sent no token.
///
/// # Errors
/// [`CredentialError`].
pub fn answer(request: &[u8]) -> Result<Response, CredentialError> {
    if request.len() > LONGEST {
        return Err(CredentialError::TooLong);
    }
    let request: Request = serde_json::from_slice(request).map_err(CredentialError::Json)?;
    if request.api_version != API_VERSION || request.kind != "CredentialProviderRequest" {
        return Err(CredentialError::Kind { version: request.api_version, kind: request.kind });
    }
    let mut auth = BTreeMap::new();
    if !request.service_account_token.is_empty() {
        auth.insert(host(&request.image), Login { username: USER, password: request.service_account_token });
    }
    Ok(Response {
        api_version: API_VERSION,
        kind: "CredentialProviderResponse",
        cache_key_type: "Registry",
        cache_duration: CACHED,
        auth,
    })
}

/// The registry that an image's name begins with; Docker's rule.
fn host(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first.to_owned(),
        _ => DEFAULT_HOST.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(image: &str, token: &str) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "CredentialProviderRequest", "image": image,
            "serviceAccountToken": token, "serviceAccountAnnotations": {"a": "b"}})
    }

    fn answered(request: &Value) -> Value {
        serde_json::to_value(answer(request.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_pods_token_is_the_password() {
        insta::assert_json_snapshot!(answered(&request("registry.plant-7.internal:5000/team/app:1", "a.b.c")), @r#"
        {
          "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
          "auth": {
            "registry.plant-7.internal:5000": {
              "password": "a.b.c",
              "username": "token"
            }
          },
          "cacheDuration": "5m0s",
          "cacheKeyType": "Registry",
          "kind": "CredentialProviderResponse"
        }
        "#);
    }

    #[test]
    fn the_key_is_the_registry_of_the_image() {
        for (image, registry) in [
            ("nginx", "docker.io"),
            ("library/nginx:1", "docker.io"),
            ("quay.io/a/b@sha256:00", "quay.io"),
            ("localhost/a", "localhost"),
            ("", "docker.io"),
        ] {
            let answer = answered(&request(image, "t"));
            assert!(answer["auth"].as_object().unwrap().contains_key(registry), "{image}: {answer}");
        }
    }

    #[test]
    fn without_a_token_there_are_no_credentials() {
        assert_eq!(answered(&request("a.b/c", ""))["auth"], json!({}));
    }

    #[test]
    fn anything_else_is_refused() {
        let of = |name: &str, value: &str| {
            let mut request = request("a", "b");
            request[name] = value.into();
            answer(request.to_string().as_bytes()).unwrap_err()
        };
        assert!(matches!(of("apiVersion", "credentialprovider.kubelet.k8s.io/v1beta1"), CredentialError::Kind { .. }));
        assert!(matches!(of("kind", "Pod"), CredentialError::Kind { .. }));
        assert!(matches!(answer(b"{}"), Err(CredentialError::Json(_))));
        assert!(matches!(answer(&vec![b' '; LONGEST + 1]), Err(CredentialError::TooLong)));
    }

    #[test]
    fn tokens_are_not_printed() {
        let answer = answer(request("a", "hidden").to_string().as_bytes()).unwrap();
        assert!(!format!("{answer:?}").contains("hidden"));
    }
}
