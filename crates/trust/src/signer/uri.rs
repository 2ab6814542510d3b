//! Names of keys in PKCS#11 tokens: `pkcs11:` URIs (RFC 7512), read strictly.
//!
//! What this does not act on is refused by its name and never passed over: an attribute that was ignored would choose
//! another key than the one that was meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How every such name begins.
pub const PREFIX: &str = "pkcs11:";
/// No URI is longer, as it came and with everything encoded that may be; in bytes.
const MAX_URI: usize = 4096;
/// No attribute is longer, decoded; in bytes.
const MAX_VALUE: usize = 1024;

/// Which key in which token, and how to get there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUri {
    /// What the token must be.
    pub token: TokenQuery,
    /// What the key must be.
    pub key: KeyQuery,
    /// The vendor's library, an absolute path.
    module: Option<PathBuf>,
    /// The file whose first line is the PIN, an absolute path.
    pin: Option<PathBuf>,
}

/// What a token must be; what is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenQuery {
    /// Its label.
    pub label: Option<String>,
    /// Its maker.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The slot it is in.
    pub slot: Option<u64>,
}

/// What a key must be; at least one of the two is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyQuery {
    /// Its label.
    pub label: Option<String>,
    /// Its id.
    pub id: Option<Vec<u8>>,
}

impl KeyUri {
    /// The vendor's library, where the URI names it.
    pub fn module(&self) -> Option<&Path> {
        self.module.as_deref()
    }

    /// The file whose first line is the PIN, where the URI names it.
    pub fn pin_file(&self) -> Option<&Path> {
        self.pin.as_deref()
    }
}

/// Why a text names no key in a token.
///
/// No variant repeats a value: it might be a PIN.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUriError {
    /// Another kind of URI, or none.
    #[error("it does not begin with `pkcs11:`")]
    Scheme,
    /// Longer than any such name.
    #[error("it is longer than {MAX_URI} bytes, or one of its values than {MAX_VALUE}")]
    TooLong,
    /// A part that is not `name=value`.
    #[error("a part of it is not written `name=value`")]
    Form,
    /// A character that has to be written with a percent sign.
    #[error("the value of `{attribute}` holds a character that must be percent-encoded")]
    Character {
        /// Whose value it is.
        attribute: &'static str,
    },
    /// Not two hexadecimal digits behind a percent sign, not UTF-8, empty, or a control character.
    #[error("the value of `{attribute}` is not what may stand there")]
    Value {
        /// Whose value it is.
        attribute: &'static str,
    },
    /// Said twice.
    #[error("`{attribute}` stands there twice")]
    Twice {
        /// What is said twice.
        attribute: &'static str,
    },
    /// An attribute of RFC 7512 that is not acted on, and why.
    #[error("`{attribute}` is not taken: {reason}")]
    Unsupported {
        /// The attribute.
        attribute: &'static str,
        /// What to do instead.
        reason: &'static str,
    },
    /// An attribute that RFC 7512 does not know.
    #[error(
        "it has an attribute that is unknown; a key is chosen by token, manufacturer, model, serial, slot-id, object and id"
    )]
    Unknown,
    /// It chooses no key.
    #[error("it names no key: `object` (its label), `id`, or both must be there")]
    NoKey,
}

impl KeyUriError {
    /// Never: somebody mistyped.
    pub fn is_refusal(&self) -> bool {
        false
    }
}

/// What RFC 7512 has and this does not act on.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("pin-value", "a PIN on a command line is seen by everybody on the machine; write it to a file, for `pin-source`"),
    ("module-name", "libraries are not searched for; give `module-path` with the whole path"),
    ("slot-description", "name the token, not what it is plugged into"),
    ("slot-manufacturer", "name the token, not what it is plugged into"),
    ("library-description", "give `module-path` with the whole path"),
    ("library-manufacturer", "give `module-path` with the whole path"),
    ("library-version", "give `module-path` with the whole path"),
];

impl FromStr for KeyUri {
    type Err = KeyUriError;

