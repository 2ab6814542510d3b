//! The index of a set: a `Packages` file for a folder that holds the packages themselves.

use sealock_trust::Digest;

use super::control::{Stanza, StanzaError, StanzaLimits, Stanzas};
use super::version::{ParseVersionError, Version};

/// Packages of one set at most: their descriptors fit into one OCI manifest.
pub const MAX_PACKAGES: usize = 4000;
/// Bytes of a set's index at most: the lock holds it.
pub const MAX_INDEX: usize = 8 << 20;
/// No package is larger; in bytes.
const MAX_SIZE: u64 = 16 << 30;
const MAX_NAME: usize = 128;
const MAX_ARCHITECTURE: usize = 32;

/// The fields that are kept of a stanza, in this order: all that `apt` decides by. What decides about a slow spread at the
/// vendor's (`Phased-Update-Percentage`) is not among them: a site decides for itself.
const KEPT: [&str; 21] = [
    "Package",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Essential",
    "Protected",
    "Important",
    "Priority",
    "Section",
    "Installed-Size",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Enhances",
    "Description",
];

/// One package in an index.
#[derive(Clone, Debug)]
pub struct Packaged {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// As Debian names it: `amd64`, `all`.
    pub architecture: String,
    /// Where it is, as the index says: below the archive's address.
    pub path: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
    /// The fields that are kept, one a line: an index of everything there is takes little memory so.
    kept: Box<str>,
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is no control file, or too large.
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    /// A stanza lacks a field.
    #[error("a package{} has no {field}", named(.name.as_deref()))]
    Missing {
        /// The package, where it has a name.
        name: Option<String>,
        /// The field.
        field: &'static str,
    },
    /// A field holds what none may hold.
    #[error("{name} has the {field} {value:?}, which is none")]
    Field {
        /// The package.
        name: String,
        /// The field.
        field: &'static str,
        /// What stands there, cut to what can be shown.
        value: String,
    },
    /// Its version is none.
    #[error("{name}")]
    Version {
        /// The package.
        name: String,
        /// What is wrong with it.
        source: ParseVersionError,
    },
    /// Two packages would have one file name.
    #[error("two packages would be the file {0}")]
    Twice(String),
    /// More than is carried.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

fn named(name: Option<&str>) -> String {
    name.map(|name| format!(" called {name}")).unwrap_or_default()
}

impl IndexError {
    /// Whether only this one package is wrong, and the rest of the index can be read.
    pub fn is_of_one_package(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Field { .. } | Self::Version { .. })
    }
}

impl Packaged {
    /// Reads a stanza of an index.
    ///
    /// # Errors
    /// [`IndexError`], where [`IndexError::is_of_one_package`].
    pub fn of(stanza: &Stanza) -> Result<Self, IndexError> {
        let shown = |text: &str| text.chars().take(80).collect::<String>();
        let name = stanza.get("Package").ok_or(IndexError::Missing { name: None, field: "Package" })?;
        let wrong = |field, value: &str| IndexError::Field { name: shown(name), field, value: shown(value) };
        let field = |field| {
            let missing = || IndexError::Missing { name: Some(shown(name)), field };
            stanza.get(field).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        if !is_package_name(name) {
            return Err(wrong("Package", name));
        }
        let version = field("Version")?;
        let version = version.parse().map_err(|source| IndexError::Version { name: name.to_owned(), source })?;
        let architecture = field("Architecture")?;
        if !is_architecture(architecture) {
            return Err(wrong("Architecture", architecture));
        }
        let path = field("Filename")?;
        if !is_path(path) {
            return Err(wrong("Filename", path));
        }
        let size = field("Size")?;
        let size_of = size.parse().ok().filter(|number| *number > 0 && *number <= MAX_SIZE);
        let sum = field("SHA256")?;
        let digest = format!("sha256:{}", sum.to_ascii_lowercase()).parse().map_err(|_| wrong("SHA256", sum))?;
        Ok(Self {
            name: name.to_owned(),
            version,
            architecture: architecture.to_owned(),
            path: path.to_owned(),
            digest,
            size: size_of.ok_or_else(|| wrong("Size", size))?,
            kept: kept(stanza),
        })
    }

    /// The file that it is in the folder of a set.
    pub fn file_name(&self) -> String {
        file_name(&self.name, &self.version, &self.architecture)
    }

    /// A field that is kept, such as `Depends`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.kept.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// How many bytes of text are kept of it.
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    fn write(&self, text: &mut String) {
        text.push_str(&self.kept);
        push_field(text, "Filename", &format!("./{}", self.file_name()));
        push_field(text, "Size", &self.size.to_string());
        push_field(text, "SHA256", self.digest.hex());
        text.push('\n');
    }
}

fn push_field(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str(": ");
    text.push_str(value);
    text.push('\n');
}

/// What is kept of a stanza: of a description the first line, since the rest tells `apt` nothing, and other values on one line.
fn kept(stanza: &Stanza) -> Box<str> {
    let mut text = String::new();
    for name in KEPT {
        let Some(value) = stanza.get(name).filter(|value| !value.is_empty()) else { continue };
        match name {
            "Description" => push_field(&mut text, name, value.lines().next().unwrap_or_default()),
            _ => push_field(&mut text, name, &value.replace('\n', " ")),
        }
    }
    text.into()
}

/// The file of a package in the folder of a set: as pools of archives name it, without the epoch.
pub fn file_name(name: &str, version: &Version, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.without_epoch())
}

