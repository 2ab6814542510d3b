//! Guesses, and what the spec says about them.

use std::collections::{BTreeMap, BTreeSet};

use sealock_bundle::Reference;
use sealock_bundle::spec::{GuessDecision, GuessRules};

use super::Context;
use super::wishes::{self, Wishes};
use crate::discovery::Guess;
use crate::error::{FetchError, UndecidedGuess};
use crate::progress::Event;

/// What looks like an image, and where.
#[derive(Debug, Default)]
pub(crate) struct Guesses(BTreeMap<Reference, BTreeSet<String>>);

impl Guesses {
    /// Adds what was found in `origin`.
    pub(crate) fn add_all(&mut self, guesses: Vec<Guess>, origin: &str) {
        for Guess { image, path, shape } in guesses {
            self.0.entry(image).or_default().insert(format!("{origin}: {path} ({shape})"));
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        for (image, places) in other.0 {
            self.0.entry(image).or_default().extend(places);
        }
    }

    /// Whether `image` is among the guesses, or the same tag of it from another registry.
    pub(crate) fn shows(&self, image: &Reference) -> bool {
        self.0.keys().any(|guessed| wishes::is_same(guessed, image))
    }

    /// Wishes for what the spec accepts. What is wanted anyway needs no decision.
    pub(crate) fn settle(self, context: Context<'_>, wishes: &mut Wishes) -> Result<(), FetchError> {
        let rules = &context.request.bundle.spec.guesses;
        let open: BTreeMap<Reference, BTreeSet<String>> =
            self.0.into_iter().filter(|(image, _)| !wishes.holds(image)).collect();
        tell_idle(context, rules, &open);
        let mut undecided = Vec::new();
        for (image, places) in open {
            match rules.decide(&image.to_string()) {
                GuessDecision::Refused => {}
                GuessDecision::Accepted => {
                    places.into_iter().for_each(|place| wishes.add(image.clone(), format!("guess: {place}")));
                }
                GuessDecision::Undecided => {
                    undecided.push(UndecidedGuess { image, places: places.into_iter().collect() });
                }
            }
        }
        if undecided.is_empty() { Ok(()) } else { Err(FetchError::Undecided { guesses: undecided }) }
    }
}

/// Patterns that fit nothing any more do no harm, and are worth a look.
fn tell_idle(context: Context<'_>, rules: &GuessRules, open: &BTreeMap<Reference, BTreeSet<String>>) {
    let names: Vec<String> = open.keys().map(ToString::to_string).collect();
    for pattern in rules.idle(&names) {
        context.http.progress.report(&Event::Note(&format!("no guess fits the pattern {pattern} under `guesses`")));
    }
}
