//! What goes over the wire to `sealock-hsm` and back (docs/formats/hsm.md).

use std::path::Path;

use sealock_trust::signer::pkcs11::{Mechanism, PublicAttributes};
use sealock_trust::signer::{KeyUri, Passphrase};
use serde::{Deserialize, Serialize};

/// What is spoken here; a helper may speak a later minor version.
const FORMAT: &str = "hsm/1.";

/// The first line of a helper.
#[derive(Deserialize)]
pub struct Hello {
    pub format: String,
    pub version: String,
}

impl Hello {
    pub fn is_understood(&self) -> bool {
        self.format.strip_prefix(FORMAT).is_some_and(|minor| minor.parse::<u32>().is_ok())
    }
}

/// What is asked.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request<'a> {
    Open { module: &'a Path, token: TokenQuery<'a>, key: KeyQuery<'a> },
    Login(Login<'a>),
    Sign { mechanism: &'static str, data: Base64 },
}

#[derive(Serialize)]
pub struct TokenQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u64>,
}

#[derive(Serialize)]
pub struct KeyQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Base64>,
}

#[derive(Serialize)]
pub struct Login<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub fn open(module: &'a Path, uri: &'a KeyUri) -> Self {
        let (token, key) = (&uri.token, &uri.key);
        Self::Open {
            module,
            token: TokenQuery {
                label: token.label.as_deref(),
                manufacturer: token.manufacturer.as_deref(),
                model: token.model.as_deref(),
                serial: token.serial.as_deref(),
                slot: token.slot,
            },
            key: KeyQuery { label: key.label.as_deref(), id: key.id.clone().map(Base64) },
        }
    }

    pub fn login(pin: Option<&'a Passphrase>) -> Self {
        Self::Login(Login { pin: pin.map(Passphrase::reveal) })
    }

    pub fn sign(mechanism: Mechanism, data: Vec<u8>) -> Self {
        Self::Sign { mechanism: name(mechanism), data: Base64(data) }
    }
}

/// A mechanism as the wire names it.
pub fn name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Ecdsa => "ecdsa",
        Mechanism::Eddsa => "eddsa",
        Mechanism::RsaPssSha256 => "rsa-pss-sha256",
    }
}

/// What is answered.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Opened(Opened),
    Ready(Ready),
    Signed(Signed),
    Error(Told),
}

/// The token that was found.
#[derive(Deserialize)]
pub struct Opened {
    pub label: String,
    pub serial: String,
    pub login: LoginBy,
    pub pin: PinState,
}

/// What the token asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginBy {
    Pin,
    /// A PIN, at a keypad of its own.
    Keypad,
    None,
}

/// What the token tells of the tries that are left. No token gives a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    Ok,
    /// A wrong PIN was given since the last right one.
    Low,
    /// The next wrong PIN locks the token.
    Final,
    Locked,
}

/// The key that was found.
#[derive(Deserialize)]
pub struct Ready {
    pub public: Public,
    pub mechanisms: Vec<String>,
}

/// Attributes of the public half.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Public {
    Ec { params: Base64, point: Base64 },
    Edwards { params: Base64, point: Base64 },
    Rsa { modulus: Base64, exponent: Base64 },
    Info(Base64),
}

impl From<Public> for PublicAttributes {
    fn from(public: Public) -> Self {
        match public {
            Public::Ec { params, point } => Self::Ec { params: params.0, point: point.0 },
            Public::Edwards { params, point } => Self::Edwards { params: params.0, point: point.0 },
            Public::Rsa { modulus, exponent } => Self::Rsa { modulus: modulus.0, exponent: exponent.0 },
            Public::Info(info) => Self::Info(info.0),
        }
    }
}

#[derive(Deserialize)]
pub struct Signed {
    pub signature: Base64,
}

/// Why the helper went no further.
#[derive(Debug, Deserialize)]
pub struct Told {
    pub code: Code,
    /// What was called in the vendor's library, and what it answered.
    pub message: String,
    #[serde(default)]
    pub pin: Option<PinState>,
    /// What there is instead, or what fits it all.
    #[serde(default)]
    pub found: Vec<String>,
}

/// What can go wrong behind the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    Protocol,
    ModuleMissing,
    ModuleUnusable,
    NoToken,
    AmbiguousToken,
    WrongPin,
    PinLocked,
    PinExpired,
    PinNotSet,
    NoKey,
    AmbiguousKey,
    KeyCannotSign,
    AlwaysAuthenticate,
    NoPublicHalf,
    MechanismMissing,
    DataTooLong,
    TokenGone,
    Device,
}

/// Bytes, in base64 with padding.
#[derive(Debug)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &str = include_str!("../../../../hsm/testdata/requests.jsonl");
    const REPLIES: &str = include_str!("../../../../hsm/testdata/replies.jsonl");

    #[test]
    fn what_is_asked_is_what_the_vectors_say() {
        let uri: KeyUri =
            "pkcs11:token=plant;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;serial=22d9c7fb0951ef23;\
                           slot-id=7;object=publisher;id=%01%ff"
                .parse()
                .unwrap();
        let brief: KeyUri = "pkcs11:object=root".parse().unwrap();
        let module = Path::new("/usr/lib/softhsm/libsofthsm2.so");
        let pin = Passphrase::new("1234 \"ä\"").unwrap();
        let asked = [
            Request::open(module, &uri),
            Request::open(module, &brief),
            Request::login(Some(&pin)),
            Request::login(None),
            Request::sign(Mechanism::Ecdsa, vec![0xab; 32]),
            Request::sign(Mechanism::Eddsa, b"message".to_vec()),
            Request::sign(Mechanism::RsaPssSha256, vec![0xab; 32]),
        ];
        let lines: Vec<String> = asked.iter().map(|request| serde_json::to_string(request).unwrap()).collect();
        assert_eq!(lines, REQUESTS.lines().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_answered_is_understood() {
        let mut lines = REPLIES.lines();
        let hello: Hello = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert!(hello.is_understood());
        let replies: Vec<Reply> = lines.map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(replies.iter().any(|reply| matches!(reply, Reply::Opened(opened) if opened.pin == PinState::Low)));
        assert!(
            replies.iter().any(|reply| matches!(reply, Reply::Ready(Ready { public: Public::Edwards { .. }, .. })))
        );
        assert!(replies.iter().any(|reply| matches!(reply, Reply::Error(told) if told.found.len() == 2)));
    }

    #[test]
    fn another_major_version_is_not_understood() {
        for (format, understood) in [
            ("hsm/1.0", true),
            ("hsm/1.7", true),
            ("hsm/2.0", false),
            ("hsm/1", false),
            ("hsm/10.0", false),
            ("HSM/1.0", false),
            ("hsm/1.x", false),
        ] {
            let hello = Hello { format: format.to_owned(), version: String::new() };
            assert_eq!(hello.is_understood(), understood, "{format}");
        }
    }
}