/// The index of `packages`: sorted by name, then version, then architecture.
///
/// # Errors
/// [`IndexError::Twice`], [`IndexError::Limit`].
pub fn index_of(packages: &mut [Packaged]) -> Result<Vec<u8>, IndexError> {
    if packages.len() > MAX_PACKAGES {
        return Err(IndexError::Limit { what: "packages", limit: MAX_PACKAGES });
    }
    packages.sort_by(|a, b| {
        (&a.name, &a.version, &a.architecture, &a.digest).cmp(&(&b.name, &b.version, &b.architecture, &b.digest))
    });
    check_files(packages)?;
    let mut text = String::new();
    packages.iter().for_each(|package| package.write(&mut text));
    if text.len() > MAX_INDEX {
        return Err(IndexError::Limit { what: "bytes", limit: MAX_INDEX });
    }
    Ok(text.into_bytes())
}

/// The packages of an index that [`index_of`] wrote.
///
/// # Errors
/// [`IndexError`]: it is damaged, or somebody else's.
pub fn packages_of(bytes: &[u8]) -> Result<Vec<Packaged>, IndexError> {
    if bytes.len() > MAX_INDEX {
        return Err(IndexError::Limit { what: "bytes", limit: MAX_INDEX });
    }
    let mut packages = Vec::new();
    for stanza in Stanzas::new(bytes, StanzaLimits::INDEX) {
        let package = Packaged::of(&stanza?)?;
        if package.path != format!("./{}", package.file_name()) {
            return Err(IndexError::Field { name: package.name, field: "Filename", value: package.path });
        }
        packages.push(package);
        if packages.len() > MAX_PACKAGES {
            return Err(IndexError::Limit { what: "packages", limit: MAX_PACKAGES });
        }
    }
    check_files(&packages)?;
    Ok(packages)
}

fn check_files(packages: &[Packaged]) -> Result<(), IndexError> {
    let mut files = std::collections::BTreeSet::new();
    let twice = packages.iter().map(Packaged::file_name).find(|file| !files.insert(file.clone()));
    twice.map_or(Ok(()), |file| Err(IndexError::Twice(file)))
}

/// Debian Policy Manual, 5.6.7.
pub(crate) fn is_package_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(alphanumeric)
        && name.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_architecture(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= MAX_ARCHITECTURE && name.bytes().all(legal)
}

