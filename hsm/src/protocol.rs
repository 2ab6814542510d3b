//! What goes over the wire (docs/formats/hsm.md).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cryptoki::types::AuthPin;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::Failure;

/// Name and version of what is spoken here.
pub const FORMAT: &str = "hsm/1.0";

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Load the library and find the token.
    Open(Open),
    /// Give the PIN, and find the key.
    Login(Login),
    /// Sign.
    Sign(Sign),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The vendor's library, an absolute path.
    pub module: PathBuf,
    pub token: TokenQuery,
    pub key: KeyQuery,
}

/// What a token must be; what is not said may be anything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenQuery {
    pub label: Option<String>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub serial: Option<String>,
    pub slot: Option<u64>,
}

/// What a key must be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyQuery {
    pub label: Option<String>,
    pub id: Option<Bytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Left away where the token has a keypad, or asks for none.
    #[serde(default)]
    pub pin: Option<AuthPin>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    pub mechanism: Mechanism,
    /// A digest; for `eddsa` the message.
    pub data: Bytes,
}

/// What signs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    Ecdsa,
    Eddsa,
    RsaPssSha256,
}

/// What is answered.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Opened(Opened),
    Ready(Ready),
    Signed(Signed),
    Error(Failure),
    #[serde(untagged)]
    Hello {
        format: &'static str,
        version: &'static str,
    },
}

impl Reply {
    /// The first line, before anything was asked.
    pub fn hello() -> Self {
        Self::Hello { format: FORMAT, version: env!("CARGO_PKG_VERSION") }
    }
}

/// The token that was found.
#[derive(Serialize)]
pub struct Opened {
    pub label: String,
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    pub login: LoginBy,
    pub pin: PinState,
}

/// What the token asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginBy {
    Pin,
    /// A PIN, at a keypad of its own.
    Keypad,
    None,
}

/// What the token tells of the tries that are left. It gives no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Serialize)]
pub struct Ready {
    pub public: Public,
    /// What of the known mechanisms the token has.
    pub mechanisms: Vec<Mechanism>,
}

/// Attributes of the public half, as the token has them.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Public {
    Ec { params: Bytes, point: Bytes },
    Edwards { params: Bytes, point: Bytes },
    Rsa { modulus: Bytes, exponent: Bytes },
    Info(Bytes),
}

#[derive(Serialize)]
pub struct Signed {
    pub signature: Bytes,
}

/// Bytes, in base64 with padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    fn bytes(text: &str) -> Bytes {
        Bytes(STANDARD.decode(text).expect("base64"))
    }

    fn opened(label: &str, (manufacturer, model): (&str, &str), serial: &str, state: (LoginBy, PinState)) -> Reply {
        let [label, manufacturer, model, serial] = [label, manufacturer, model, serial].map(str::to_owned);
        Reply::Opened(Opened { label, manufacturer, model, serial, login: state.0, pin: state.1 })
    }

    fn ready(public: Public, mechanisms: &[Mechanism]) -> Reply {
        Reply::Ready(Ready { public, mechanisms: mechanisms.to_vec() })
    }

    #[test]
    fn answers_are_what_the_vectors_say() {
        use Mechanism::{Ecdsa, Eddsa, RsaPssSha256};
        let softhsm = ("SoftHSM project", "SoftHSM v2");
        let both = ["object=a;id=%01", "object=a;id=%02"].map(str::to_owned).to_vec();
        let answers = [
            Reply::hello(),
            opened("plant", softhsm, "22d9c7fb0951ef23", (LoginBy::Pin, PinState::Low)),
            opened("card", ("a vendor", ""), "1", (LoginBy::Keypad, PinState::Ok)),
            ready(Public::Ec { params: bytes("BggqhkjOPQMBBw=="), point: bytes("BEEEAQ==") }, &[Ecdsa, RsaPssSha256]),
            ready(Public::Edwards { params: bytes("EwxlZHdhcmRzMjU1MTk="), point: bytes("BAEA") }, &[Eddsa]),
            ready(Public::Rsa { modulus: bytes("xcXF"), exponent: bytes("AQAB") }, &[]),
            ready(Public::Info(bytes("MAA=")), &[Ecdsa]),
            Reply::Signed(Signed { signature: bytes("q6s=") }),
            Reply::Error(Failure::new(Code::WrongPin, "C_Login answered PinIncorrect").pin(PinState::Final)),
            Reply::Error(Failure::new(Code::AmbiguousKey, "2 private keys fit").found(both)),
            Reply::Error(Failure::new(Code::TokenGone, "C_Sign answered DeviceRemoved")),
        ];
        let lines: Vec<String> = answers.iter().map(|reply| serde_json::to_string(reply).expect("JSON")).collect();
        assert_eq!(lines, include_str!("../testdata/replies.jsonl").lines().collect::<Vec<_>>());
    }
}
