//! Names and bcrypt hashes, as `htpasswd -B` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::credentials::{ROBOT_PREFIX, TOKEN_USER};
use super::error::AccessError;
use super::identity::is_name;

/// Longest file, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// A hash that costs more keeps a processor busy for seconds: 2 to the power of this many rounds.
pub const HIGHEST_COST: u32 = 12;

/// The cost of the hashes that are made here.
pub const COST: u32 = 10;

/// Longest password, in bytes: bcrypt looks at no more, so a longer one would be another's too.
pub const LONGEST_PASSWORD: usize = 72;

/// Who may log in, with the hash of their password.
#[derive(Default)]
pub(crate) struct Htpasswd {
    hashes: BTreeMap<Box<str>, Box<str>>,
    /// What somebody's is compared with whom nobody knows: it costs as much as the dearest of the others.
    nobody: Option<Box<str>>,
}

impl Htpasswd {
    /// Reads `text`, the content of the file `path`.
    ///
    /// # Errors
    /// [`AccessError::Htpasswd`], with the line.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, AccessError> {
        let mut hashes = BTreeMap::new();
        let mut dearest = 0;
        for (number, line) in text.lines().enumerate() {
            let wrong = |problem| AccessError::Htpasswd { path: path.to_owned(), line: number + 1, problem };
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or_else(|| wrong("there is no colon between name and hash"))?;
            check_name(name).map_err(wrong)?;
            dearest = dearest.max(cost(hash).map_err(wrong)?);
            if hashes.insert(name.into(), hash.into()).is_some() {
                return Err(wrong("this name stands twice"));
            }
        }
        let nobody = (dearest > 0).then(|| format!("$2b${dearest:02}${}", ".".repeat(53)).into());
        Ok(Self { hashes, nobody })
    }

    /// The hash of the password of `name`.
    pub(crate) fn hash(&self, name: &str) -> Option<&str> {
        self.hashes.get(name).map(|hash| &**hash)
    }

    /// A hash that is nobody's, so that it takes as long to be told that a name is unknown as that a password is wrong.
    pub(crate) fn nobody(&self) -> Option<&str> {
        self.nobody.as_deref()
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Hashes stay out of logs.
impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Htpasswd").field("names", &self.hashes.len()).finish_non_exhaustive()
    }
}

/// Whether somebody may be called `name`.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if !is_name(name) || name.contains([':', '/', '*']) || name.contains(char::is_whitespace) {
        return Err("this is no name: printable characters without blanks, colon, slash or star");
    }
    if name == TOKEN_USER || name.starts_with(ROBOT_PREFIX) {
        return Err("this name is reserved: `token` and `robot+…` are who logs in with tokens and as robots");
    }
    Ok(())
}

/// The cost of a bcrypt hash.
fn cost(hash: &str) -> Result<u32, &'static str> {
    const NO_BCRYPT: &str = "the hash is not one of bcrypt: `htpasswd -B` and `sealock registry password` make such";
    let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|start| hash.strip_prefix(start)).ok_or(NO_BCRYPT)?;
    let (cost, rest) = rest.split_once('$').ok_or(NO_BCRYPT)?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    if cost.len() != 2 || rest.len() != 53 || !rest.bytes().all(is_base64) {
        return Err(NO_BCRYPT);
    }
    match cost.parse() {
        Ok(cost @ 4..=HIGHEST_COST) => Ok(cost),
        Ok(_) => Err("the hash is too dear to verify, or of no use: the cost of bcrypt is 4 to 12 here"),
        Err(_) => Err(NO_BCRYPT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Htpasswd, String> {
        Htpasswd::parse(Path::new("users"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_hashes_are_read() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let users = parse(&format!("# people\n\nanna:{hash}\nben:{}\n", hash.replace("$2b$", "$2y$"))).unwrap();
        assert_eq!(users.hash("anna"), Some(&*hash));
        assert_eq!((users.len(), users.hash("carl")), (2, None));
        assert_eq!(bcrypt::verify("secret", users.nobody().unwrap()).ok(), Some(false));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_line() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        insta::assert_snapshot!(parse("anna").unwrap_err(), @"users:1: there is no colon between name and hash");
        insta::assert_snapshot!(parse("\nanna:{SHA}x").unwrap_err(), @"users:2: the hash is not one of bcrypt: `htpasswd -B` and `sealock registry password` make such");
        insta::assert_snapshot!(parse(&format!("anna:{}", hash.replace("$04$", "$17$"))).unwrap_err(), @"users:1: the hash is too dear to verify, or of no use: the cost of bcrypt is 4 to 12 here");
        insta::assert_snapshot!(parse(&format!("a:{hash}\na:{hash}")).unwrap_err(), @"users:2: this name stands twice");
        insta::assert_snapshot!(parse(&format!("token:{hash}")).unwrap_err(), @"users:1: this name is reserved: `token` and `robot+…` are who logs in with tokens and as robots");
        insta::assert_snapshot!(parse(&format!("a b:{hash}")).unwrap_err(), @"users:1: this is no name: printable characters without blanks, colon, slash or star");
    }
}
