//! Public keys of issuers, as they publish them (JSON Web Key Set, RFC 7517 and 7518; Ed25519 by RFC 8037).

use std::fmt;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Longest file of keys, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// Keys of one issuer at most.
pub(super) const MOST_KEYS: usize = 64;

/// How a token can be signed (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA by PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA by PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA by PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA by PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm that a header names so.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Longer, or with more keys, than anybody's.
    #[error("more than {LONGEST} bytes or {MOST_KEYS} keys")]
    TooLong,
    /// Not a key set.
    #[error("this is no JSON Web Key Set")]
    Json(#[source] serde_json::Error),
    /// A key of a known kind whose value does not fit.
    #[error("the key {0:?} has no value that fits its kind")]
    Value(String),
    /// Two keys cannot be told apart.
    #[error("two keys are called {0:?}")]
    Twice(String),
    /// Nothing could be verified.
    #[error("there is no key for signatures by RSA, ECDSA on P-256 or P-384, or Ed25519")]
    Empty,
}

/// One key, and what it is for.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<Box<str>>,
    /// The only algorithm it is for, where it says that.
    only: Option<Algorithm>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    r#use: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

impl Jwks {
    /// Reads a key set. Keys that are not for signatures, or of a kind that is not verified here, are passed over.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        if bytes.len() > LONGEST {
            return Err(JwksError::TooLong);
        }
        let set: WireSet = serde_json::from_slice(bytes).map_err(JwksError::Json)?;
        if set.keys.len() > MOST_KEYS {
            return Err(JwksError::TooLong);
        }
        let mut keys: Vec<Key> = Vec::new();
        for wire in &set.keys {
            let Some(key) = Key::of_wire(wire)? else { continue };
            if keys.iter().any(|other| other.id == key.id) {
                return Err(JwksError::Twice(wire.kid.clone().unwrap_or_default()));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(JwksError::Empty) } else { Ok(Self { keys }) }
    }

    /// A set of one key on P-256: its uncompressed point.
    pub(crate) fn of_p256(id: &str, point: &[u8]) -> Self {
        let (only, material) = (Some(Algorithm::Es256), Material::P256(point.to_vec()));
        Self { keys: vec![Key { id: Some(id.into()), only, material }] }
    }

    /// The key called `id`; without an id the only one there is.
    pub(crate) fn key(&self, id: Option<&str>) -> Option<&Key> {
        match (id, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none; never of a set that was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Key {
    fn of_wire(wire: &WireKey) -> Result<Option<Self>, JwksError> {
        if wire.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        let only = match wire.alg.as_deref() {
            None => None,
            Some(name) => match Algorithm::of_name(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        let unfit = || JwksError::Value(wire.kid.clone().unwrap_or_default());
        let Some(material) = Material::of_wire(wire).map_err(|Unfit| unfit())? else { return Ok(None) };
        let key = Self { id: wire.kid.as_deref().map(Into::into), only: None, material };
        if only.is_some_and(|only| !key.is_for(only)) {
            return Err(unfit());
        }
        Ok(Some(Self { only, ..key }))
    }

    /// Whether signatures by this algorithm can be this key's.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        let fits = match self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256)
            }
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        fits && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let by = |method: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(method, key).verify(message, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, algorithm) => rsa(algorithm)
                .is_some_and(|parameters| PublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()),
            (Material::P256(point), Algorithm::Es256) => by(&ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), Algorithm::Es384) => by(&ECDSA_P384_SHA384_FIXED, point),
            (Material::Ed25519(raw), Algorithm::EdDsa) => by(&ED25519, raw),
            _ => false,
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// A value that is missing, or not of its length.
struct Unfit;

impl Material {
    fn of_wire(wire: &WireKey) -> Result<Option<Self>, Unfit> {
        let decode =
            |value: &Option<String>| value.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Unfit);
        let of_length = |value: &Option<String>, length| {
            decode(value).and_then(|raw| if raw.len() == length { Ok(raw) } else { Err(Unfit) })
        };
        let point = |length| Ok([vec![4], of_length(&wire.x, length)?, of_length(&wire.y, length)?].concat());
        Ok(match (wire.kty.as_str(), wire.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (decode(&wire.n)?, decode(&wire.e)?);
                // Shorter moduli are weak, and longer ones a way to keep us busy.
                if !(256..=1024).contains(&n.len()) || e.is_empty() || e.len() > 8 {
                    return Err(Unfit);
                }
                Some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => Some(Self::P256(point(32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(48)?)),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(of_length(&wire.x, 32)?)),
            _ => None,
        })
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}