    fn from_str(text: &str) -> Result<Self, KeyUriError> {
        if text.len() > MAX_URI {
            return Err(KeyUriError::TooLong);
        }
        let rest = text.strip_prefix(PREFIX).ok_or(KeyUriError::Scheme)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut uri = Self::default();
        for part in path.split(';') {
            uri.path_attribute(part)?;
        }
        for part in query.iter().flat_map(|query| query.split('&')) {
            uri.query_attribute(part)?;
        }
        if uri.key == KeyQuery::default() {
            return Err(KeyUriError::NoKey);
        }
        // Written out again it is longer: an id is encoded whole. Whoever writes it into a file must be able to read it.
        if uri.to_string().len() > MAX_URI {
            return Err(KeyUriError::TooLong);
        }
        Ok(uri)
    }
}

impl KeyUri {
    fn path_attribute(&mut self, part: &str) -> Result<(), KeyUriError> {
        let (name, value) = part.split_once('=').ok_or(KeyUriError::Form)?;
        let path = |attribute| Value { attribute, text: value, legal: ":[]@!$'()*+,=&" };
        match name {
            "token" => once(&mut self.token.label, path("token").text()?, "token"),
            "manufacturer" => once(&mut self.token.manufacturer, path("manufacturer").text()?, "manufacturer"),
            "model" => once(&mut self.token.model, path("model").text()?, "model"),
            "serial" => once(&mut self.token.serial, path("serial").text()?, "serial"),
            "slot-id" => once(&mut self.token.slot, path("slot-id").number()?, "slot-id"),
            "object" => once(&mut self.key.label, path("object").text()?, "object"),
            "id" => once(&mut self.key.id, path("id").bytes()?, "id"),
            "type" if value == "private" => Ok(()),
            "type" => Err(KeyUriError::Unsupported {
                attribute: "type",
                reason: "only `type=private` can sign; its public half is found by itself",
            }),
            _ => Err(refused(name)),
        }
    }

    fn query_attribute(&mut self, part: &str) -> Result<(), KeyUriError> {
        let (name, value) = part.split_once('=').ok_or(KeyUriError::Form)?;
        let query = |attribute| Value { attribute, text: value, legal: ":[]@!$'()*+,=/?|" };
        match name {
            "module-path" => once(&mut self.module, query("module-path").absolute_path()?, "module-path"),
            "pin-source" if value.starts_with('|') || value.starts_with("%7C") || value.starts_with("%7c") => {
                Err(KeyUriError::Unsupported {
                    attribute: "pin-source",
                    reason: "no program is started for a PIN; name a file that holds it",
                })
            }
            "pin-source" => once(&mut self.pin, query("pin-source").file()?, "pin-source"),
            _ => Err(refused(name)),
        }
    }
}

fn refused(name: &str) -> KeyUriError {
    let known = UNSUPPORTED.iter().find(|(attribute, _)| *attribute == name);
    known.map_or(KeyUriError::Unknown, |(attribute, reason)| KeyUriError::Unsupported { attribute, reason })
}

fn once<T>(place: &mut Option<T>, value: T, attribute: &'static str) -> Result<(), KeyUriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeyUriError::Twice { attribute }),
    }
}

/// A value as it stands in the URI.
struct Value<'a> {
    attribute: &'static str,
    text: &'a str,
    /// What may stand here as it is, besides letters, digits and `-._~`.
    legal: &'static str,
}

