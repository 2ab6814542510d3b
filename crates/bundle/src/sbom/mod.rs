//! Reads SBOMs: SPDX 2.2 and 2.3, and CycloneDX 1.x, as JSON, bare or as the predicate of an in-toto statement.
//!
//! Only what a reviewer compares is kept: packages, versions, licences. An SBOM is what its maker says; nothing is
//! proven by it.

mod cyclonedx;
mod made;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plain::Plain;

pub use made::{SPDX, reproducible};

/// Bytes of one SBOM at most.
pub const MAX_BYTES: u64 = 32 << 20;

/// Packages of one SBOM at most.
pub const MAX_PACKAGES: usize = 100_000;

/// Media types that hold an SBOM. In-toto statements and their envelopes may hold other things, which is then said.
pub const MEDIA_TYPES: &[&str] = &[
    "application/spdx+json",
    "text/spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.in-toto+json",
    "application/vnd.dsse.envelope.v1+json",
];

/// Whether a blob of this media type may hold an SBOM.
pub fn is_media_type(media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    MEDIA_TYPES.iter().any(|known| known.eq_ignore_ascii_case(bare))
}

/// How an SBOM is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// SPDX.
    Spdx,
    /// CycloneDX.
    Cyclonedx,
}

/// The packages that an SBOM names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// How it is written.
    pub format: Format,
    /// By name, with all versions; sorted.
    pub packages: BTreeMap<Plain, Versions>,
}

/// What an SBOM says about the packages of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The versions; an empty one where the SBOM names none.
    pub versions: BTreeSet<Plain>,
    /// The licences, as SPDX expressions or free names; empty where the SBOM says nothing.
    pub licences: BTreeSet<Plain>,
}

/// Why a blob is not read as an SBOM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SbomError {
    /// More bytes or packages than are read.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The allowed count.
        limit: u64,
    },
    /// Neither format, or damaged.
    #[error("it is no SBOM in SPDX 2 or CycloneDX 1 JSON: {0}")]
    Form(Plain),
    /// An attestation of something else.
    #[error("it attests something other than an SBOM: {0}")]
    OtherPredicate(Plain),
}

impl Sbom {
    /// Reads one SBOM, an in-toto statement with one, or its DSSE envelope. The envelope's signature is not looked at.
    ///
    /// # Errors
    /// When it is too large, damaged, or something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SbomError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(SbomError::Limit { what: "bytes", limit: MAX_BYTES });
        }
        let head: Head = parse(bytes)?;
        match head {
            Head { payload: Some(payload), .. } => {
                let statement = BASE64_STANDARD.decode(payload).map_err(|error| SbomError::Form(Plain::of(error)))?;
                Self::of_statement(&statement)
            }
            Head { predicate_type: Some(_), .. } => Self::of_statement(bytes),
            head => Self::of_document(&head, bytes),
        }
    }

    fn of_statement(bytes: &[u8]) -> Result<Self, SbomError> {
        let statement: Statement<'_> = parse(bytes)?;
        let kind = statement.predicate_type;
        if !(kind.starts_with("https://spdx.dev/Document") || kind.starts_with("https://cyclonedx.org/bom")) {
            return Err(SbomError::OtherPredicate(Plain::of(kind)));
        }
        let document = statement.predicate.get().as_bytes();
        Self::of_document(&parse(document)?, document)
    }

    fn of_document(head: &Head, bytes: &[u8]) -> Result<Self, SbomError> {
        let mut packages = Packages::default();
        let format = match head {
            Head { spdx: Some(version), .. } if version.starts_with("SPDX-2.") => {
                spdx::read(bytes, &mut packages)?;
                Format::Spdx
            }
            Head { cyclonedx: Some(name), spec: Some(version), .. }
                if name == "CycloneDX" && version.starts_with("1.") =>
            {
                cyclonedx::read(bytes, &mut packages)?;
                Format::Cyclonedx
            }
            _ => return Err(SbomError::Form(Plain::of("neither spdxVersion SPDX-2.x nor specVersion 1.x"))),
        };
        Ok(Self { format, packages: packages.by_name })
    }

    /// How many packages, each version counted.
    pub fn count(&self) -> usize {
        self.packages.values().map(|package| package.versions.len()).sum()
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "spdxVersion")]
    spdx: Option<String>,
    #[serde(rename = "bomFormat")]
    cyclonedx: Option<String>,
    #[serde(rename = "specVersion")]
    spec: Option<String>,
    #[serde(rename = "predicateType")]
    predicate_type: Option<String>,
    payload: Option<String>,
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: &'a serde_json::value::RawValue,
}

/// serde_json stops at 127 levels by itself.
fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SbomError> {
    serde_json::from_slice(bytes).map_err(|error| SbomError::Form(Plain::of(error)))
}

