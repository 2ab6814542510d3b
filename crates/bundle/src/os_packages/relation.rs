//! What packages say of each other: dependencies and what is provided (Debian Policy Manual, 7.1 and 7.5).

use std::cmp::Ordering;
use std::fmt;

use super::index::is_package_name;
use super::version::Version;

/// Dependencies of one field at most, alternatives counted.
const MAX_RELATIONS: usize = 10_000;

/// One dependency: any of the alternatives will do, the first is the one to be preferred.
pub type Dependency = Vec<Relation>;

/// One alternative of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The package, or what packages provide.
    pub name: String,
    /// Of which architecture, where it says so: `any`, `native`, `i386`.
    pub architecture: Option<String>,
    /// Which versions will do; any, where there is none.
    pub version: Option<(Operator, Version)>,
}

/// How a version has to compare with the one that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// What a package provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The name.
    pub name: String,
    /// In which version, where it says so.
    pub version: Option<Version>,
}

/// Why a field is not a list of relations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no relation between packages")]
pub struct ParseRelationError(String);

impl Relation {
    /// Whether the package `name` in `version` will do.
    pub fn is_met_by(&self, name: &str, version: &Version) -> bool {
        self.name == name && self.allows(version)
    }

    /// Whether what is `provided` will do: without a version only where none is asked for.
    pub fn is_met_by_provided(&self, provided: &Provided) -> bool {
        let version_fits = match (&self.version, &provided.version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(version)) => self.allows(version),
        };
        self.name == provided.name && version_fits
    }

    fn allows(&self, version: &Version) -> bool {
        self.version.as_ref().is_none_or(|(operator, bound)| {
            let order = version.cmp(bound);
            match operator {
                Operator::Earlier => order == Ordering::Less,
                Operator::EarlierOrEqual => order != Ordering::Greater,
                Operator::Equal => order == Ordering::Equal,
                Operator::LaterOrEqual => order != Ordering::Less,
                Operator::Later => order == Ordering::Greater,
            }
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.architecture.iter().try_for_each(|architecture| write!(f, ":{architecture}"))?;
        self.version.iter().try_for_each(|(operator, version)| write!(f, " ({operator} {version})"))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

/// Reads `Depends` or `Pre-Depends`.
///
/// # Errors
/// [`ParseRelationError`].
pub fn dependencies(field: &str) -> Result<Vec<Dependency>, ParseRelationError> {
    let mut count = 0;
    parts(field, ',')
        .map(|dependency| {
            let alternatives: Dependency = parts(dependency, '|').map(relation).collect::<Result<_, _>>()?;
            count += alternatives.len();
            if alternatives.is_empty() || count > MAX_RELATIONS {
                Err(unreadable(dependency))
            } else {
                Ok(alternatives)
            }
        })
        .collect()
}

/// Reads `Provides`.
///
/// # Errors
/// [`ParseRelationError`].
pub fn provided(field: &str) -> Result<Vec<Provided>, ParseRelationError> {
    let one = |text: &str| {
        let relation = relation(text)?;
        match relation.version {
            None => Ok(Provided { name: relation.name, version: None }),
            Some((Operator::Equal, version)) => Ok(Provided { name: relation.name, version: Some(version) }),
            Some(_) => Err(unreadable(text)),
        }
    };
    parts(field, ',').take(MAX_RELATIONS).map(one).collect()
}

fn parts(field: &str, separator: char) -> impl Iterator<Item = &str> {
    field.split(separator).map(str::trim).filter(|part| !part.is_empty())
}

fn relation(text: &str) -> Result<Relation, ParseRelationError> {
    let (name, bound) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(rest.trim_end().strip_suffix(')').ok_or_else(|| unreadable(text))?)),
        None => (text, None),
    };
    let (name, architecture) = match name.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture.to_owned())),
        None => (name, None),
    };
    let is_legal =
        |architecture: &String| architecture.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_package_name(name) || !architecture.iter().all(is_legal) {
        return Err(unreadable(text));
    }
    let version = bound.map(|bound| version(bound).ok_or_else(|| unreadable(text))).transpose()?;
    Ok(Relation { name: name.to_owned(), architecture, version })
}

fn version(bound: &str) -> Option<(Operator, Version)> {
    let bound = bound.trim();
    let end = bound.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(bound.len());
    let operator = match bound.get(..end)? {
        "<<" => Operator::Earlier,
        // Of old these meant "or equal", and `dpkg` still reads them so.
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    Some((operator, bound.get(end..)?.trim().parse().ok()?))
}

fn unreadable(text: &str) -> ParseRelationError {
    ParseRelationError(text.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(relation: &str, name: &str, version: &str) -> bool {
        dependencies(relation).unwrap()[0][0].is_met_by(name, &version.parse().unwrap())
    }

    #[test]
    fn versions_meet_bounds() {
        for (relation, version, met) in [
            ("a", "1", true),
            ("a (>= 1.2)", "1.2", true),
            ("a (>= 1.2)", "1.2~rc1", false),
            ("a(>>1.2)", "1.2", false),
            ("a (<< 1.2)", "1.2~rc1", true),
            ("a (<= 1.2)", "1.2-0", true),
            ("a (= 1:1.2-3)", "1.2-3", false),
            ("a:any (= 1.2-3)", "1.2-3", true),
        ] {
            assert_eq!(meets(relation, "a", version), met, "{relation} {version}");
        }
        assert!(!meets("a", "b", "1"));
    }

    #[test]
    fn alternatives_and_folded_fields_are_read() {
        let read = dependencies("a | b (>= 1) |c, d:any,\n e ,").unwrap();
        let names: Vec<Vec<&str>> =
            read.iter().map(|one| one.iter().map(|relation| relation.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["a", "b", "c"], vec!["d"], vec!["e"]]);
        assert_eq!(dependencies("").unwrap().len(), 0);
    }

    #[test]
    fn what_is_provided_without_a_version_meets_no_bound() {
        let provides = provided("mail-transport-agent, libx (= 2.0)").unwrap();
        let any = |relation: &str| {
            let relation = &dependencies(relation).unwrap()[0][0];
            provides.iter().any(|provided| relation.is_met_by_provided(provided))
        };
        assert!(any("mail-transport-agent") && any("libx") && any("libx (>= 1.5)"));
        assert!(!any("mail-transport-agent (>= 1)") && !any("libx (>= 2.1)"));
        assert!(provided("libx (>= 2.0)").is_err());
    }

    #[test]
    fn what_is_no_relation_is_refused() {
        for text in
            ["a (1)", "a (>= )", "a (>= 1", "a b", "A", "a (=> 1)", "|", "a (>= 1) x", "a:x/y", "../a", "a (== 1)"]
        {
            assert!(dependencies(text).is_err(), "{text}");
        }
        assert!(dependencies(&"a, ".repeat(MAX_RELATIONS + 1)).is_err());
    }
}
