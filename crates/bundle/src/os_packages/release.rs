//! The `Release` of an archive: which indexes it has, by SHA-256 (Debian wiki, DebianRepository/Format).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sealock_trust::Digest;

use super::control::{Stanza, StanzaError, StanzaLimits, Stanzas};

/// Indexes of one archive at most.
const MAX_FILES: usize = 200_000;

/// What an archive says of itself. That it is the archive's word is for the caller to see to.
#[derive(Clone, Debug)]
pub struct ReleaseFile {
    /// Who publishes it, like `Debian`.
    pub origin: Option<String>,
    /// Like `stable`.
    pub suite: Option<String>,
    /// Like `bookworm`.
    pub codename: Option<String>,
    /// When it was made.
    pub date: Timestamp,
    /// Until when it is good, where it says so.
    pub valid_until: Option<Timestamp>,
    /// Whether its indexes are also to be had by their digests, so that they can change while they are fetched.
    pub by_hash: bool,
    /// Whether what it has is meant for everybody.
    pub spread: Spread,
    /// Whether what is for all architectures stands in indexes of its own, too.
    pub has_all: bool,
    /// Its indexes, by their paths.
    pub files: BTreeMap<String, IndexFile>,
}

/// For whom the packages of an archive are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spread {
    /// For everybody.
    #[default]
    Automatic,
    /// For who has asked for one, and then its later versions too, like backports (`NotAutomatic`, `ButAutomaticUpgrades`).
    Upgrades,
    /// For who asks, each time (`NotAutomatic`).
    Asked,
}

/// An index in a `Release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
}

/// Why a `Release` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It is no control file, or too large.
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    /// It is not one stanza.
    #[error("it has {} stanzas, and a Release has one", if *.0 == 0 { "no" } else { "several" })]
    Stanzas(usize),
    /// A field is missing.
    #[error("it has no field {0}")]
    Missing(&'static str),
    /// A field is not what it has to be.
    #[error("its field {field} cannot be read: {value:?}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stands there, cut to what can be shown.
        value: String,
    },
    /// It has more indexes than are read.
    #[error("it names more than {MAX_FILES} indexes")]
    Limit,
}

impl ReleaseFile {
    /// Reads the text of a `Release`, without a signature around it.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let stanzas = Stanzas::new(bytes, StanzaLimits::RELEASE).take(2).collect::<Result<Vec<_>, _>>()?;
        let [stanza] = stanzas.as_slice() else { return Err(ReleaseError::Stanzas(stanzas.len())) };
        let text = |name: &str| stanza.get(name).map(str::to_owned);
        let says = |name: &str, word: &str| stanza.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let date = time(stanza, "Date")?.ok_or(ReleaseError::Missing("Date"))?;
        let spread = match (says("NotAutomatic", "yes"), says("ButAutomaticUpgrades", "yes")) {
            (false, _) => Spread::Automatic,
            (true, true) => Spread::Upgrades,
            (true, false) => Spread::Asked,
        };
        let architectures = stanza.get("Architectures").unwrap_or_default();
        Ok(Self {
            origin: text("Origin"),
            suite: text("Suite"),
            codename: text("Codename"),
            date,
            valid_until: time(stanza, "Valid-Until")?,
            spread,
            by_hash: says("Acquire-By-Hash", "yes"),
            has_all: architectures.split_ascii_whitespace().any(|name| name == "all")
                && !says("No-Support-for-Architecture-all", "Packages"),
            files: files(stanza)?,
        })
    }
}

/// As in mails, but that archives write `UTC` for the zone.
fn time(stanza: &Stanza, field: &'static str) -> Result<Option<Timestamp>, ReleaseError> {
    let Some(value) = stanza.get(field) else { return Ok(None) };
    let in_mails = value.strip_suffix("UTC").map_or_else(|| value.to_owned(), |rest| format!("{rest}+0000"));
    let time = rfc2822::DateTimeParser::new().parse_timestamp(&in_mails);
    time.map(Some).map_err(|_| field_error(field, value))
}

