//! What somebody was told, and may rely on from then on, whatever happens to the machine (I1).
//!
//! A line says of a thing what holds of it, or that this is about to change: until the next word about it, the old and the new are both right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use sealock_store::pushed::Pushed;
use sealock_trust::Digest;

use super::place::{Place, WHO};

/// What is said of a thing that is not there.
pub(crate) const NOTHING: &str = "-";

/// Everything that was told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    settled: BTreeMap<String, String>,
    changing: BTreeSet<String>,
}

/// Whoever has something done, and is told what came of it.
pub(crate) struct Client<'a> {
    hear: &'a mut dyn FnMut(&str),
}

impl<'a> Client<'a> {
    pub(crate) fn new(hear: &'a mut dyn FnMut(&str)) -> Self {
        Self { hear }
    }

    /// `thing` is about to change.
    pub(crate) fn changes(&mut self, thing: &str) {
        (self.hear)(&format!("? {thing}"));
    }

    /// `thing` is `value` from now on.
    pub(crate) fn knows(&mut self, thing: &str, value: &(impl Display + ?Sized)) {
        (self.hear)(&format!("= {thing} := {value}"));
    }
}

impl Told {
    /// Every whole line of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let mut told = Self::default();
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).for_each(|line| told.hear(line));
        told
    }

    pub(crate) fn hear(&mut self, line: &str) {
        if let Some(thing) = line.strip_prefix("? ") {
            self.settled.remove(thing);
            self.changing.insert(thing.to_owned());
        } else if let Some((thing, value)) = line.strip_prefix("= ").and_then(|line| line.split_once(" := ")) {
            self.changing.remove(thing);
            self.settled.insert(thing.to_owned(), value.to_owned());
        }
    }

    /// Whether it is about pushed content, too.
    pub(crate) fn is_pushed(&self) -> bool {
        let of_pushed =
            |thing: &String| ["blob ", "manifest ", "tag ", "upload "].iter().any(|kind| thing.starts_with(kind));
        self.settled.keys().chain(&self.changing).any(of_pushed)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.settled.is_empty()
    }

    /// Whether the blob may be there or not.
    pub(crate) fn may_lack(&self, digest: &str) -> bool {
        let thing = format!("stored {digest}");
        self.changing.contains(&thing) || self.settled.get(&thing).is_some_and(|value| value == NOTHING)
    }

    /// The blobs of which one must not hear that they are missing.
    pub(crate) fn about_blobs(&self) -> impl Iterator<Item = &str> {
        self.settled.keys().chain(&self.changing).filter_map(|thing| thing.strip_prefix("stored "))
    }

    /// I1: what was told holds.
    pub(crate) fn check(&self, place: &Place, pushed: Option<&Pushed>) {
        for (thing, value) in &self.settled {
            let found = found(place, pushed, thing);
            assert_eq!(found, *value, "I1: somebody was told of `{thing}`");
        }
    }
}

/// What is there now.
fn found(place: &Place, pushed: Option<&Pushed>, thing: &str) -> String {
    let words: Vec<&str> = thing.split(' ').collect();
    let found = match (words.as_slice(), pushed) {
        (["current"], _) => place.store().current_number().unwrap().map(|number| number.to_string()),
        (["release", number], _) => place.release(number.parse().unwrap()).map(|release| release.digest.to_string()),
        (["retired", number], _) => yes(!place.store().standing().unwrap().is_live(number.parse().unwrap())),
        (["pinned", number], _) => yes(place.store().standing().unwrap().pinned.contains(&number.parse().unwrap())),
        (["stored", digest], _) => place.content(digest).map(|_| "yes".to_owned()),
        (["quarantined", digest], _) => yes(place.store().quarantined().unwrap().contains(&parse(digest))),
        (["blob", repository, digest], Some(pushed)) => {
            let snapshot = pushed.snapshot();
            let size = snapshot.repository(repository).and_then(|it| it.blob(&parse(digest)));
            // Its name alone is nothing.
            size.map(|size| place.content(digest).map_or_else(|| "torn".to_owned(), |_| size.to_string()))
        }
        (["manifest", repository, digest], Some(pushed)) => {
            let snapshot = pushed.snapshot();
            let held = snapshot.repository(repository).and_then(|it| it.manifest(&parse(digest)).cloned());
            held.map(|held| Digest::sha256(&held.manifest.bytes).to_string())
        }
        (["tag", repository, tag], Some(pushed)) => {
            let snapshot = pushed.snapshot();
            let tag = snapshot.repository(repository).and_then(|it| it.tag(tag).cloned());
            tag.map(|tag| format!("{} by record {}", tag.digest, tag.generation))
        }
        (["upload", repository, id], Some(pushed)) => {
            pushed.acknowledged(repository, WHO, id).ok().map(|offset| offset.to_string())
        }
        _ => panic!("nobody knows what `{thing}` is"),
    };
    found.unwrap_or_else(|| NOTHING.to_owned())
}

fn yes(is_so: bool) -> Option<String> {
    is_so.then(|| "yes".to_owned())
}

fn parse(digest: &str) -> Digest {
    digest.parse().unwrap()
}

#[test]
fn the_last_word_counts_and_a_torn_line_is_none() {
    let told = Told::of("= current := 1\n? current\n= retired 1 := yes\n= retired 2 := ye");
    assert_eq!(told.settled, BTreeMap::from([("retired 1".to_owned(), "yes".to_owned())]));
    assert!(told.changing.contains("current"));
}
