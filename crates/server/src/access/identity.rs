//! Who somebody is, as the registry knows them, and patterns of such names.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::glob::Glob;

/// Longest name of a person, machine or group, in bytes.
pub(crate) const LONGEST_NAME: usize = 255;

/// Who somebody is. Written `user/anna`, `robot/ci`, `certificate/node-7`, `oidc/corp/anna`, `service-account/plant-7/shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nobody has said.
    Anonymous,
    /// Somebody of the htpasswd file.
    User(Box<str>),
    /// A robot account.
    Robot(Box<str>),
    /// The holder of a client certificate.
    Certificate(Box<str>),
    /// Somebody whom an identity provider knows.
    Oidc {
        /// What the registry's file calls the provider.
        provider: Box<str>,
        /// What the provider calls them.
        user: Box<str>,
    },
    /// A service account of a cluster.
    ServiceAccount {
        /// What the registry's file calls the cluster.
        cluster: Box<str>,
        /// Its namespace.
        namespace: Box<str>,
        /// Its name.
        name: Box<str>,
    },
}

/// A text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nobody: known are user/NAME, robot/NAME, certificate/NAME, oidc/PROVIDER/USER and service-account/CLUSTER/NAMESPACE/NAME"
)]
pub struct ParseIdentityError(String);

/// Whether `name` can be somebody's: printable, not endless.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

/// Whether `name` is a DNS label, as robots, providers and clusters are called.
pub fn is_label(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether `name` is what Kubernetes calls a service account (RFC 1123 subdomain).
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

impl FromStr for Identity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        let error = || ParseIdentityError(text.chars().take(80).collect());
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        let (kind, rest) = text.split_once('/').ok_or_else(error)?;
        let pair = || rest.split_once('/').filter(|(first, _)| is_label(first)).ok_or_else(error);
        let named = |name: &str| if is_name(name) { Ok(name.into()) } else { Err(error()) };
        match kind {
            "user" => Ok(Self::User(named(rest)?)),
            "robot" if is_label(rest) => Ok(Self::Robot(rest.into())),
            "certificate" => Ok(Self::Certificate(named(rest)?)),
            "oidc" => {
                pair().and_then(|(provider, user)| Ok(Self::Oidc { provider: provider.into(), user: named(user)? }))
            }
            "service-account" => {
                let (cluster, account) = pair()?;
                let (namespace, name) = account.split_once('/').ok_or_else(error)?;
                if !is_label(namespace) || !is_subdomain(name) {
                    return Err(error());
                }
                Ok(Self::ServiceAccount { cluster: cluster.into(), namespace: namespace.into(), name: name.into() })
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::User(name) => write!(f, "user/{name}"),
            Self::Robot(name) => write!(f, "robot/{name}"),
            Self::Certificate(name) => write!(f, "certificate/{name}"),
            Self::Oidc { provider, user } => write!(f, "oidc/{provider}/{user}"),
            Self::ServiceAccount { cluster, namespace, name } => {
                write!(f, "service-account/{cluster}/{namespace}/{name}")
            }
        }
    }
}

/// The kinds of subjects; what stands behind the slash is a pattern.
const KINDS: [&str; 6] = ["user", "robot", "certificate", "oidc", "oidc-group", "service-account"];

/// Whom a grant is for: `user/anna`, `robot/*`, `oidc-group/corp/developers`, `service-account/plant-7/shop/*`, or
/// `authenticated`: everybody who has said who they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Subject(Option<Glob>);

/// A text is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no subject: known are authenticated, user/NAME, robot/NAME, certificate/NAME, oidc/PROVIDER/USER, oidc-group/PROVIDER/GROUP and service-account/CLUSTER/NAMESPACE/NAME, with * for any name"
)]
pub struct ParseSubjectError(String);

impl Subject {
    /// Whether it stands for somebody who is `identity`, written out, and in `groups`, written as `oidc-group/PROVIDER/GROUP`.
    pub(crate) fn covers(&self, identity: &str, groups: &[Box<str>]) -> bool {
        match &self.0 {
            None => identity != "anonymous",
            Some(glob) => glob.matches(identity) || groups.iter().any(|group| glob.matches(group)),
        }
    }

    /// Kind and second component, of those kinds whose second component names a section of the file.
    pub(crate) fn section(&self) -> Option<(&str, &str)> {
        let (kind, rest) = self.0.as_ref()?.as_str().split_once('/')?;
        match kind {
            "robot" => Some((kind, rest)),
            "oidc" | "oidc-group" | "service-account" => Some((kind, rest.split('/').next().unwrap_or(rest))),
            _ => None,
        }
    }
}

impl FromStr for Subject {
    type Err = ParseSubjectError;

    fn from_str(text: &str) -> Result<Self, ParseSubjectError> {
        let error = || ParseSubjectError(text.chars().take(80).collect());
        if text == "authenticated" {
            return Ok(Self(None));
        }
        let (kind, rest) = text.split_once('/').ok_or_else(error)?;
        let slashes = rest.matches('/').count();
        // What others call somebody may have slashes of its own.
        let (complete, components) = match kind {
            "oidc" | "oidc-group" => (slashes >= 1, 2),
            "service-account" => (slashes == 2, 3),
            _ => (true, 1),
        };
        // A wildcard in the kind would let one kind of name stand for another.
        if !KINDS.contains(&kind) || !complete || rest.split('/').take(components).any(str::is_empty) {
            return Err(error());
        }
        text.parse().map(|glob| Self(Some(glob))).map_err(|_| error())
    }
}

impl TryFrom<String> for Subject {
    type Error = ParseSubjectError;

    fn try_from(text: String) -> Result<Self, ParseSubjectError> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("authenticated", Glob::as_str))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(subject: &str, identity: &str) -> bool {
        subject.parse::<Subject>().unwrap().covers(identity, &["oidc-group/corp/developers".into()])
    }

    #[test]
    fn a_subject_covers_its_own_kind_only() {
        assert!(covers("user/anna", "user/anna"));
        assert!(covers("user/*", "user/anna"));
        assert!(covers("authenticated", "robot/ci"));
        assert!(covers("oidc-group/corp/developers", "oidc/corp/anna"));
        assert!(covers("service-account/plant-7/shop/*", "service-account/plant-7/shop/web"));
        assert!(!covers("authenticated", "anonymous"));
        assert!(!covers("user/*", "robot/ci"));
        assert!(!covers("user/*", "user/a/b"));
        assert!(!covers("oidc-group/other/developers", "oidc/corp/anna"));
        assert!(!covers("service-account/plant-7/shop/*", "service-account/plant-8/shop/web"));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in ["", "anna", "*/anna", "**", "user/", "users/anna", "oidc/corp", "service-account/a/b", "oidc//x"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in [
            "",
            "anna",
            "user/",
            "robot/A",
            "oidc/corp",
            "oidc//x",
            "oidc/Corp/x",
            "service-account/a/b",
            "user/a\nb",
            "service-account/a/b/c/d",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_identity_is_read_from_its_own_text(text in "(user|robot|certificate|oidc|service-account|anonymous)(/[a-z0-9.@-]{1,6}){0,4}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
