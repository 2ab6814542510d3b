//! The registry's own tokens: who somebody is and what they may do, signed for a few minutes (ES256).

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sealock_trust::{Digest, durable};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::action::{Action, Actions};
use super::error::AccessError;
use super::identity::Identity;
use super::jwt::{Jwks, Registered, TokenError, Unverified};
use super::scope::Scopes;

/// The issuer of our own tokens. No identity provider may be called so.
pub(crate) const ISSUER: &str = "sealock";

/// Longest time for which a token may hold, whatever it says.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(2);

/// Bytes of random in the name of a token.
const ID_BYTES: usize = 12;

/// The key by which tokens are signed.
pub(crate) struct TokenKey {
    pair: EcdsaKeyPair,
    id: String,
    public: Jwks,
    random: SystemRandom,
}

/// Why no token could be signed: the random numbers of the system failed.
#[derive(Debug, thiserror::Error)]
#[error("a token could not be signed")]
pub(crate) struct SignTokenError;

/// Whom a token stands for, and what it allows.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub(crate) identity: Identity,
    pub(crate) groups: Vec<Box<str>>,
    pub(crate) scopes: Scopes,
    pub(crate) begins: Timestamp,
    pub(crate) expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Own {
    sub: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Box<str>>,
    access: Vec<Entry>,
}

/// As the distribution project writes it ("Token Authentication Implementation", claim `access`).
#[derive(Serialize, Deserialize)]
struct Entry {
    r#type: String,
    name: String,
    actions: Vec<String>,
}

impl TokenKey {
    /// The key of the file `path`; where there is none, a new one is made and kept there.
    ///
    /// # Errors
    /// [`AccessError::TokenKey`].
    pub(crate) fn open(path: &Path) -> Result<Self, AccessError> {
        let failed = |source| AccessError::TokenKey { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(document) => Self::of_pkcs8(&document).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let document = new_document()?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary(path))?;
        file.write_all(&document)?;
        file.sync_all()?;
        std::fs::rename(temporary(path), path)?;
        durable::sync_parent(path)?;
        Self::of_pkcs8(&document)
    }

    /// A key for this process alone.
    ///
    /// # Errors
    /// What the system's random numbers say.
    pub(crate) fn for_now() -> io::Result<Self> {
        Self::of_pkcs8(&new_document()?)
    }

    fn of_pkcs8(document: &[u8]) -> io::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "this is no ECDSA key on P-256 in PKCS #8 form"))?;
        let point = pair.public_key().as_ref().to_vec();
        let id = Digest::sha256(&point).hex().chars().take(16).collect::<String>();
        Ok(Self { pair, public: Jwks::of_p256(&id, &point), id, random: SystemRandom::new() })
    }

    /// A token that holds from `now` for `seconds`.
    ///
    /// # Errors
    /// [`SignTokenError`].
    pub(crate) fn sign(
        &self,
        service: &str,
        (identity, groups): (&Identity, &[Box<str>]),
        scopes: &Scopes,
        (now, seconds): (Timestamp, u32),
    ) -> Result<String, SignTokenError> {
        let mut id = [0; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| SignTokenError)?;
        let second = now.as_second();
        let own = Own { sub: identity.to_string(), groups: groups.to_vec(), access: entries(scopes) };
        let claims = json!({
            "iss": ISSUER, "aud": service, "iat": second, "nbf": second, "exp": second + i64::from(seconds),
            "jti": URL_SAFE_NO_PAD.encode(id), "sub": own.sub, "groups": own.groups, "access": own.access,
        });
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.pair.sign(&self.random, message.as_bytes()).map_err(|_| SignTokenError)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What one of our own tokens says, if it holds for `service` at `now`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(crate) fn verify(&self, token: &Unverified<'_>, service: &str, now: Timestamp) -> Result<Bearer, TokenError> {
        let claims = token.verify(&self.public)?;
        let registered: Registered = claims.read()?;
        registered.check(ISSUER, service, now)?;
        let own: Own = claims.read()?;
        let (begins, expires) = (registered.begins(), registered.expires());
        // What a clock that was a year ahead has signed would hold for a year.
        if expires.duration_since(begins) > LONGEST_LIFE {
            return Err(TokenError::Claim("exp".into()));
        }
        let identity = own.sub.parse().map_err(|_| TokenError::Claim("sub".into()))?;
        Ok(Bearer { identity, groups: own.groups, scopes: scopes(&own.access), begins, expires })
    }
}