fn files(stanza: &Stanza) -> Result<BTreeMap<String, IndexFile>, ReleaseError> {
    let lines = stanza.get("SHA256").ok_or(ReleaseError::Missing("SHA256"))?;
    let mut files = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let unreadable = || field_error("SHA256", line);
        let mut words = line.split_ascii_whitespace();
        let (Some(sum), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(unreadable());
        };
        let digest = format!("sha256:{}", sum.to_ascii_lowercase()).parse().map_err(|_| unreadable())?;
        let file = IndexFile { digest, size: size.parse().map_err(|_| unreadable())? };
        if files.len() == MAX_FILES {
            return Err(ReleaseError::Limit);
        }
        if files.insert(path.to_owned(), file.clone()).is_some_and(|other| other != file) {
            return Err(unreadable());
        }
    }
    Ok(files)
}

fn field_error(field: &'static str, value: &str) -> ReleaseError {
    ReleaseError::Field { field, value: value.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text() -> String {
        format!(
            "Origin: Debian\nSuite: stable-security\nCodename: bookworm-security\nDate: Sat,  7 Nov 2026 09:12:03 UTC\n\
             Valid-Until: Sat, 14 Nov 2026 09:12:03 +0000\nAcquire-By-Hash: yes\nArchitectures: all amd64\n\
             No-Support-for-Architecture-all: Packages\nMD5Sum:\n 0 0 x\nSHA256:\n {SUM}  0 main/binary-amd64/Packages\n {SUM} 32 main/binary-amd64/Packages.xz\n"
        )
    }

    fn refused(text: &str) -> String {
        ReleaseFile::from_bytes(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_release_says_what_there_is() {
        let read = ReleaseFile::from_bytes(text().as_bytes()).unwrap();
        assert_eq!(
            (read.suite.as_deref(), read.codename.as_deref()),
            (Some("stable-security"), Some("bookworm-security"))
        );
        assert_eq!(read.date.to_string(), "2026-11-07T09:12:03Z");
        assert_eq!(read.valid_until.unwrap().to_string(), "2026-11-14T09:12:03Z");
        assert!(read.by_hash && !read.has_all);
        assert_eq!(read.files["main/binary-amd64/Packages.xz"].size, 32);
        let bare =
            text().replace("No-Support-for-Architecture-all: Packages\n", "").replace("Acquire-By-Hash: yes\n", "");
        let read = ReleaseFile::from_bytes(bare.as_bytes()).unwrap();
        assert!(!read.by_hash && read.has_all);
        assert_eq!(read.spread, Spread::Automatic);
        let spread = |more: &str| {
            ReleaseFile::from_bytes(text().replace("Origin:", &format!("{more}Origin:")).as_bytes()).unwrap().spread
        };
        assert_eq!(spread("NotAutomatic: yes\nButAutomaticUpgrades: yes\n"), Spread::Upgrades);
        assert_eq!(spread("NotAutomatic: yes\n"), Spread::Asked);
    }

    #[test]
    fn attack_a_release_without_sha256_is_refused() {
        insta::assert_snapshot!(refused(&text().replace("SHA256:", "SHA1:")), @"it has no field SHA256");
        assert!(refused(&text().replace(SUM, "d41d8cd98f00b204e9800998ecf8427e")).contains("SHA256"));
    }

    #[test]
    fn a_release_that_contradicts_itself_is_refused() {
        let other = format!(" {} 33 main/binary-amd64/Packages.xz\n", SUM.replace('e', "f"));
        assert!(refused(&format!("{}{other}", text())).contains("SHA256"));
        assert!(refused(&format!("{}\nOrigin: x\n", text())).contains("several stanzas"));
        assert!(refused(&text().replace("2026 09:12", "2026 99:12")).contains("Date"));
        assert!(refused(&text().replace("Date: ", "Data: ")).contains("no field Date"));
        assert!(refused(&format!("{}Suite: other\n", text())).contains("twice"));
        assert!(refused("").contains("no stanzas"));
    }
}
