//! Guesses: what looks like an image, and whether it is carried.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

/// Which guesses are carried, and which are none of the bundle's. One that is in neither list stops the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuessRules {
    /// Patterns of guesses that are carried: `*` stands for any characters, slashes too, and `?` for one. Compared with the complete reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// Guesses that are not carried, and why. A refusal wins over an acceptance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuse: Vec<RefusedGuess>,
}

/// A guess that is not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefusedGuess {
    /// `*` stands for any characters, slashes too, and `?` for one. Compared with the complete reference.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Why it is not carried, in words.
    #[serde(deserialize_with = "reason")]
    pub reason: String,
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let reason = String::deserialize(deserializer)?;
    if reason.trim().is_empty() {
        return Err(serde::de::Error::custom("\"reason\" says in words why a guess is not carried"));
    }
    Ok(reason)
}

/// What the spec says about a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessDecision {
    /// It is carried.
    Accepted,
    /// It is not.
    Refused,
    /// Nothing: a person has to decide.
    Undecided,
}

impl GuessRules {
    /// What is said about the guess with the complete reference `name`.
    pub fn decide(&self, name: &str) -> GuessDecision {
        let fits = |pattern: &str| WildMatch::new(pattern).matches(name);
        if self.refuse.iter().any(|refused| fits(&refused.pattern)) {
            GuessDecision::Refused
        } else if self.accept.iter().any(|pattern| fits(pattern)) {
            GuessDecision::Accepted
        } else {
            GuessDecision::Undecided
        }
    }

    /// The patterns that fit none of `names`: what they were written for is gone.
    pub fn idle<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let patterns =
            self.accept.iter().map(String::as_str).chain(self.refuse.iter().map(|refused| refused.pattern.as_str()));
        patterns.filter(|pattern| !names.iter().any(|name| WildMatch::new(pattern).matches(name)))
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.accept.is_empty() && self.refuse.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_wins_over_an_acceptance() {
        let rules = GuessRules {
            accept: vec!["quay.io/*".to_owned()],
            refuse: vec![RefusedGuess { pattern: "quay.io/a/test:*".to_owned(), reason: "a test".to_owned() }],
        };
        assert_eq!(rules.decide("quay.io/a/b:1"), GuessDecision::Accepted);
        assert_eq!(rules.decide("quay.io/a/test:1"), GuessDecision::Refused);
        assert_eq!(rules.decide("docker.io/a/b:1"), GuessDecision::Undecided);
        assert_eq!(rules.idle(&["quay.io/a/b:1".to_owned()]).collect::<Vec<_>>(), ["quay.io/a/test:*"]);
    }
}
