//! Every format of ours, and which of its major versions are read: the one table (docs/formats/README.md).
//!
//! A document says `format: name/major.minor`. A minor version adds only what older readers may leave unread. Of majors, a
//! reader reads the present one and the one before it. Anything else is refused by name, whatever else the document holds, so
//! that nobody looks for damage where only a version differs.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{self, Limits, jcs};
use crate::reason::Code;

macro_rules! formats {
    ($($(#[$doc:meta])* $constant:ident = $name:literal $major:literal . $minor:literal reads $majors:expr, at $at:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $constant: &Format = &Format {
                name: $name,
                current: concat!($name, "/", $major, ".", $minor),
                majors: &$majors,
                at: $at,
            };
        )*

        /// Every format there is.
        pub const ALL: &[&Format] = &[$($constant),*];
    };
}

formats! {
    /// What an application was, each time that it was brought to its cluster.
    APP_REVISIONS = "app-revisions" 1 . 0 reads [1], at "/format";
    /// The table of contents of a backup.
    BACKUP = "backup" 1 . 0 reads [1], at "/format";
    /// What two people sign to let one bundle in.
    BREAK_GLASS = "break-glass" 1 . 0 reads [1], at "/format";
    /// To whom a publisher delegates names.
    DELEGATIONS = "delegations" 1 . 0 reads [1], at "/format";
    /// What `sealock diff -o json` answers; written, never read.
    DIFF = "diff" 1 . 0 reads [1], at "/format";
    /// What a restore drill of a backup came to.
    DRILL = "drill" 1 . 0 reads [1], at "/predicate/format";
    /// What a node says of its gap.
    GAP_REPORT = "gap-report" 1 . 0 reads [1], at "/format";
    /// What a node is asked to probe.
    GAP_REQUEST = "gap-request" 1 . 0 reads [1], at "/format";
    /// What a node says of itself.
    HOST_FACTS = "host-facts" 1 . 0 reads [1], at "/format";
    /// The record of steps; its version is the last byte of what it begins with.
    JOURNAL = "journal" 1 . 0 reads [1], at "";
    /// A layer as its difference from another one; its version stands in `manifest.json`, beside the patch.
    LAYER_PATCH = "layer-patch" 1 . 0 reads [1], at "";
    /// A bundle spec, resolved.
    LOCK = "lock" 1 . 0 reads [1], at "/format";
    /// The signed table of contents of a bundle.
    MANIFEST = "manifest" 1 . 0 reads [1], at "/format";
    /// What a node keeps of its own files.
    NODE_CHANGES = "node-changes" 1 . 0 reads [1], at "/format";
    /// Whose a node is.
    NODE_CLAIM = "node-claim" 1 . 0 reads [1], at "/format";
    /// Which operator a node listens to.
    NODE_FENCE = "node-fence" 1 . 0 reads [1], at "/format";
    /// What a machine needs to join a cluster.
    NODE_JOIN = "node-join" 1 . 0 reads [1], at "/format";
    /// What a node was before an upgrade changed it.
    NODE_KEPT = "node-kept" 1 . 0 reads [1], at "/format";
    /// What of the cluster was as it was before an upgrade changed it.
    NODE_KEPT_OBJECTS = "node-kept-objects" 1 . 0 reads [1], at "/format";
    /// What a node is asked to do.
    NODE_RUN = "node-run" 1 . 0 reads [1], at "/format";
    /// With what the upgrade of a machine by itself was begun.
    NODE_UPGRADE = "node-upgrade" 1 . 0 reads [1], at "/format";
    /// Steps for hosts, and what they are bound to.
    PLAN = "plan" 1 . 0 reads [1], at "/format";
    /// What was pushed to a site's registry; its version stands in the file `epoch` beside the log.
    PUSHED_LOG = "pushed-log" 1 . 0 reads [1], at "/format";
    /// The site's word on a bundle.
    RECEIPT = "receipt" 1 . 0 reads [1], at "/predicate/format";
    /// What a site serves.
    RELEASE = "release" 1 . 0 reads [1], at "/format";
    /// What must not be used any more.
    REVOCATIONS = "revocations" 1 . 0 reads [1], at "/format";
    /// A trust root that lacks signatures.
    ROOT_DRAFT = "root-draft" 1 . 0 reads [1], at "/format";
    /// An answer to a signing request.
    SIGNATURE = "signature" 1 . 0 reads [1], at "/format";
    /// What keyholders elsewhere are asked to sign.
    SIGNING_REQUEST = "signing-request" 1 . 0 reads [1], at "/format";
    /// What two people sign to settle an older trust state.
    RESOLVE_STATE = "resolve-state" 1 . 0 reads [1], at "/format";
    /// The table of contents of a station's backup.
    SITE_BACKUP = "site-backup" 1 . 0 reads [1], at "/format";
    /// Who a site is.
    SITE_ROOT = "site-root" 1 . 0 reads [1], at "/format";
    /// The folder of blobs and releases.
    STORE = "store" 1 . 0 reads [1], at "";
    /// How far a site's memory had come, kept elsewhere.
    TRUST_MIRROR = "trust-mirror" 1 . 0 reads [1], at "/format";
    /// What a site remembers.
    TRUST_STATE = "trust-state" 1 . 0 reads [1], at "/format";
    /// What the checks outside came to; read by people and by in-toto's tools.
    VERDICTS = "verdicts" 1 . 0 reads [1], at "";
    /// A bundle in pieces.
    VOLUMES = "volumes" 1 . 0 reads [1], at "/format";
    /// What a site lacks of a delta's base.
    WANT_LIST = "want-list" 1 . 0 reads [1], at "/format";
}