/// Packages as they are collected, counted.
#[derive(Debug, Default)]
struct Packages {
    by_name: BTreeMap<Plain, Versions>,
    count: usize,
}

impl Packages {
    fn add(&mut self, name: &str, version: &str, licences: impl Iterator<Item = String>) -> Result<(), SbomError> {
        self.count += 1;
        if self.count > MAX_PACKAGES {
            return Err(SbomError::Limit { what: "packages", limit: MAX_PACKAGES as u64 });
        }
        let package = self.by_name.entry(Plain::of(name)).or_default();
        package.versions.insert(Plain::of(version));
        package.licences.extend(licences.map(Plain::of));
        Ok(())
    }
}

/// A package URL without version, qualifiers and subpath: `pkg:golang/golang.org/x/net`.
fn purl_name(purl: &str) -> Option<&str> {
    let path = purl.strip_prefix("pkg:").map(|_| purl)?.split(['?', '#']).next()?;
    let version = path.rfind('@').filter(|at| !path.get(*at..).unwrap_or_default().contains('/'));
    Some(version.map_or(path, |at| path.get(..at).unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","packages":[
        {"name":"image","versionInfo":"1","primaryPackagePurpose":"CONTAINER"},
        {"name":"openssl","versionInfo":"3.0.1","licenseConcluded":"NOASSERTION","licenseDeclared":"Apache-2.0",
         "externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/openssl@3.0.1?arch=amd64"}]},
        {"name":"left-pad"}]}"#;
    const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","group":"org.x","name":"y","version":"2","licenses":[{"license":{"id":"MIT"}},{"expression":"ISC OR MIT"}],
         "components":[{"type":"library","name":"inner","version":"7","purl":"pkg:npm/%40a/inner@7"}]}]}"#;

    fn list(bytes: &[u8]) -> String {
        let sbom = Sbom::from_bytes(bytes).unwrap();
        let package =
            |(name, package): (&Plain, &Versions)| format!("{name} {:?} {:?}\n", package.versions, package.licences);
        sbom.packages.iter().map(package).collect()
    }

    #[test]
    fn both_formats_are_read() {
        insta::assert_snapshot!(list(SPDX.as_bytes()), @r#"
        left-pad {Plain("")} {}
        pkg:deb/debian/openssl {Plain("3.0.1")} {Plain("Apache-2.0")}
        "#);
        insta::assert_snapshot!(list(CYCLONEDX.as_bytes()), @r#"
        org.x/y {Plain("2")} {Plain("ISC OR MIT"), Plain("MIT")}
        pkg:npm/%40a/inner {Plain("7")} {}
        "#);
    }

    #[test]
    fn a_statement_and_its_envelope_are_opened() {
        let statement = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document","predicate":{SPDX}}}"#
        );
        assert_eq!(list(statement.as_bytes()), list(SPDX.as_bytes()));
        let envelope = format!(
            r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{}","signatures":[]}}"#,
            BASE64_STANDARD.encode(&statement)
        );
        assert_eq!(list(envelope.as_bytes()), list(SPDX.as_bytes()));
        let other = statement.replace("https://spdx.dev/Document", "https://slsa.dev/provenance/v1");
        assert!(matches!(Sbom::from_bytes(other.as_bytes()), Err(SbomError::OtherPredicate(_))));
    }

    #[test]
    fn what_is_hostile_is_an_error_and_no_panic() {
        let deep = format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":{}}}"#,
            r#"[{"name":"a","components":"#.repeat(200)
        );
        let twice = SPDX.replace(r#""packages":"#, r#""packages":[],"packages":"#);
        let many = format!(
            r#"{{"spdxVersion":"SPDX-2.3","packages":[{}{{"name":"a"}}]}}"#,
            r#"{"name":"a"},"#.repeat(MAX_PACKAGES)
        );
        for bytes in
            [deep.as_bytes(), twice.as_bytes(), many.as_bytes(), b"", b"[]", b"{}", b"\xff", br#"{"payload":"%"}"#]
        {
            assert!(Sbom::from_bytes(bytes).is_err());
        }
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        let sbom = Sbom::from_bytes(SPDX.replace("left-pad", r"\u001b[2Jleft\u202e").as_bytes()).unwrap();
        assert!(sbom.packages.keys().any(|name| name.as_str() == r"\u{1b}[2Jleft\u{202e}"));
    }

    #[test]
    fn a_package_url_loses_its_version_only() {
        assert_eq!(purl_name("pkg:npm/%40a/b@1.0?x=y#z"), Some("pkg:npm/%40a/b"));
        assert_eq!(purl_name("pkg:npm/@a/b"), Some("pkg:npm/@a/b"));
        assert_eq!(purl_name("openssl"), None);
    }
}
