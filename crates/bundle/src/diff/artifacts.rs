//! Which artifact of one side is which of the other, and how they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Amount, ArtifactChange, Change, Kind, State, Unchanged};
use super::side::{Entry, Side};
use super::tree::{Tree, Trees};
use crate::plain::Plain;

/// The same artifact on both sides, or on one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) old: Option<&'a Entry>,
    pub(super) new: Option<&'a Entry>,
}

/// Pairs by name; what is left by repository and platform, where it is one version against one.
pub(super) fn pairs<'a>(old: &'a Side, new: &'a Side) -> Vec<Pair<'a>> {
    let by_name = |side: &'a Side| -> BTreeMap<(&'a str, bool), &'a Entry> {
        side.entries.iter().map(|entry| ((entry.key.as_str(), entry.kind == Kind::Manifest), entry)).collect()
    };
    let (old, mut new) = (by_name(old), by_name(new));
    let mut pairs = Vec::new();
    let mut gone = Vec::new();
    for (key, old) in old {
        match new.remove(&key) {
            Some(new) => pairs.push(Pair { old: Some(old), new: Some(new) }),
            None => gone.push(old),
        }
    }
    pairs.extend(by_line(gone, new.into_values().collect()));
    pairs
}

fn by_line<'a>(gone: Vec<&'a Entry>, come: Vec<&'a Entry>) -> Vec<Pair<'a>> {
    let mut lines: BTreeMap<Line, (Vec<&Entry>, Vec<&Entry>)> = BTreeMap::new();
    for entry in gone {
        lines.entry(line(entry)).or_default().0.push(entry);
    }
    for entry in come {
        lines.entry(line(entry)).or_default().1.push(entry);
    }
    let pair = |(old, new): (Vec<&'a Entry>, Vec<&'a Entry>)| match (old.as_slice(), new.as_slice()) {
        ([old], [new]) => vec![Pair { old: Some(old), new: Some(new) }],
        _ => {
            let old = old.into_iter().map(|old| Pair { old: Some(old), new: None });
            old.chain(new.into_iter().map(|new| Pair { old: None, new: Some(new) })).collect()
        }
    };
    lines.into_values().flat_map(pair).collect()
}

/// What stays the same from version to version: kind, platform, and the repository with the tag's text taken out of it,
/// since files carry their version in the path too.
pub(super) type Line = (Kind, Option<String>, String);

pub(super) fn line(entry: &Entry) -> Line {
    let (repository, version) = split(&entry.key);
    // Components are called file in a release, which does not say their platform; the path says it too.
    let kind = if entry.kind == Kind::Component { Kind::File } else { entry.kind };
    let plain = version.strip_prefix('v').unwrap_or(version);
    let repository = if plain.len() > 2 { repository.replace(plain, "*") } else { repository.to_owned() };
    (kind, None, repository)
}

/// Repository, and tag or digest.
pub(super) fn split(name: &str) -> (&str, &str) {
    let at = name.find('@').or_else(|| name.rfind(':').filter(|at| !name.get(*at..).unwrap_or("").contains('/')));
    at.map_or((name, ""), |at| (name.get(..at).unwrap_or(name), name.get(at + 1..).unwrap_or("")))
}

/// Every pair that differs: by kind, then by name.
pub(super) fn changes(pairs: &[Pair<'_>], [old, _]: [&Side; 2], trees: &[Trees; 2]) -> Vec<ArtifactChange> {
    let change = |pair: &Pair<'_>| {
        let [before, after] =
            [pair.old.map(|entry| state(entry, &trees[0])), pair.new.map(|entry| state(entry, &trees[1]))];
        let change = kind_of(pair, before.as_ref(), after.as_ref())?;
        let kind = pair.new.or(pair.old)?.kind;
        let travels = pair.new.and_then(|entry| trees[1].get(&entry.digest)).map(|tree| missing(tree, old));
        Some(ArtifactChange { change, kind, old: before, new: after, travels })
    };
    let mut changes: Vec<ArtifactChange> = pairs.iter().filter_map(change).collect();
    changes.sort_by(|a, b| (a.kind, a.name(), a.change).cmp(&(b.kind, b.name(), b.change)));
    changes
}

