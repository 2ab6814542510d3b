//! Packages that changed, where both sides carry an SBOM.

use sealock_trust::Digest;

use super::Readable;
use super::artifacts::Pair;
use super::model::{Kind, PackageChange, PackageChanges};
use super::side::Entry;
use super::tree::{Part, Trees};
use crate::plain::Plain;
use crate::sbom::{self, Sbom, SbomError, Versions};

/// Artifacts whose SBOMs are compared at most.
const MAX_ARTIFACTS: usize = 500;
/// Changes that are named for one artifact.
const MAX_CHANGES: usize = 500;
/// SBOMs of one artifact that are tried.
const MAX_TRIED: usize = 8;

/// The package changes of every artifact of which both sides have an SBOM.
pub(super) fn changes<E>(
    pairs: &[Pair<'_>],
    sides: [&Readable<'_, E>; 2],
    trees: &[Trees; 2],
    notes: &mut Vec<Plain>,
) -> Result<Vec<PackageChanges>, E> {
    let mut found = Vec::new();
    for (old, new) in pairs.iter().filter_map(|pair| pair.old.zip(pair.new)) {
        let [before, after] = [trees[0].sboms(&old.digest), trees[1].sboms(&new.digest)];
        if before.is_empty() || after.is_empty() {
            if old.digest != new.digest && before.is_empty() != after.is_empty() {
                let which = if after.is_empty() { "has an SBOM no longer" } else { "has an SBOM only now" };
                notes.push(Plain::of(format_args!("{} {which}", new.name)));
            }
            continue;
        }
        if found.len() == MAX_ARTIFACTS {
            notes.push(Plain::of(format_args!("the SBOMs of {MAX_ARTIFACTS} artifacts are compared, and no more")));
            break;
        }
        for (platform, before) in &before {
            let Some(after) = after.get(platform) else { continue };
            if before == after {
                continue;
            }
            let old = read(before, sides[0], old, notes)?;
            let new_sbom = read(after, sides[1], new, notes)?;
            if let (Some(old), Some(new_sbom)) = (old, new_sbom) {
                let name = if platform.is_empty() { new.name.clone() } else { format!("{} ({platform})", new.name) };
                found.push(compare(Plain::of(name), &old, &new_sbom));
            }
        }
    }
    found.retain(|changes| !changes.changes.is_empty());
    Ok(found)
}

/// What is done with each SBOM of an artifact; false where it was the last one wanted.
pub(crate) type Each<'a> = dyn FnMut(&Plain, &Sbom) -> bool + 'a;

/// Hands the SBOMs of every image and chart of `readable` to `each`, one for each platform that has one, and answers the
/// names of those that have none.
pub(crate) fn sboms<E>(
    mut readable: Readable<'_, E>,
    notes: &mut Vec<Plain>,
    each: &mut Each<'_>,
) -> Result<Vec<Plain>, E> {
    let trees = Trees::of(&mut readable, notes)?;
    let mut without = Vec::new();
    let artifacts = readable.side.entries.iter().filter(|entry| matches!(entry.kind, Kind::Image | Kind::Chart));
    for (count, entry) in artifacts.enumerate() {
        if count == MAX_ARTIFACTS {
            notes.push(Plain::of(format_args!("the SBOMs of {MAX_ARTIFACTS} artifacts are read, and no more")));
            break;
        }
        let name = Plain::of(&entry.name);
        let mut has_one = false;
        for parts in trees.sboms(&entry.digest).values().take(MAX_TRIED) {
            let Some(sbom) = read(parts, &readable, entry, notes)? else { continue };
            has_one = true;
            if !each(&name, &sbom) {
                return Ok(without);
            }
        }
        if !has_one {
            without.push(name);
        }
    }
    Ok(without)
}

/// The first of `parts` that is an SBOM.
fn read<E>(parts: &[Part], side: &Readable<'_, E>, entry: &Entry, notes: &mut Vec<Plain>) -> Result<Option<Sbom>, E> {
    for Part { digest, .. } in parts.iter().take(MAX_TRIED) {
        let Some(bytes) = (side.read)(digest, sbom::MAX_BYTES)? else { continue };
        match Sbom::from_bytes(&bytes) {
            Ok(sbom) => return Ok(Some(sbom)),
            Err(SbomError::OtherPredicate(_)) => {}
            Err(error) => notes.push(unreadable(entry, digest, &error)),
        }
    }
    Ok(None)
}

fn unreadable(entry: &Entry, digest: &Digest, error: &SbomError) -> Plain {
    Plain::of(format_args!("{}: {digest} is not read as an SBOM: {error}", entry.name))
}

fn compare(artifact: Plain, old: &Sbom, new: &Sbom) -> PackageChanges {
    let versions = |package: Option<&Versions>| -> Vec<Plain> {
        package.iter().flat_map(|package| package.versions.iter().cloned()).collect()
    };
    let names = old.packages.keys().chain(new.packages.keys().filter(|name| !old.packages.contains_key(name)));
    let change = |name: &Plain| PackageChange {
        name: name.clone(),
        old: versions(old.packages.get(name)),
        new: versions(new.packages.get(name)),
    };
    let mut changes: Vec<PackageChange> = names.map(change).filter(|change| change.old != change.new).collect();
    let rank = |change: &PackageChange| match (change.old.is_empty(), change.new.is_empty()) {
        (false, false) => 0,
        (true, _) => 1,
        (_, true) => 2,
    };
    changes.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
    let left_out = changes.len().saturating_sub(MAX_CHANGES) as u64;
    changes.truncate(MAX_CHANGES);
    let counts = [old.count() as u64, new.count() as u64];
    PackageChanges { artifact, formats: [old.format, new.format], counts, changes, left_out }
}
