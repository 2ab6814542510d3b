//! Lists of what hosts have installed, as `dpkg-query` prints them.

use std::collections::BTreeMap;
use std::path::Path;

use sealock_bundle::os_packages::Version;

use super::error::AptError;

/// What a host has, by name.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    packages: BTreeMap<String, Version>,
    /// Packages whose versions are none: they count as not there.
    odd: Vec<String>,
}

impl Installed {
    /// Reads the list `text` of the file `path`: lines of name, version, architecture and, where the list has it, status. What is not of
    /// `architecture`, nor of all, is left out, and what is removed but for its settings, too.
    pub(crate) fn parse(path: &Path, text: &str, architecture: &str) -> Result<Self, AptError> {
        let mut installed = Self::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |reason: String| AptError::Installed { path: path.to_owned(), line: at + 1, reason };
            let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
            let (name, version, of, status) = match fields.as_slice() {
                [name, version, of] => (*name, *version, *of, "installed"),
                [name, version, of, status] => (*name, *version, *of, *status),
                _ => return Err(wrong("it has not three or four fields with tabulators between them".to_owned())),
            };
            // Halfway installed ones come again: they count as not there.
            if status != "installed" || ![architecture, "all"].contains(&of) {
                continue;
            }
            match version.parse() {
                Ok(version) => drop(installed.packages.insert(name.to_owned(), version)),
                Err(_) => installed.odd.push(format!("{name} {version}")),
            }
        }
        Ok(installed)
    }

    /// Name and version of those whose versions are none.
    pub(crate) fn odd(&self) -> &[String] {
        &self.odd
    }

    /// The version of the package `name`.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.packages.get(name)
    }

    /// All of them.
    pub(crate) fn packages(&self) -> impl Iterator<Item = (&str, &Version)> {
        self.packages.iter().map(|(name, version)| (name.as_str(), version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Installed, AptError> {
        Installed::parse(Path::new("cp1.tsv"), text, "amd64")
    }

    #[test]
    fn what_is_installed_counts_and_what_was_removed_does_not() {
        let list = parse(
            "bash\t5.2.15-2+b7\tamd64\tinstalled\nold\t1\tall\tconfig-files\ngcc-base\t1:2\ti386\tinstalled\n\
             tzdata\t2024a\tall\ntool\tv1.2\tamd64\tinstalled\nbroken\t\tamd64\tnot-installed\n\n",
        )
        .unwrap();
        let names: Vec<&str> = list.packages().map(|(name, _)| name).collect();
        assert_eq!(names, ["bash", "tzdata"]);
        assert_eq!(list.odd(), ["tool v1.2"], "what some vendor makes stops nothing");
        assert_eq!(list.version("bash").unwrap().as_str(), "5.2.15-2+b7");
    }

    #[test]
    fn what_is_no_list_is_told_with_its_line() {
        insta::assert_snapshot!(parse("bash\t1\tamd64\n||/ Name Version\n").unwrap_err(), @"cp1.tsv is no list of installed packages at line 2: it has not three or four fields with tabulators between them");
    }
}
