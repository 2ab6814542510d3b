//! Which packages a set needs: those that are named, those that are newer than what hosts have, and all that these depend on.
//!
//! On the host `apt` decides by itself, among what is there. So this may carry a package too many, and never one too few.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use sealock_bundle::os_packages::{Dependency, Relation};

use super::error::AptError;
use super::installed::Installed;
use super::pool::Pool;

/// What a set is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Its name.
    pub(crate) set: &'a str,
    /// The architecture, as Debian names it.
    pub(crate) architecture: &'a str,
    /// The packages that are named.
    pub(crate) packages: &'a [String],
    /// What each host has.
    pub(crate) installed: &'a [Installed],
}

/// The places in `pool` of the packages that `wanted` needs.
pub(crate) fn choose(pool: &Pool<'_>, wanted: Wanted<'_>) -> Result<BTreeSet<usize>, AptError> {
    let mut choice = Choice { pool, wanted, taken: BTreeSet::new(), open: VecDeque::new() };
    for name in wanted.packages {
        choice.take(pool.newest(name).ok_or_else(|| choice.no_package(name))?);
    }
    for host in wanted.installed {
        for (name, version) in host.packages() {
            pool.upgrade(name, version).into_iter().for_each(|at| choice.take(at));
        }
    }
    while let Some(at) = choice.open.pop_front() {
        for dependency in pool.dependencies(at)? {
            choice.meet(at, &dependency)?;
        }
    }
    Ok(choice.taken)
}

struct Choice<'p, 'a> {
    pool: &'p Pool<'a>,
    wanted: Wanted<'p>,
    taken: BTreeSet<usize>,
    /// Those whose dependencies were not looked at yet.
    open: VecDeque<usize>,
}

impl Choice<'_, '_> {
    fn take(&mut self, at: usize) {
        if self.taken.insert(at) {
            self.open.push_back(at);
        }
    }

    /// Sees to it that what the package in place `at` needs is there.
    fn meet(&mut self, at: usize, dependency: &Dependency) -> Result<(), AptError> {
        let is_taken = |relation: &Relation| self.pool.meeting(relation).any(|at| self.taken.contains(&at));
        if dependency.iter().any(is_taken) || self.is_everywhere(dependency) {
            return Ok(());
        }
        let found = dependency.iter().find_map(|relation| self.pool.meeting(relation).next());
        self.take(found.ok_or_else(|| self.unmet(at, dependency))?);
        Ok(())
    }

    /// Whether every host has it.
    fn is_everywhere(&self, dependency: &Dependency) -> bool {
        let hosts = self.wanted.installed;
        let has = |host: &Installed| dependency.iter().any(|relation| self.has(host, relation));
        !hosts.is_empty() && hosts.iter().all(has)
    }

    /// Whether `host` has what meets `relation`. What an installed package provides is not in its list, so the archive is asked
    /// about the package of that name.
    fn has(&self, host: &Installed, relation: &Relation) -> bool {
        let named = host.version(&relation.name).is_some_and(|version| relation.is_met_by(&relation.name, version));
        named
            || self.pool.providing(relation).any(|(one, provided)| {
                let installed = host.version(&one.package.name);
                // A version that is provided goes with the version of the package.
                installed.is_some_and(|version| provided.version.is_none() || *version == one.package.version)
            })
    }

    fn no_package(&self, name: &str) -> AptError {
        let Wanted { set, architecture, .. } = self.wanted;
        let providers = self.pool.providers(name);
        AptError::NoPackage { set: set.into(), name: name.into(), architecture: architecture.into(), providers }
    }

    fn unmet(&self, at: usize, dependency: &Dependency) -> AptError {
        let Wanted { set, architecture, .. } = self.wanted;
        let package = self.pool.get(at).map(super::Offered::called).unwrap_or_default();
        AptError::Unmet { set: set.into(), package, dependency: written(dependency), architecture: architecture.into() }
    }
}

