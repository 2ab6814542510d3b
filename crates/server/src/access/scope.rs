//! What a token is asked for, and what it allows ("Token Scope Documentation" of the distribution project).

use std::collections::BTreeMap;
use std::fmt;

use super::action::{Action, Actions};
use crate::view::name::is_repository;

/// Scopes in one request at most: a client asks for the repository it works on and those it mounts from.
pub const MOST_SCOPES: usize = 64;

/// Bytes of scopes in one request at most.
pub const LONGEST: usize = 16 * 1024;

/// The scope of the list of repositories.
const CATALOG: &str = "registry:catalog:*";

/// Actions on repositories, and whether these may be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    repositories: BTreeMap<Box<str>, Actions>,
    catalog: bool,
}

/// Why scopes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// More than anybody needs.
    #[error("more than {MOST_SCOPES} scopes, or more than {LONGEST} bytes of them")]
    TooMany,
    /// Not `type:name:actions`.
    #[error("{0:?} is no scope: it is written type:name:actions")]
    Malformed(String),
}

impl Scopes {
    /// Reads the `scope` parameters of a request; each may hold several, with blanks between them. What this registry does not
    /// have (another type, an illegal name, an unknown action) is passed over: it is not granted.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn parse<'a>(parameters: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut scopes = Self::default();
        let (mut count, mut bytes) = (0, 0);
        for scope in parameters.into_iter().flat_map(|parameter| parameter.split(' ')).filter(|scope| !scope.is_empty())
        {
            (count, bytes) = (count + 1, bytes + scope.len());
            if count > MOST_SCOPES || bytes > LONGEST {
                return Err(ScopeError::TooMany);
            }
            scopes.add(scope)?;
        }
        Ok(scopes)
    }

    fn add(&mut self, scope: &str) -> Result<(), ScopeError> {
        let malformed = || ScopeError::Malformed(scope.chars().take(80).collect());
        // Names may carry a port: the type ends at the first colon, the actions begin behind the last one.
        let (kind, rest) = scope.split_once(':').ok_or_else(malformed)?;
        let (name, actions) = rest.rsplit_once(':').ok_or_else(malformed)?;
        match kind {
            "repository" if is_repository(name) => self.allow(name, actions.split(',').filter_map(of_scope).collect()),
            "registry" if name == "catalog" && actions == "*" => self.catalog = true,
            _ => {}
        }
        Ok(())
    }

    /// Allows `actions` on a repository, beside those that are allowed.
    pub(crate) fn allow(&mut self, repository: &str, actions: Actions) {
        if !actions.is_empty() {
            let held = self.repositories.entry(repository.into()).or_default();
            *held = held.union(actions);
        }
    }

    /// Allows the list of repositories.
    pub(crate) fn allow_catalog(&mut self) {
        self.catalog = true;
    }

    /// Whether `action` on `repository` is among them.
    pub fn contains(&self, repository: &str, action: Action) -> bool {
        match action {
            Action::Catalog => self.catalog,
            _ => self.repositories.get(repository).is_some_and(|actions| actions.contains(action)),
        }
    }

    /// Whether the list of repositories is among them.
    pub fn has_catalog(&self) -> bool {
        self.catalog
    }

    /// Those of them that `may` says yes to.
    pub(crate) fn intersect(&self, may: impl Fn(&str, Action) -> bool, may_catalog: bool) -> Self {
        let mut granted = Self { catalog: self.catalog && may_catalog, ..Self::default() };
        for (repository, actions) in &self.repositories {
            granted.allow(repository, actions.iter().filter(|action| may(repository, *action)).collect());
        }
        granted
    }

    /// Repositories with what is allowed on them.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = (&str, Actions)> {
        self.repositories.iter().map(|(name, actions)| (&**name, *actions))
    }
}