impl Value<'_> {
    fn wrong(&self) -> KeyUriError {
        KeyUriError::Value { attribute: self.attribute }
    }

    fn bytes(&self) -> Result<Vec<u8>, KeyUriError> {
        let mut decoded = Vec::with_capacity(self.text.len());
        let mut rest = self.text.bytes();
        while let Some(byte) = rest.next() {
            decoded.push(match byte {
                b'%' => {
                    let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(hex_digit));
                    let [Some(high), Some(low)] = digits else { return Err(self.wrong()) };
                    high << 4 | low
                }
                byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => byte,
                byte if self.legal.as_bytes().contains(&byte) => byte,
                _ => return Err(KeyUriError::Character { attribute: self.attribute }),
            });
        }
        match decoded.len() {
            0 => Err(self.wrong()),
            1..=MAX_VALUE => Ok(decoded),
            _ => Err(KeyUriError::TooLong),
        }
    }

    fn text(&self) -> Result<String, KeyUriError> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| self.wrong())?;
        if text.chars().any(char::is_control) { Err(self.wrong()) } else { Ok(text) }
    }

    fn number(&self) -> Result<u64, KeyUriError> {
        let is_plain = self.text.bytes().all(|byte| byte.is_ascii_digit());
        self.text.parse().ok().filter(|_| is_plain).ok_or_else(|| self.wrong())
    }

    fn absolute_path(&self) -> Result<PathBuf, KeyUriError> {
        let path = PathBuf::from(self.text()?);
        if path.is_absolute() { Ok(path) } else { Err(self.wrong()) }
    }

    /// An absolute path, or a `file:` URI of this machine (RFC 8089).
    fn file(&self) -> Result<PathBuf, KeyUriError> {
        let path = match self.text.strip_prefix("file:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None => self.text,
        };
        Self { text: path, ..*self }.absolute_path()
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Back to what can be parsed: the attributes in a fixed order, everything encoded that has to be.
impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        let (token, key) = (&self.token, &self.key);
        let slot = token.slot.map(|slot| slot.to_string().into_bytes());
        let bytes = |text: &Option<String>| text.clone().map(String::into_bytes);
        let path = [
            ("token", bytes(&token.label)),
            ("manufacturer", bytes(&token.manufacturer)),
            ("model", bytes(&token.model)),
            ("serial", bytes(&token.serial)),
            ("slot-id", slot),
            ("object", bytes(&key.label)),
            ("id", key.id.clone()),
        ];
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned().into_bytes());
        let query = [("module-path", file(&self.module)), ("pin-source", file(&self.pin))];
        attributes(f, &path, ";", "")?;
        f.write_str(if query.iter().any(|(_, value)| value.is_some()) { "?" } else { "" })?;
        attributes(f, &query, "&", "/")
    }
}

