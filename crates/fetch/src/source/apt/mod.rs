//! Archives of Debian packages: what they offer, and what of it a set needs.
//!
//! Nothing here asks anybody: `resolve::os_packages` fetches, and has checked signatures and sums before it calls.

mod choose;
mod error;
mod installed;
mod pool;
mod unpack;

use sealock_bundle::os_packages::ReleaseFile;
use sealock_bundle::spec::AptArchive;
use url::Url;

pub(crate) use choose::{Wanted, choose};
pub use error::AptError;
pub(crate) use installed::Installed;
pub(crate) use pool::{Offered, Pool};
pub(crate) use unpack::{Compression, read_index};

/// An archive of the spec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archive<'a>(pub(crate) &'a AptArchive);

impl Archive<'_> {
    /// What a person calls it, as a line of `sources.list` does: `https://archive.example.org/debian bookworm`.
    pub(crate) fn label(self) -> String {
        format!("{} {}", self.base(), self.0.suite)
    }

    fn base(self) -> String {
        self.0.uri.trim_end_matches('/').to_owned()
    }

    /// The address of `path` below the archive; none where it makes no address. Some archives have `%` in names of files, which stands for
    /// itself.
    pub(crate) fn url(self, path: &str) -> Option<Url> {
        Url::parse(&format!("{}/{}", self.base(), path.replace('%', "%25"))).ok()
    }

    /// The address of `file` of the suite.
    pub(crate) fn of_suite(self, file: &str) -> Option<Url> {
        self.url(&format!("dists/{}/{file}", self.0.suite))
    }

    /// Whether the spec can mean an archive by it: what is wrong, where something is.
    pub(crate) fn problem(self) -> Option<String> {
        let AptArchive { uri, suite, components, .. } = self.0;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
        let is_path =
            |text: &str| text.split('/').all(|part| part != ".." && !part.is_empty() && part.chars().all(legal));
        let url = Url::parse(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none_or(|url| url.query().is_some() || url.fragment().is_some()) {
            return Some(format!("{uri:?} is not the address of an archive, https://HOST/PATH"));
        }
        if !is_path(suite) {
            let what = if suite.ends_with('/') { ": archives without suites are not supported" } else { "" };
            return Some(format!("{suite:?} is no suite{what}"));
        }
        let wrong = components.iter().find(|component| !is_path(component));
        match wrong {
            Some(component) => Some(format!("{component:?} is no component")),
            None => components.is_empty().then(|| format!("{} {suite} has no components", self.base())),
        }
    }

    /// Whether `release` is that of this suite, and no other that the same people have signed.
    pub(crate) fn check_suite(self, release: &ReleaseFile) -> Result<(), AptError> {
        let says = [&release.suite, &release.codename].map(|name| name.as_deref().unwrap_or("nothing"));
        if says.contains(&self.0.suite.as_str()) {
            return Ok(());
        }
        let says = format!("the suite {} and the codename {}", says[0], says[1]);
        Err(AptError::Suite { archive: self.label(), says })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(uri: &str, suite: &str, components: &[&str]) -> Option<String> {
        let components = components.iter().map(|&name| name.to_owned()).collect();
        let archive = AptArchive { uri: uri.into(), suite: suite.into(), components, signed_by: "k".into() };
        Archive(&archive).problem()
    }

    #[test]
    fn a_path_is_nothing_but_a_path() {
        let archive = AptArchive {
            uri: "https://x/debian/".into(),
            suite: "bookworm".into(),
            components: Vec::new(),
            signed_by: "k".into(),
        };
        let url = |path: &str| Archive(&archive).url(path).unwrap().to_string();
        assert_eq!(url("pool/a_1%3a2~rc1+b1_all.deb"), "https://x/debian/pool/a_1%253a2~rc1+b1_all.deb");
        assert_eq!(url("pool/%2e%2e/%2e%2e/x"), "https://x/debian/pool/%252e%252e/%252e%252e/x");
        assert_eq!(url("a:1/b"), "https://x/debian/a:1/b");
    }

    #[test]
    fn an_archive_is_what_a_line_of_sources_names() {
        assert_eq!(problem("https://archive.example.org/debian/", "bookworm", &["main", "non-free-firmware"]), None);
        assert_eq!(problem("http://security.example.org/debian-security", "buster/updates", &["updates/main"]), None);
        for (uri, suite, components) in [
            ("ftp://x/debian", "bookworm", &["main"][..]),
            ("file:///x", "bookworm", &["main"]),
            ("https://x/?a", "bookworm", &["main"]),
            ("https://x", "../../y", &["main"]),
            ("https://x", "./", &["main"]),
            ("https://x", "", &["main"]),
            ("https://x", "bookworm", &[]),
            ("https://x", "bookworm", &["../main"]),
            ("https://x", "book worm", &["main"]),
        ] {
            assert!(problem(uri, suite, components).is_some(), "{uri} {suite} {components:?}");
        }
    }
}