/// The dependency as its package writes it.
fn written(dependency: &Dependency) -> String {
    let mut text = String::new();
    for (at, relation) in dependency.iter().enumerate() {
        let _ = write!(text, "{}{relation}", if at == 0 { "" } else { " | " });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sealock_bundle::os_packages::{Packaged, Spread, StanzaLimits, Stanzas};

    use super::super::Offered;
    use super::*;

    /// `name version` and further fields, one package a line; `/` in front of those of the second archive, `?` of those of backports,
    /// and `!` of those of an archive that is for who asks.
    fn offered(lines: &str) -> Vec<Offered> {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let line = |line: &str| {
            let (line, archive, spread) = match line.split_at(1) {
                ("/", line) => (line, 1, Spread::Automatic),
                ("?", line) => (line, 2, Spread::Upgrades),
                ("!", line) => (line, 3, Spread::Asked),
                _ => (line, 0, Spread::Automatic),
            };
            let mut parts = line.split(" ; ");
            let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
            let more: String = parts.map(|field| format!("{field}\n")).collect();
            let text = format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: p/{name}.deb\nSize: 1\nSHA256: {sum}\n"
            );
            let stanza = Stanzas::new(text.as_bytes(), StanzaLimits::INDEX).next().unwrap().unwrap();
            Offered { package: Packaged::of(&stanza).unwrap(), archive, spread }
        };
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(line).collect()
    }

    fn chosen(lines: &str, packages: &str, hosts: &[&str]) -> Result<Vec<String>, String> {
        let offered = offered(lines);
        let pool = Pool::new(&offered, "amd64");
        let packages: Vec<String> = packages.split_ascii_whitespace().map(str::to_owned).collect();
        let list = |host: &&str| {
            let lines = host.split(", ").map(|one| format!("{}\tamd64\n", one.replace(' ', "\t")));
            Installed::parse(Path::new("host"), &lines.collect::<String>(), "amd64").unwrap()
        };
        let installed: Vec<Installed> = hosts.iter().map(list).collect();
        let wanted = Wanted { set: "debian-12", architecture: "amd64", packages: &packages, installed: &installed };
        let places = choose(&pool, wanted).map_err(|error| format!("{}: {error}", error.code().as_str()))?;
        let mut names: Vec<String> = places.into_iter().map(|at| offered[at].called()).collect();
        names.sort();
        Ok(names)
    }

    const ARCHIVE: &str = "
        curl 7.88.1-10 ; Depends: libc6 (>= 2.34), libcurl4 (= 7.88.1-10)
        curl 7.88.1-10+deb12u8 ; Depends: libc6 (>= 2.34), libcurl4 (= 7.88.1-10+deb12u8), ca-certificates
        libcurl4 7.88.1-10 ; Depends: libc6
        libcurl4 7.88.1-10+deb12u8 ; Depends: libc6
        ca-certificates 20230311 ; Depends: openssl (>= 1.1.1), debconf (>= 0.5) | debconf-2.0
        openssl 3.0.15-1 ; Pre-Depends: libc6
        cdebconf 0.270 ; Provides: debconf-2.0
        debconf 1.5.82 ; Provides: debconf-2.0
        libc6 2.36-9+deb12u9
        exim4 4.96 ; Provides: mail-transport-agent
        postfix 3.7.11 ; Provides: mail-transport-agent
        mailutils 3.15 ; Depends: default-mta | mail-transport-agent
        default-mta-user 1 ; Depends: nothing-has-this (>= 3) | neither-this
        pinned 1 ; Depends: libcurl4 (= 7.88.1-10)
        foreign 1 ; Depends: libc6:i386
        odd 1 ; Depends: a b
    ";

    #[test]
    fn the_newest_comes_with_all_that_it_depends_on() {
        let names = chosen(ARCHIVE, "curl", &[]).unwrap();
        assert_eq!(
            names,
            [
                "ca-certificates 20230311",
                "curl 7.88.1-10+deb12u8",
                "debconf 1.5.82",
                "libc6 2.36-9+deb12u9",
                "libcurl4 7.88.1-10+deb12u8",
                "openssl 3.0.15-1"
            ]
        );
    }

    #[test]
    fn what_every_host_has_stays_away_and_what_one_lacks_comes() {
        let full = "libc6 2.36-9, openssl 3.0.15-1, debconf 1.5.82";
        assert_eq!(
            chosen(ARCHIVE, "curl", &[full]).unwrap(),
            [
                "ca-certificates 20230311",
                "curl 7.88.1-10+deb12u8",
                "libc6 2.36-9+deb12u9",
                "libcurl4 7.88.1-10+deb12u8"
            ],
            "libc6 is there and sufficient, and comes since the archive has a newer one"
        );
        let names = chosen(ARCHIVE, "curl", &[full, "libc6 2.36-9+deb12u9, cdebconf 0.270"]).unwrap();
        assert!(names.contains(&"openssl 3.0.15-1".to_owned()), "the second host lacks it");
        assert!(!names.iter().any(|name| name.starts_with("debconf")), "each host has one of the two: {names:?}");
    }

    #[test]
    fn what_is_newer_than_installed_comes_by_itself() {
        let names = chosen(
            ARCHIVE,
            "",
            &["curl 7.88.1-10, libcurl4 7.88.1-10, libc6 2.36-9+deb12u9, ca-certificates 20230311"],
        );
        assert_eq!(names.unwrap(), ["curl 7.88.1-10+deb12u8", "libcurl4 7.88.1-10+deb12u8"]);
        let nothing = chosen(ARCHIVE, "", &["libc6 9.9, unknown-to-all 1"]).unwrap();
        assert!(nothing.is_empty(), "neither an older one nor one that no archive has: {nothing:?}");
    }

    #[test]
    fn a_name_that_others_provide_is_met_by_one_of_them() {
        let names = chosen(ARCHIVE, "mailutils", &[]).unwrap();
        assert_eq!(names, ["exim4 4.96", "mailutils 3.15"]);
        let names = chosen(ARCHIVE, "mailutils postfix", &[]).unwrap();
        assert_eq!(names, ["mailutils 3.15", "postfix 3.7.11"], "the one that comes anyway");
        assert_eq!(chosen(ARCHIVE, "mailutils", &["postfix 3.7.10"]).unwrap(), ["mailutils 3.15", "postfix 3.7.11"]);
        assert_eq!(chosen(ARCHIVE, "mailutils", &["exim4 4.96"]).unwrap(), ["mailutils 3.15"]);
    }

    #[test]
    fn an_exact_dependency_takes_the_older_version() {
        assert_eq!(chosen(ARCHIVE, "pinned", &[]).unwrap(), ["libc6 2.36-9+deb12u9", "libcurl4 7.88.1-10", "pinned 1"]);
    }

    #[test]
    fn of_two_archives_the_newer_version_is_taken_and_of_the_same_version_the_first_ones() {
        let lines = "a 1 ; Section: first\n/a 1 ; Section: second\nb 1\n/b 2";
        let offered = offered(lines);
        let pool = Pool::new(&offered, "amd64");
        let section = pool.get(pool.newest("a").unwrap()).unwrap().package.field("Section");
        assert_eq!(section, Some("first"));
        assert_eq!(chosen(lines, "a b", &[]).unwrap(), ["a 1", "b 2"]);
    }

    #[test]
    fn archives_that_are_for_who_asks_upgrade_nothing_by_themselves() {
        let lines = "
            a 1.0 ; Depends: lib
            ?a 2.0~bpo12+1 ; Depends: lib (>= 2)
            !a 3.0
            lib 1.0
            ?lib 2.0~bpo12+1
            ?lib 2.0~bpo12+2
            only 1 ; Depends: rare
            !rare 1
        ";
        let upgraded = |host: &str| chosen(lines, "", &[host]).unwrap();
        assert!(upgraded("a 1.0, lib 1.0").is_empty());
        assert_eq!(upgraded("a 0.9, lib 1.0"), ["a 1.0"]);
        assert_eq!(upgraded("a 1.0, lib 2.0~bpo12+1"), ["lib 2.0~bpo12+2"], "it was asked for there once");
        assert!(upgraded("rare 0.9").is_empty());
        assert_eq!(chosen(lines, "only", &[]).unwrap(), ["only 1", "rare 1"], "nobody else has it");
        assert_eq!(chosen(lines, "lib", &[]).unwrap(), ["lib 2.0~bpo12+2"], "it is named");
        let asked = lines.replace("!a 3.0", "");
        assert_eq!(
            chosen(&asked, "a", &["lib 1.0"]).unwrap(),
            ["a 2.0~bpo12+1"].map(String::from).into_iter().chain(["lib 2.0~bpo12+2".to_owned()]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_missing_is_told_by_name() {
        let refused = |packages: &str| chosen(ARCHIVE, packages, &[]).unwrap_err();
        insta::assert_snapshot!(refused("nginx"), @"UNRESOLVED: no archive of the set debian-12 has nginx for amd64");
        insta::assert_snapshot!(refused("mail-transport-agent"), @"UNRESOLVED: no archive of the set debian-12 has mail-transport-agent for amd64; it is provided by exim4, postfix: name one of these");
        insta::assert_snapshot!(refused("default-mta-user"), @"UNRESOLVED: default-mta-user 1 needs nothing-has-this (>= 3) | neither-this, which no archive of the set debian-12 has for amd64");
        insta::assert_snapshot!(refused("foreign"), @"UNRESOLVED: foreign 1 needs libc6:i386, which no archive of the set debian-12 has for amd64");
        insta::assert_snapshot!(refused("odd"), @"FORMAT: odd 1 has dependencies that cannot be read");
    }
}