/// Private keys stay out of logs.
impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn new_document() -> io::Result<Vec<u8>> {
    let failed = |_| io::Error::other("the system has no random numbers");
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map_err(failed)?;
    Ok(document.as_ref().to_vec())
}

/// Beside `path`, and of this process: two servers that start at once do not write into each other's.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

fn entries(scopes: &Scopes) -> Vec<Entry> {
    let entry = |kind: &str, name: &str, actions| Entry { r#type: kind.into(), name: name.into(), actions };
    let catalog = scopes.has_catalog().then(|| entry("registry", "catalog", vec!["*".into()]));
    let repositories = scopes
        .repositories()
        .map(|(name, actions)| entry("repository", name, actions.iter().map(|action| action.to_string()).collect()));
    catalog.into_iter().chain(repositories).collect()
}

fn scopes(entries: &[Entry]) -> Scopes {
    let mut scopes = Scopes::default();
    for Entry { r#type, name, actions } in entries {
        match r#type.as_str() {
            "repository" => {
                scopes.allow(name, actions.iter().filter_map(|action| of_name(action)).collect::<Actions>());
            }
            "registry" if name == "catalog" => scopes.allow_catalog(),
            _ => {}
        }
    }
    scopes
}

fn of_name(action: &str) -> Option<Action> {
    match action {
        "pull" => Some(Action::Pull),
        "push" => Some(Action::Push),
        "delete" => Some(Action::Delete),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00Z".parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn token(key: &TokenKey, service: &str) -> String {
        let scopes = Scopes::parse(["repository:a/b:pull,push registry:catalog:*"]).unwrap();
        let anna = Identity::Oidc { provider: "corp".into(), user: "anna".into() };
        key.sign(service, (&anna, &["oidc-group/corp/dev".into()]), &scopes, (now(), 300)).unwrap()
    }

    fn verify(key: &TokenKey, token: &str, now: Timestamp) -> Result<Bearer, TokenError> {
        key.verify(&Unverified::parse(token).unwrap(), "registry", now)
    }

    #[test]
    fn what_was_signed_is_what_is_read() {
        let key = TokenKey::for_now().unwrap();
        let bearer = verify(&key, &token(&key, "registry"), at(299)).unwrap();
        assert_eq!(bearer.identity.to_string(), "oidc/corp/anna");
        assert_eq!(bearer.groups, ["oidc-group/corp/dev".into()]);
        assert_eq!(bearer.scopes.to_string(), "registry:catalog:* repository:a/b:pull,push");
    }

    #[test]
    fn a_token_holds_in_its_time_only() {
        let key = TokenKey::for_now().unwrap();
        let token = token(&key, "registry");
        let year = 366 * 24 * 3600;
        assert!(matches!(verify(&key, &token, at(400)), Err(TokenError::Expired(_))));
        assert!(matches!(verify(&key, &token, at(year)), Err(TokenError::Expired(_))));
        assert!(matches!(verify(&key, &token, at(-100)), Err(TokenError::NotYet(_))));
        assert!(matches!(verify(&key, &token, at(-year)), Err(TokenError::NotYet(_))));
    }

    #[test]
    fn a_token_for_another_service_or_by_another_key_is_refused() {
        let (key, other) = (TokenKey::for_now().unwrap(), TokenKey::for_now().unwrap());
        assert!(matches!(verify(&key, &token(&key, "other"), now()), Err(TokenError::Audience(_))));
        assert!(matches!(verify(&key, &token(&other, "registry"), now()), Err(TokenError::Key(_))));
    }

    #[test]
    fn a_token_that_holds_for_longer_than_any_of_ours_is_refused() {
        let key = TokenKey::for_now().unwrap();
        let scopes = Scopes::default();
        let long = key.sign("registry", (&Identity::Anonymous, &[]), &scopes, (now(), 3 * 3600)).unwrap();
        assert_eq!(verify(&key, &long, now()).unwrap_err(), TokenError::Claim("exp".into()));
    }

    #[test]
    fn no_character_of_a_token_can_change_unnoticed() {
        let key = TokenKey::for_now().unwrap();
        let token = token(&key, "registry");
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let believed = Unverified::parse(&changed).and_then(|token| key.verify(&token, "registry", now()));
            assert!(believed.is_err(), "character {place}");
        }
    }

    #[test]
    fn the_key_is_kept_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry/token.key");
        let first = TokenKey::open(&path).unwrap();
        let again = TokenKey::open(&path).unwrap();
        assert!(verify(&again, &token(&first, "registry"), now()).is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"x").unwrap();
        assert!(matches!(TokenKey::open(&path), Err(AccessError::TokenKey { .. })));
    }
}