/// The scope that allows `action` on `repository`, as a challenge names it.
pub(crate) fn needed(repository: &str, action: Action) -> String {
    match action {
        Action::Catalog => CATALOG.to_owned(),
        Action::Pull => format!("repository:{repository}:pull"),
        // Clients ask for what the challenge names, and look at what they push.
        Action::Push => format!("repository:{repository}:pull,push"),
        Action::Delete => format!("repository:{repository}:delete"),
    }
}

fn of_scope(action: &str) -> Option<Actions> {
    match action {
        "*" => Some(Actions::of_repository()),
        "pull" => Some(Action::Pull.into()),
        "push" => Some(Action::Push.into()),
        "delete" => Some(Action::Delete.into()),
        _ => None,
    }
}

/// As a request says them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        if self.catalog {
            f.write_str(CATALOG)?;
            blank = " ";
        }
        for (name, actions) in &self.repositories {
            write!(f, "{blank}repository:{name}:{actions}")?;
            blank = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        Scopes::parse([text]).unwrap().to_string()
    }

    #[test]
    fn scopes_are_read_as_the_distribution_project_writes_them() {
        assert_eq!(read("repository:team/app:pull,push"), "repository:team/app:pull,push");
        assert_eq!(
            read("repository:a:pull repository:b:* registry:catalog:*"),
            "registry:catalog:* repository:a:pull repository:b:pull,push,delete"
        );
        assert_eq!(read("repository:a:pull repository:a:push"), "repository:a:pull,push");
        assert_eq!(read("  "), "");
    }

    #[test]
    fn what_the_registry_does_not_have_is_not_granted() {
        for text in [
            "repository(plugin):a:pull",
            "repository:A:pull",
            "repository:../a:pull",
            "registry:catalog:pull",
            "registry:x:*",
            "repository:a:fly",
            "repository:a:",
            "aws:x:*",
        ] {
            assert_eq!(read(text), "", "{text}");
        }
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        assert_eq!(Scopes::parse(["repository"]), Err(ScopeError::Malformed("repository".into())));
        assert_eq!(Scopes::parse(["repository:a"]), Err(ScopeError::Malformed("repository:a".into())));
        assert_eq!(Scopes::parse(vec!["repository:a:pull"; MOST_SCOPES + 1]), Err(ScopeError::TooMany));
        let long = format!("repository:{}:pull", "a".repeat(LONGEST));
        assert_eq!(Scopes::parse([&*long]), Err(ScopeError::TooMany));
    }

    #[test]
    fn what_is_granted_is_what_both_sides_say() {
        let asked = Scopes::parse(["repository:a:pull,push repository:b:pull registry:catalog:*"]).unwrap();
        let granted = asked.intersect(|name, action| name == "a" && action == Action::Pull, false);
        assert_eq!(granted.to_string(), "repository:a:pull");
        assert!(granted.contains("a", Action::Pull));
        assert!(!granted.contains("a", Action::Push));
        assert!(!granted.contains("", Action::Catalog));
    }

    proptest! {
        #[test]
        fn no_text_brings_the_parser_down_and_what_is_read_is_read_alike_again(text in "(?s).{0,80}|(repository|registry|:|[ab/]|pull|push|delete|,|\\*| ){0,20}") {
            if let Ok(scopes) = Scopes::parse([&*text]) {
                let again = scopes.to_string();
                prop_assert_eq!(Scopes::parse([&*again]).unwrap(), scopes);
            }
        }

        #[test]
        fn an_intersection_is_never_more_than_was_asked_for(text in "(repository:[ab]:(pull|push|delete|\\*)(,pull)? ){0,5}", allowed in any::<u8>()) {
            let asked = Scopes::parse([&*text]).unwrap();
            let may = |name: &str, action: Action| allowed & (1 << (action as u8 + if name == "a" { 0 } else { 4 })) != 0;
            let granted = asked.intersect(may, false);
            for name in ["a", "b"] {
                for action in [Action::Pull, Action::Push, Action::Delete] {
                    prop_assert_eq!(granted.contains(name, action), asked.contains(name, action) && may(name, action));
                }
            }
        }
    }
}