/// A path below the archive: it leads nowhere else. What stands in it as `%` has to be written `%25` in an address.
fn is_path(path: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'~' | b':' | b'^' | b'@' | b'=' | b',' | b'%')
    };
    let part = |part: &str| !part.is_empty() && part != ".." && part.bytes().all(legal);
    path.len() <= 1024 && path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn stanza(change: impl Fn(&str) -> String) -> Stanza {
        let text = change(&format!(
            "Package: hello\nVersion: 1:2.10-3\nArchitecture: amd64\nMaintainer: x\nDepends: libc6 (>= 2.34),\n libx\nTag: a\nMulti-Arch: foreign\n\
             Description: says hello\n in more words\nFilename: pool/main/h/hello/hello_2.10-3_amd64.deb\nSize: 53080\nMD5sum: x\nSHA256: {SUM}\n"
        ));
        Stanzas::new(text.as_bytes(), StanzaLimits::INDEX).next().unwrap().unwrap()
    }

    fn refused(from: &str, to: &str) -> String {
        Packaged::of(&stanza(|text| text.replace(from, to))).unwrap_err().to_string()
    }

    #[test]
    fn an_index_says_what_apt_decides_by() {
        let one = Packaged::of(&stanza(str::to_owned)).unwrap();
        let other = Packaged::of(&stanza(|text| text.replace("hello", "adduser").replace("1:2.10", "3.134"))).unwrap();
        let index = index_of(&mut [one, other]).unwrap();
        insta::assert_snapshot!(String::from_utf8(index.clone()).unwrap(), @"
        Package: adduser
        Version: 3.134-3
        Architecture: amd64
        Multi-Arch: foreign
        Depends: libc6 (>= 2.34), libx
        Description: says adduser
        Filename: ./adduser_3.134-3_amd64.deb
        Size: 53080
        SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

        Package: hello
        Version: 1:2.10-3
        Architecture: amd64
        Multi-Arch: foreign
        Depends: libc6 (>= 2.34), libx
        Description: says hello
        Filename: ./hello_2.10-3_amd64.deb
        Size: 53080
        SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        ");
        let read = packages_of(&index).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(index_of(&mut read.clone()).unwrap(), index);
    }

    #[test]
    fn attack_a_path_that_leads_out_of_the_archive_is_refused() {
        for path in
            ["../../etc/shadow", "/etc/shadow", "pool/../../x", "pool//x", "pool/x?y", "pool/x#y", "pool\\x", "pool/ x"]
        {
            assert!(refused("pool/main/h/hello/hello_2.10-3_amd64.deb", path).contains("Filename"), "{path}");
        }
    }

    #[test]
    fn attack_a_name_that_becomes_another_file_is_refused() {
        for name in ["../x", "-rf", "Hello", "a b", "a/b", "a_b", "."] {
            assert!(refused("Package: hello", &format!("Package: {name}")).contains("Package"), "{name}");
        }
        assert!(refused("Architecture: amd64", "Architecture: ../x").contains("Architecture"));
        assert!(!refused("Version: 1:2.10-3", "Version: ../1").is_empty());
    }

    #[test]
    fn attack_a_package_without_a_sha256_is_refused() {
        insta::assert_snapshot!(refused(&format!("SHA256: {SUM}\n"), ""), @"a package called hello has no SHA256");
        insta::assert_snapshot!(refused(SUM, "d41d8cd98f00b204e9800998ecf8427e"), @r#"hello has the SHA256 "d41d8cd98f00b204e9800998ecf8427e", which is none"#);
        insta::assert_snapshot!(refused("Size: 53080", "Size: -1"), @r#"hello has the Size "-1", which is none"#);
        insta::assert_snapshot!(refused("Size: 53080", "Size: 99999999999999"), @r#"hello has the Size "99999999999999", which is none"#);
    }

    #[test]
    fn an_index_that_is_not_ours_is_refused() {
        let index = |change: &dyn Fn(&str) -> String| {
            let mut one = [Packaged::of(&stanza(str::to_owned)).unwrap()];
            let text = String::from_utf8(index_of(&mut one).unwrap()).unwrap();
            packages_of(change(&text).as_bytes()).unwrap_err().to_string()
        };
        assert!(index(&|text| text.replace("Filename: ./hello", "Filename: ./../hello")).contains("Filename"));
        assert!(index(&|text| text.replace("Filename: ./hello", "Filename: ./other")).contains("Filename"));
        assert!(index(&|text| format!("{text}{text}")).contains("two packages would be the file"));
        // Epochs stand in no file name.
        assert!(
            index(&|text| format!("{text}{}", text.replace("1:2.10", "2:2.10"))).contains("hello_2.10-3_amd64.deb")
        );
    }
}
