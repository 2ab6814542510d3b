//! What one repository offers: what releases brought, and what was pushed beside it.

use std::sync::Arc;

use sealock_store::oci::Manifest;
use sealock_store::pushed;
use sealock_trust::Digest;

use super::Repository;
use crate::revoked::Affected;

/// One repository, from both sides. What releases brought comes first.
#[derive(Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub(crate) release: Option<&'a Repository>,
    pub(crate) pushed: Option<&'a pushed::Repository>,
}

impl<'a> Shelf<'a> {
    /// Whether there is no such repository.
    pub(crate) fn is_absent(&self) -> bool {
        self.release.is_none() && self.pushed.is_none()
    }

    /// The manifest that a tag or a digest stands for.
    pub(crate) fn manifest(&self, reference: &str) -> Option<&'a Arc<Manifest>> {
        if let Some(manifest) = self.release.and_then(|release| release.manifest(reference)) {
            return Some(manifest);
        }
        let pushed = self.pushed.filter(|_| self.blocked(reference).is_none())?;
        match reference.parse::<Digest>() {
            Ok(digest) => self.pushed_manifest(&digest),
            Err(_) => self.pushed_manifest(&pushed.tag(reference)?.digest),
        }
    }

    /// The manifest `digest`.
    pub(crate) fn manifest_by_digest(&self, digest: &Digest) -> Option<&'a Arc<Manifest>> {
        let of_release = self.release.and_then(|release| release.manifest_by_digest(digest));
        of_release.or_else(|| self.pushed_manifest(digest))
    }

    /// The size in bytes of the blob `digest`, where a manifest leads to it; or, for whoever may push here, where it waits for one.
    pub(crate) fn blob(&self, digest: &Digest, may_push: bool) -> Option<u64> {
        let of_release = self.release.and_then(|release| release.blob(digest));
        of_release.or_else(|| {
            let pushed = self.pushed.filter(|pushed| may_push || pushed.refers_to(digest))?;
            pushed.blob(digest).filter(|_| self.is_clear(digest))
        })
    }

    /// Every tag, in the order of bytes; those behind `last` where it is given.
    pub(crate) fn tags(&self, last: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let of_release = self.release.into_iter().flat_map(move |release| release.tags(last));
        let pushed = self.pushed.into_iter().flat_map(move |pushed| pushed.tags(last).map(|(tag, _)| tag.as_str()));
        merged(of_release, pushed)
    }

    /// Every manifest whose subject is `digest`, sorted by digest.
    pub(crate) fn referrers(&self, digest: &Digest) -> Vec<&'a Arc<Manifest>> {
        let mut referrers = self.release.map(|release| release.referrers(digest)).unwrap_or_default();
        if let Some(pushed) = self.pushed {
            let of_pushed = pushed.referrers(digest).map(|held| &held.manifest);
            referrers.extend(of_pushed.filter(|manifest| self.is_clear(&manifest.digest)));
        }
        referrers.sort_by(|a, b| a.digest.cmp(&b.digest));
        referrers.dedup_by(|a, b| a.digest == b.digest);
        referrers
    }

    /// Why `reference`, a tag or a digest, cannot be had, where it was revoked.
    pub(crate) fn blocked(&self, reference: &str) -> Option<&'a Affected> {
        self.release.and_then(|release| release.blocked(reference))
    }

    fn pushed_manifest(&self, digest: &Digest) -> Option<&'a Arc<Manifest>> {
        let held = self.pushed.and_then(|pushed| pushed.manifest(digest));
        held.map(|held| &held.manifest).filter(|_| self.is_clear(digest))
    }

    /// Whoever pushes what a release may not bring any more brings it no nearer.
    fn is_clear(&self, digest: &Digest) -> bool {
        self.release.is_none_or(|release| release.blocked(&digest.to_string()).is_none())
    }
}

/// Two lists in order as one, with nothing twice.
pub(crate) fn merged<'a>(
    one: impl Iterator<Item = &'a str>,
    other: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if a == b => {
            other.next();
            one.next()
        }
        (Some(a), Some(b)) if a > b => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn merging_is_a_union_in_order(one: BTreeSet<String>, other: BTreeSet<String>) {
            let union: Vec<_> = one.union(&other).map(String::as_str).collect();
            let both = merged(one.iter().map(String::as_str), other.iter().map(String::as_str));
            prop_assert_eq!(both.collect::<Vec<_>>(), union);
        }
    }
}