/// A format of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// What is written: `name/major.minor`.
    pub current: &'static str,
    /// The major versions that are read: the present one, and the one before it where there is one.
    pub majors: &'static [u32],
    /// Where a JSON document says it, as a JSON pointer (RFC 6901); empty where it is said in another way.
    pub at: &'static str,
}

/// A document of a version that is not read here, or of another format altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat {
    /// What it says, cut to what can be shown.
    pub found: String,
    /// What it had to be.
    pub known: &'static Format,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not canonical JSON with the right fields.
    #[error(transparent)]
    Json(json::Error),
    /// Another format or version.
    #[error(transparent)]
    Format(UnknownFormat),
}

/// How a version differs from those that are read.
enum Difference {
    Newer,
    Older,
    Other,
}

/// Reads a document of `format` that must be canonical JSON (RFC 8785); `said` is where it says its format.
///
/// # Errors
/// [`ReadError::Format`] for another format or major, also where the rest of the document makes no sense here for it.
pub fn read<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limits: &Limits,
    format: &'static Format,
    said: impl FnOnce(&T) -> &str,
) -> Result<T, ReadError> {
    match jcs::from_slice::<T>(bytes, limits) {
        Ok(document) => match format.check(said(&document)) {
            Ok(()) => Ok(document),
            Err(unknown) => Err(ReadError::Format(unknown)),
        },
        Err(error) => Err(format.blame(bytes, limits, error)),
    }
}

impl Format {
    /// Whether a document that says `found` can be read.
    ///
    /// # Errors
    /// [`UnknownFormat`].
    pub fn check(&'static self, found: &str) -> Result<(), UnknownFormat> {
        match parse(found) {
            Some((name, major)) if name == self.name && self.majors.contains(&major) => Ok(()),
            _ => Err(UnknownFormat { found: found.chars().take(64).collect(), known: self }),
        }
    }

    /// Whether the JSON text `bytes` can be read, by what it says of itself: before its fields are looked at, where it need
    /// not be canonical. What says nothing, or is no JSON, is left to the reader. The caller bounds its length.
    ///
    /// # Errors
    /// [`UnknownFormat`].
    pub fn look(&'static self, bytes: &[u8]) -> Result<(), UnknownFormat> {
        let value: Option<json::Value> = serde_json::from_slice(bytes).ok();
        let found = value.as_ref().and_then(|value| value.pointer(self.at)).and_then(json::Value::as_str);
        found.map_or(Ok(()), |found| self.check(found))
    }

    /// The major version that is written.
    pub fn major(&self) -> u32 {
        parse(self.current).map_or(0, |(_, major)| major)
    }

    /// A document that this reader does not understand is first of all one of another version, if it says so.
    fn blame(&'static self, bytes: &[u8], limits: &Limits, error: json::Error) -> ReadError {
        if !matches!(error, json::Error::Schema(_) | json::Error::NotCanonical) {
            return ReadError::Json(error);
        }
        let value = json::parse(bytes, limits).ok();
        let found = value.as_ref().and_then(|value| value.pointer(self.at)).and_then(json::Value::as_str);
        match found.map(|found| self.check(found)) {
            Some(Err(unknown)) => ReadError::Format(unknown),
            _ => ReadError::Json(error),
        }
    }
}

impl ReadError {
    /// The error of whoever reads: one for each of the two.
    pub fn either<E>(self, json: impl FnOnce(json::Error) -> E, format: impl FnOnce(UnknownFormat) -> E) -> E {
        match self {
            Self::Json(error) => json(error),
            Self::Format(error) => format(error),
        }
    }
}

