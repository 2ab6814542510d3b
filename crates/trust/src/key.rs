//! Public keys, written as TUF key objects (TUF specification 1.0.34, section 4.2.2).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::json::{self, olpc};
use crate::reason::Code;
use crate::spki;

/// What names a key: the SHA-256, in lower-case hexadecimal, of its canonical TUF key object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The 64 hexadecimal characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(lower_hex) {
            return Err(KeyError::Id);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key, or a signature by it, is not acceptable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 64 lower-case hexadecimal characters.
    #[error("a key id is 64 lower-case hexadecimal characters")]
    Id,
    /// The TUF key object has not the fields it needs.
    #[error("the key object lacks the text field `{0}`")]
    Field(&'static str),
    /// The key object cannot be written canonically.
    #[error("the key object is not canonical JSON")]
    Json(#[from] json::Error),
    /// The public value does not fit the scheme.
    #[error("the public value is not one of the scheme {0}")]
    Public(String),
    /// Not a PEM file with a public key.
    #[error("not a public key in PEM form (BEGIN PUBLIC KEY)")]
    Pem,
    /// A public key of a kind that is not verified here.
    #[error("a public key of an unsupported kind (supported: Ed25519, ECDSA P-256 and P-384, RSA)")]
    Kind,
    /// The key's scheme is unknown, so nothing can be said about the signature.
    #[error("the signature scheme {0:?} is unknown")]
    UnknownScheme(String),
    /// The signature does not fit.
    #[error("the signature does not fit the content and the key")]
    Signature,
}

impl KeyError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Signature => Code::Sig,
            Self::UnknownScheme(_) => Code::Alg,
            Self::Json(source) => source.code(),
            Self::Id | Self::Field(_) | Self::Public(_) | Self::Pem | Self::Kind => Code::Format,
        }
    }

    /// Always: what is wrong with a key stays wrong.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

/// What can be verified; anything else parses but never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    RsaPss,
}

impl Kind {
    fn of(keytype: &str, scheme: &str) -> Option<Self> {
        match (keytype, scheme) {
            ("ed25519", "ed25519") => Some(Self::Ed25519),
            // securesystemslib wrote the scheme as key type for years, and still reads it.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => Some(Self::EcdsaP256),
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => Some(Self::EcdsaP384),
            ("rsa", "rsassa-pss-sha256") => Some(Self::RsaPss),
            _ => None,
        }
    }

    /// Key type and scheme, as TUF names them.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Ed25519 => ("ed25519", "ed25519"),
            Self::EcdsaP256 => ("ecdsa", "ecdsa-sha2-nistp256"),
            Self::EcdsaP384 => ("ecdsa", "ecdsa-sha2-nistp384"),
            Self::RsaPss => ("rsa", "rsassa-pss-sha256"),
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ED25519,
            Self::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Self::RsaPss => &RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// A key and its raw public value: 32 bytes, an uncompressed point, or a DER `RSAPublicKey`.
#[derive(Clone, PartialEq, Eq)]
struct Material {
    kind: Kind,
    raw: Vec<u8>,
}

/// A public key. It keeps its TUF key object as it was read, for that is what its id is computed from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
pub struct PublicKey {
    object: BTreeMap<String, Value>,
    scheme: String,
    id: KeyId,
    material: Option<Material>,
}

impl PublicKey {
    /// What names this key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The signature scheme as TUF names it, like `ed25519` or `ecdsa-sha2-nistp256`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether signatures of this scheme can be verified here.
    pub fn is_known(&self) -> bool {
        self.material.is_some()
    }

    /// The digest of the public value itself: the same for two key objects, and so two ids, of one key.
    pub fn identity(&self) -> Digest {
        match &self.material {
            Some(Material { kind, raw }) => Digest::sha256(&[kind.names().0.as_bytes(), b"\0", raw].concat()),
            None => Digest::sha256(self.id.as_str().as_bytes()),
        }
    }

    /// Reads a public key in PEM form (`BEGIN PUBLIC KEY`, RFC 7468 and 5280): what `openssl` and cosign write.
    ///
    /// # Errors
    /// [`KeyError::Pem`] and [`KeyError::Kind`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (kind, raw) = spki::parse_pem(pem)?;
        Self::from_raw(kind, &raw)
    }

    /// This key in PEM form (`BEGIN PUBLIC KEY`), as `openssl` reads it.
    ///
    /// # Errors
    /// [`KeyError::UnknownScheme`] where there is nothing to write.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let material = self.material.as_ref().ok_or_else(|| KeyError::UnknownScheme(self.scheme.clone()))?;
        spki::to_pem(material.kind, &material.raw)
    }

    /// Whether `signature` was made over `message` by this key. ECDSA signatures are ASN.1 DER, Ed25519's 64 raw bytes.
    ///
    /// # Errors
    /// [`KeyError::Signature`], or [`KeyError::UnknownScheme`] where that cannot be told.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let Some(Material { kind, raw }) = &self.material else {
            return Err(KeyError::UnknownScheme(self.scheme.clone()));
        };
        let key = UnparsedPublicKey::new(kind.algorithm(), raw);
        key.verify(message, signature).map_err(|_| KeyError::Signature)
    }

    /// What can be verified with it, where that is known.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.material.as_ref().map(|material| material.kind)
    }

    pub(crate) fn from_raw(kind: Kind, raw: &[u8]) -> Result<Self, KeyError> {
        let (keytype, scheme) = kind.names();
        let public = match kind {
            Kind::Ed25519 => hex::encode(raw),
            Kind::EcdsaP256 | Kind::EcdsaP384 | Kind::RsaPss => spki::to_pem(kind, raw)?,
        };
        let keyval = BTreeMap::from([("public", public)]);
        let object = serde_json::json!({"keytype": keytype, "scheme": scheme, "keyval": keyval});
        let Value::Object(members) = object else {
            return Err(KeyError::Field("keyval"));
        };
        Self::try_from(members.into_iter().collect::<BTreeMap<_, _>>())
    }
}

impl TryFrom<BTreeMap<String, Value>> for PublicKey {
    type Error = KeyError;

    fn try_from(object: BTreeMap<String, Value>) -> Result<Self, KeyError> {
        let text = |name: &'static str| object.get(name).and_then(Value::as_str).ok_or(KeyError::Field(name));
        let (keytype, scheme) = (text("keytype")?, text("scheme")?.to_owned());
        let keyval = object.get("keyval").and_then(Value::as_object).ok_or(KeyError::Field("keyval"))?;
        let material = match Kind::of(keytype, &scheme) {
            Some(kind) => {
                let public = keyval.get("public").and_then(Value::as_str).ok_or(KeyError::Field("keyval.public"))?;
                Some(Material { kind, raw: raw_public(kind, public)? })
            }
            None => None,
        };
        let id = KeyId(Digest::sha256(&olpc::to_vec(&object)?).hex().into());
        Ok(Self { object, scheme, id, material })
    }
}

fn raw_public(kind: Kind, public: &str) -> Result<Vec<u8>, KeyError> {
    let unfit = || KeyError::Public(kind.names().1.to_owned());
    if kind == Kind::Ed25519 {
        let raw = hex::decode(public).map_err(|_| unfit())?;
        return if raw.len() == 32 { Ok(raw) } else { Err(unfit()) };
    }
    let (found, raw) = spki::parse_pem(public)?;
    if found == kind { Ok(raw) } else { Err(unfit()) }
}

impl From<PublicKey> for BTreeMap<String, Value> {
    fn from(key: PublicKey) -> Self {
        key.object
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("scheme", &self.scheme).field("id", &self.id).finish_non_exhaustive()
    }
}