fn attributes(
    f: &mut fmt::Formatter<'_>,
    attributes: &[(&str, Option<Vec<u8>>)],
    between: &str,
    legal: &str,
) -> fmt::Result {
    let given = attributes.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (number, (name, value)) in given.enumerate() {
        write!(f, "{}{name}=", if number == 0 { "" } else { between })?;
        for byte in value {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || legal.as_bytes().contains(byte) {
                write!(f, "{}", char::from(*byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<KeyUri, KeyUriError> {
        text.parse()
    }

    #[test]
    fn every_attribute_that_chooses_is_read() {
        let uri = parse(
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=abc:1;\
             slot-id=327;object=my-key;type=private;id=%69%95%3E\
             ?module-path=/usr/lib/libmodule.so&pin-source=file:///etc/sealock/pin",
        )
        .unwrap();
        assert_eq!(uri.token.label.as_deref(), Some("The Software PKCS#11 Softtoken"));
        assert_eq!(uri.token.manufacturer.as_deref(), Some("Snake Oil, Inc."));
        assert_eq!((uri.token.model.as_deref(), uri.token.serial.as_deref()), (Some("1.0"), Some("abc:1")));
        assert_eq!((uri.token.slot, uri.key.label.as_deref()), (Some(327), Some("my-key")));
        assert_eq!(uri.key.id.as_deref(), Some(&b"\x69\x95\x3e"[..]));
        assert_eq!(uri.module(), Some(Path::new("/usr/lib/libmodule.so")));
        assert_eq!(uri.pin_file(), Some(Path::new("/etc/sealock/pin")));
    }

    #[test]
    fn a_pin_file_is_a_path_or_a_file_uri() {
        for source in ["/run/pin", "file:/run/pin", "file:///run/pin", "%2Frun%2Fpin"] {
            let uri = parse(&format!("pkcs11:object=a?pin-source={source}")).unwrap();
            assert_eq!(uri.pin_file(), Some(Path::new("/run/pin")), "{source}");
        }
    }

    #[test]
    fn what_is_not_acted_on_is_refused_by_its_name() {
        for (text, name) in [
            ("pkcs11:object=a?pin-value=1234", "pin-value"),
            ("pkcs11:object=a?pin-source=%7Ccat%20/pin", "pin-source"),
            ("pkcs11:object=a?pin-source=|cat", "pin-source"),
            ("pkcs11:object=a?module-name=softhsm2", "module-name"),
            ("pkcs11:object=a;slot-description=a", "slot-description"),
            ("pkcs11:object=a;library-version=3", "library-version"),
            ("pkcs11:object=a;type=cert", "type"),
        ] {
            let refused = matches!(parse(text), Err(KeyUriError::Unsupported { attribute, .. }) if attribute == name);
            assert!(refused, "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn what_is_no_name_of_a_key_is_refused() {
        let character = |attribute| KeyUriError::Character { attribute };
        let value = |attribute| KeyUriError::Value { attribute };
        for (text, error) in [
            ("PKCS11:object=a", KeyUriError::Scheme),
            ("/keys/a.pem", KeyUriError::Scheme),
            ("pkcs11:", KeyUriError::Form),
            ("pkcs11:object=a;", KeyUriError::Form),
            ("pkcs11:object", KeyUriError::Form),
            ("pkcs11:object=a?", KeyUriError::Form),
            ("pkcs11:token=a", KeyUriError::NoKey),
            ("pkcs11:object=a;object=a", KeyUriError::Twice { attribute: "object" }),
            ("pkcs11:Object=a", KeyUriError::Unknown),
            ("pkcs11:object=a;x-vendor=1", KeyUriError::Unknown),
            ("pkcs11:object=a;module-path=/a", KeyUriError::Unknown),
            ("pkcs11:object=a b", character("object")),
            ("pkcs11:object=a/b", character("object")),
            ("pkcs11:object=a#b", character("object")),
            ("pkcs11:object=\u{e4}", character("object")),
            ("pkcs11:object=%4", value("object")),
            ("pkcs11:object=%4g", value("object")),
            ("pkcs11:object=%00", value("object")),
            ("pkcs11:object=%ff", value("object")),
            ("pkcs11:object=", value("object")),
            ("pkcs11:object=a;slot-id=+1", value("slot-id")),
            ("pkcs11:object=a;slot-id=99999999999999999999", value("slot-id")),
            ("pkcs11:object=a?module-path=softhsm.so", value("module-path")),
            ("pkcs11:object=a?pin-source=pin", value("pin-source")),
            ("pkcs11:object=a?pin-source=file://host/pin", value("pin-source")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(parse(&format!("pkcs11:object={}", "a".repeat(MAX_URI))), Err(KeyUriError::TooLong));
        assert_eq!(parse(&format!("pkcs11:object={}", "a".repeat(MAX_VALUE + 1))), Err(KeyUriError::TooLong));
        // What would be longer when it is written out again: found by the fuzz target `key_uri`.
        let (id, label) = ("=".repeat(MAX_VALUE), "%20".repeat(MAX_VALUE / 2));
        assert_eq!(parse(&format!("pkcs11:id={id};object={label}")), Err(KeyUriError::TooLong));
    }

    #[test]
    fn no_error_repeats_a_pin() {
        for text in
            ["pkcs11:object=a?pin-value=sesame", "pkcs11:object=a;pin-value=sesame", "pkcs11:object=sesame?sesame"]
        {
            let said = format!("{0} {0:?}", parse(text).unwrap_err());
            assert!(!said.contains("sesame"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            label in "[^\\p{Cc}]{1,40}", token in proptest::option::of("[^\\p{Cc}]{1,32}"),
            id in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40)),
            slot: Option<u64>, module in proptest::option::of("/[^\\p{Cc}]{1,40}"),
        ) {
            let uri = KeyUri {
                token: TokenQuery { label: token, slot, ..TokenQuery::default() },
                key: KeyQuery { label: Some(label), id },
                module: module.map(PathBuf::from),
                pin: None,
            };
            prop_assert_eq!(uri.to_string().parse(), Ok(uri));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(pkcs11:)?[ -~]{0,80}") {
            if let Ok(uri) = text.parse::<KeyUri>() {
                prop_assert_eq!(uri.to_string().parse(), Ok(uri));
            }
        }
    }
}
