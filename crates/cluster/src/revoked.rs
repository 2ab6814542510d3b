//! What of the release is revoked. Planning is told it as facts: it reads no list itself.

use std::collections::BTreeMap;
use std::fmt;

use sealock_trust::Digest;

/// What is known against one reference of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// What the name stands for.
    pub reference: Digest,
    /// What was revoked: that, or something that hangs on it.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// Whether it is blocked. If not, a live cluster uses it, and the site has to confirm.
    pub blocked: bool,
}

/// Everything that is known against a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeMap<Digest, Fact>);

impl Revoked {
    /// What is known against the reference that stands for `digest`.
    pub fn of(&self, digest: &Digest) -> Option<&Fact> {
        self.0.get(digest)
    }

    /// The references that are blocked, by what they stand for, sorted.
    pub fn blocked(&self) -> impl Iterator<Item = &Digest> {
        self.0.values().filter(|fact| fact.blocked).map(|fact| &fact.reference)
    }
}

impl FromIterator<Fact> for Revoked {
    fn from_iter<I: IntoIterator<Item = Fact>>(facts: I) -> Self {
        let mut all = BTreeMap::new();
        for fact in facts {
            // One content under two names: blocked outweighs an alarm.
            let known: &mut Fact = all.entry(fact.reference.clone()).or_insert_with(|| fact.clone());
            if fact.blocked && !known.blocked {
                *known = fact;
            }
        }
        Self(all)
    }
}

/// Something revoked that is needed, and what needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What is known against it.
    pub fact: Fact,
    /// What needs it: steps of a plan, or objects of an app.
    pub places: Vec<String>,
}

impl Needed {
    /// Everything revoked among what is `wanted`, each once with every place that wants it.
    pub(crate) fn among<'a>(wanted: impl IntoIterator<Item = (&'a Digest, String)>, revoked: &Revoked) -> Vec<Self> {
        let mut found: BTreeMap<&Digest, Self> = BTreeMap::new();
        for (digest, place) in wanted {
            let Some(fact) = revoked.of(digest) else { continue };
            let needed = found.entry(digest).or_insert_with(|| Self { fact: fact.clone(), places: Vec::new() });
            if !needed.places.contains(&place) {
                needed.places.push(place);
            }
        }
        found.into_values().collect()
    }

    /// Several, each on a line of its own.
    pub(crate) fn lines(all: &[Self]) -> String {
        all.iter().map(|needed| format!("\n  {needed}")).collect()
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fact: Fact { name, reference, digest, reason, .. }, places } = self;
        let through = if digest == reference { String::new() } else { format!(" through {digest}") };
        write!(f, "{name} ({reference}{through}): {reason}; needed by {}", places.join(", "))
    }
}