/// Name and major of `name/major.minor`, in the one spelling that there is.
fn parse(text: &str) -> Option<(&str, u32)> {
    let (name, version) = text.split_once('/')?;
    let (major, minor) = version.split_once('.')?;
    let number = |text: &str| -> Option<u32> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| plain)
    };
    number(minor)?;
    Some((name, number(major)?))
}

impl UnknownFormat {
    fn difference(&self) -> Difference {
        match parse(&self.found) {
            Some((name, major)) if name == self.known.name && self.known.majors.iter().all(|known| major > *known) => {
                Difference::Newer
            }
            Some((name, major)) if name == self.known.name && self.known.majors.iter().all(|known| major < *known) => {
                Difference::Older
            }
            _ => Difference::Other,
        }
    }

    /// `FORMAT`.
    pub fn code(&self) -> Code {
        Code::Format
    }

    /// True: the same document is refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.difference() {
            Difference::Newer => Some(
                "a newer Sealock wrote it: update this one first; at a station `sealock site update` takes it from an accepted bundle",
            ),
            Difference::Older => Some(
                "it is older than what this Sealock reads: take a Sealock of the major version in between to read it, and to write it anew",
            ),
            Difference::Other => None,
        }
    }
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, name) = (self.found.escape_debug(), self.known.name);
        let majors: Vec<String> = self.known.majors.iter().map(|major| format!("{name}/{major}")).collect();
        let majors = majors.join(" and ");
        match self.difference() {
            Difference::Newer => write!(f, "{found} is newer than {majors}, which this Sealock reads"),
            Difference::Older => write!(f, "{found} is older than {majors}, which this Sealock reads"),
            Difference::Other => write!(f, "it says that its format is \"{found}\", and {majors} is read here"),
        }
    }
}

impl std::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    #[test]
    fn of_each_format_the_present_major_and_the_one_before_it_are_read() {
        let names: BTreeSet<&str> = ALL.iter().map(|format| format.name).collect();
        assert_eq!(names.len(), ALL.len());
        for format in ALL {
            let major = format.major();
            let rule: Vec<u32> = (major.saturating_sub(1).max(1)..=major).collect();
            assert_eq!(format.majors, rule, "{}", format.name);
            assert_eq!(format.check(format.current), Ok(()));
            assert_eq!(format.check(&format!("{}/{major}.99", format.name)), Ok(()), "a newer minor is read");
        }
    }

    #[test]
    fn other_versions_and_names_are_told_apart() {
        let told = |found: &str| {
            let unknown = LOCK.check(found).unwrap_err();
            format!("{unknown} / {}", unknown.hint().unwrap_or("-"))
        };
        insta::assert_snapshot!(told("lock/2.0"), @"lock/2.0 is newer than lock/1, which this Sealock reads / a newer Sealock wrote it: update this one first; at a station `sealock site update` takes it from an accepted bundle");
        insta::assert_snapshot!(told("lock/0.9"), @"lock/0.9 is older than lock/1, which this Sealock reads / it is older than what this Sealock reads: take a Sealock of the major version in between to read it, and to write it anew");
        insta::assert_snapshot!(told("manifest/1.0"), @r#"it says that its format is "manifest/1.0", and lock/1 is read here / -"#);
        for found in [
            "",
            "lock",
            "lock/1",
            "lock/01.0",
            "lock/+1.0",
            "lock/1.x",
            "lock/1.",
            "lock/99999999999.0",
            "lock/1.0\n",
            "\u{1b}[2J",
        ] {
            assert!(LOCK.check(found).is_err(), "{found:?}");
            assert!(!told(found).contains('\u{1b}'));
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        format: String,
    }

    #[test]
    fn another_version_is_told_before_anything_else_that_differs() {
        let read = |text: &str| read::<Sample>(text.as_bytes(), &Limits::DOCUMENT, LOCK, |sample| &sample.format);
        assert!(read(r#"{"format":"lock/1.7"}"#).is_ok());
        for text in [r#"{"format":"lock/2.0"}"#, r#"{"added":1,"format":"lock/2.0"}"#] {
            assert!(matches!(read(text), Err(ReadError::Format(_))), "{text}");
        }
        for text in [r#"{"added":1,"format":"lock/1.0"}"#, r#"{"format":["lock/2.0"]}"#, r#"{"format":"lock/2.0",}"#] {
            assert!(matches!(read(text), Err(ReadError::Json(_))), "{text}");
        }
    }
}
