//! How a person names a key: a file, a `pkcs11:` URI, or a file that holds such a URI.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::builder::{MapValueParser, OsStringValueParser, TypedValueParser as _, ValueParserFactory};
use sealock_trust::signer::{KeyUri, URI_PREFIX};

use crate::error::{CommandError, Result};

/// No file that holds a URI is longer; in bytes.
const MAX_URI_FILE: u64 = 8 << 10;

/// A key as it was named on the command line. It is looked at when the key is wanted: what is wrong with a URI is told
/// without repeating it, for somebody may have written a PIN into it.
#[derive(Clone)]
pub struct KeyName(OsString);

/// Where a key is.
#[derive(Debug)]
pub enum KeyPlace {
    /// In this file.
    File(PathBuf),
    /// In a token.
    Token(Box<KeyUri>),
}

impl KeyName {
    /// Where the key is.
    ///
    /// # Errors
    /// The URI cannot be read, or the file that holds it.
    pub fn place(&self) -> Result<KeyPlace> {
        if let Some(uri) = uri_in(&self.0) {
            return parse(uri).map_err(|error| error.context("the key's `pkcs11:` URI"));
        }
        let path = self.as_path();
        match uri_in_file(path)? {
            Some(uri) => parse(&uri).map_err(|error| error.context(format!("the URI in {}", path.display()))),
            None => Ok(KeyPlace::File(path.to_owned())),
        }
    }

    /// As a path; of no use where it is a URI.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// Whether it is a URI itself.
    pub fn is_uri(&self) -> bool {
        uri_in(&self.0).is_some()
    }

    /// As it was typed, where that is text.
    pub fn as_text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn uri_in(text: &OsStr) -> Option<&str> {
    text.to_str().filter(|text| text.starts_with(URI_PREFIX))
}

fn parse(uri: &str) -> Result<KeyPlace> {
    let parsed = uri.parse().map(|uri| KeyPlace::Token(Box::new(uri)));
    parsed.map_err(|error: sealock_trust::signer::KeyUriError| CommandError::usage(error.to_string()))
}

/// The URI that a file holds in place of a key. A file that is not there, or is something else, is for others to judge.
fn uri_in_file(path: &Path) -> Result<Option<String>> {
    let mut text = String::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(MAX_URI_FILE + 1).read_to_string(&mut text));
    if file.is_err() || !text.starts_with(URI_PREFIX) {
        return Ok(None);
    }
    let uri = text.trim_end();
    if text.len() as u64 > MAX_URI_FILE || uri.contains('\n') {
        let problem = format!("{} begins with a `pkcs11:` URI, and holds more than that", path.display());
        return Err(CommandError::usage(problem));
    }
    Ok(Some(uri.to_owned()))
}

impl<P: Into<PathBuf>> From<P> for KeyName {
    fn from(path: P) -> Self {
        Self(path.into().into_os_string())
    }
}

/// The path, or the URI as far as it can be read.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match uri_in(&self.0).map(str::parse::<KeyUri>) {
            None => self.as_path().display().fmt(f),
            Some(Ok(uri)) => uri.fmt(f),
            Some(Err(_)) => f.write_str("the key's `pkcs11:` URI"),
        }
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({self})")
    }
}

impl ValueParserFactory for KeyName {
    type Parser = MapValueParser<OsStringValueParser, fn(OsString) -> Self>;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_a_uri_or_a_file_with_a_uri() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            KeyName::from(path)
        };
        assert!(matches!(KeyName::from("keys/a.pem").place(), Ok(KeyPlace::File(_))));
        assert!(matches!(KeyName::from("pkcs11:object=a").place(), Ok(KeyPlace::Token(_))));
        assert!(matches!(file("a.uri", "pkcs11:object=a\n").place(), Ok(KeyPlace::Token(_))));
        assert!(matches!(file("a.pem", "-----BEGIN PRIVATE KEY-----").place(), Ok(KeyPlace::File(_))));
        assert!(file("two.uri", "pkcs11:object=a\npkcs11:object=b\n").place().is_err());
        assert!(file("long.uri", &format!("pkcs11:object=a{}", " ".repeat(9000))).place().is_err());
    }

    #[test]
    fn a_pin_that_was_typed_is_never_shown() {
        let name = KeyName::from("pkcs11:object=a?pin-value=sesame");
        let error = name.place().unwrap_err();
        let shown = format!("{name} {name:?} {:?} {:?}", error.chain(), error.hints());
        assert!(shown.contains("pin-value") && !shown.contains("sesame"), "{shown}");
    }
}