fn kind_of(pair: &Pair<'_>, before: Option<&State>, after: Option<&State>) -> Option<Change> {
    match (pair.old, pair.new) {
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (Some(old), Some(new)) if old.key != new.key => Some(Change::Replaced),
        (Some(old), Some(new)) if old.digest != new.digest => Some(Change::Changed),
        _ => {
            let (before, after) = (before?, after?);
            // A release says nothing about origins, and a lock nothing about platforms: that is no change.
            let origins = before.origin.as_ref().zip(after.origin.as_ref()).is_some_and(|(a, b)| a != b);
            let both = !before.platforms.is_empty() && !after.platforms.is_empty();
            let vendors = before.vendor != after.vendor;
            (origins || vendors || both && before.platforms != after.platforms).then_some(Change::Metadata)
        }
    }
}

fn state(entry: &Entry, trees: &Trees) -> State {
    let tree = trees.get(&entry.digest);
    let of_tree: Vec<Plain> = tree.iter().flat_map(|tree| tree.platforms.keys()).map(Plain::of).collect();
    State {
        name: Plain::of(&entry.name),
        digest: Plain::of(&entry.digest),
        content: tree.map(Tree::content),
        platforms: if of_tree.is_empty() { entry.platform.iter().map(Plain::of).collect() } else { of_tree },
        origin: entry.origin.clone(),
        vendor: entry.vendor.as_ref().map(Plain::of),
    }
}

/// What of `tree` the side `old` lacks.
fn missing(tree: &Tree, old: &Side) -> Amount {
    let mut amount = Amount::default();
    for (_, size) in tree.blobs.iter().filter(|(digest, _)| !old.blobs.contains_key(digest)) {
        amount.add(*size);
    }
    amount
}

/// How many pairs of each kind do not differ.
pub(super) fn unchanged(pairs: &[Pair<'_>], changes: &[ArtifactChange]) -> Vec<Unchanged> {
    let changed: BTreeSet<(Kind, &Plain)> = changes.iter().map(|change| (change.kind, change.name())).collect();
    let count = |kind| {
        let of_kind = pairs.iter().filter_map(|pair| pair.new.filter(|entry| entry.kind == kind && pair.old.is_some()));
        of_kind.filter(|entry| !changed.contains(&(kind, &Plain::of(&entry.name)))).count() as u64
    };
    let counted = Kind::ALL.into_iter().map(|kind| Unchanged { kind, count: count(kind) });
    counted.filter(|unchanged| unchanged.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use sealock_trust::Digest;

    use super::*;

    fn entry(name: &str, kind: Kind) -> Entry {
        let digest = Digest::sha256(name.as_bytes());
        Entry { key: name.into(), name: name.into(), kind, digest, platform: None, origin: None, vendor: None }
    }

    #[test]
    fn a_version_is_taken_out_of_tag_and_path() {
        let of = |version: &str| {
            entry(&format!("dl.k8s.io/release/{version}/bin/linux/amd64/kubeadm:{version}"), Kind::Component)
        };
        assert_eq!(line(&of("v1.36.3")), line(&of("v1.36.4")));
        assert_ne!(line(&entry("quay.io/a/b:1", Kind::Image)), line(&entry("quay.io/a/c:1", Kind::Image)));
        assert_eq!(split("localhost:5000/x"), ("localhost:5000/x", ""));
    }

    #[test]
    fn one_version_is_paired_with_one_and_several_with_none() {
        let [a, b, c] = ["x/a:1", "x/a:2", "x/a:3"].map(|name| entry(name, Kind::Image));
        assert_eq!(by_line(vec![&a], vec![&b]).len(), 1);
        assert_eq!(by_line(vec![&a], vec![&b, &c]).len(), 3);
    }
}
