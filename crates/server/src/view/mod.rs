//! What can be pulled: everything that hangs on the references of the current release, and of older ones that are needed
//! still, and nothing else. A tag stands for what the newest of them says.
//!
//! A view is built whole and never changes; requests read it without locks.

mod evidence;
pub(crate) mod name;
pub(crate) mod shelf;
pub(crate) mod vouched;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use sealock_store::closure::{Closure, ClosureError, Reader};
use sealock_store::oci::Manifest;
use sealock_store::release::Reference;
use sealock_store::{Published, Store};
use sealock_trust::Digest;

use name::ReferenceName;

use crate::revoked::{Affected, Revocations};

/// Why something that a release names cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// It is not whole.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// Another name that leads to the same tag came first.
    #[error("its tag is {first} already, under another spelling of the name")]
    Taken {
        /// What the tag stands for.
        first: Digest,
    },
    /// The name is none that a registry can answer to.
    #[error("it is no legal reference")]
    Name,
}

/// The current release as a registry.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The number of the release; none in an empty store.
    pub(crate) release: Option<u64>,
    repositories: BTreeMap<String, Repository>,
    /// The references that cannot be served, with the reason.
    pub(crate) problems: Vec<(String, ViewError)>,
    /// What is revoked, whether it is blocked or raises an alarm.
    pub(crate) affected: Vec<Affected>,
    /// What only older releases lead to.
    older: HashSet<Digest>,
}

/// One repository of the view.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    tags: BTreeMap<String, Digest>,
    manifests: HashMap<Digest, Arc<Manifest>>,
    /// With their sizes, in bytes.
    blobs: HashMap<Digest, u64>,
    /// What is blocked, by tag or digest, with the reason.
    blocked: HashMap<String, Arc<Affected>>,
}

impl View {
    /// The view of `published`, and of the `older` releases, newest first. A reference whose content is damaged is left out, and
    /// stands among the problems: what is whole stays servable, and a pull that began can finish.
    pub(crate) fn build(
        store: &Store,
        published: Option<&Published>,
        older: &[Published],
        revocations: &Revocations,
    ) -> Self {
        let Some(published) = published else { return Self::default() };
        let mut view = Self { release: Some(published.release.number), ..Self::default() };
        let mut reader = Reader::new(store);
        let mut seen = HashSet::new();
        view.add_all(&mut reader, published, revocations, &mut seen);
        if older.is_empty() {
            return view;
        }
        let current: HashSet<Digest> = view.digests().cloned().collect();
        for published in older {
            view.add_all(&mut reader, published, revocations, &mut seen);
        }
        let older = view.digests().filter(|digest| !current.contains(digest)).cloned().collect();
        Self { older, ..view }
    }

    /// Adds what no newer release names likewise.
    fn add_all(
        &mut self,
        reader: &mut Reader<'_>,
        published: &Published,
        revocations: &Revocations,
        seen: &mut HashSet<(String, Digest)>,
    ) {
        let is_current = self.release == Some(published.release.number);
        for reference in &published.release.references {
            // The same name from two streams of one release is judged for each.
            let is_known = !seen.insert((reference.name.clone(), reference.digest.clone()));
            if is_known && !is_current {
                continue;
            }
            if let Err(error) = self.add(reader, reference, revocations, is_current) {
                tracing::error!(reference = reference.name, %error, "cannot be served");
                self.problems.push((reference.name.clone(), error));
            }
        }
    }

    pub(crate) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// Every repository, by name; those behind `last` where it is given.
    pub(crate) fn repositories(&self, last: Option<&str>) -> impl Iterator<Item = (&String, &Repository)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.repositories.range::<str, _>((from, Bound::Unbounded))
    }

    /// Everything of the current release that can be pulled, some of it more than once.
    pub(crate) fn current_digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests().filter(|digest| !self.older.contains(digest))
    }

    fn digests(&self) -> impl Iterator<Item = &Digest> {
        let all = self.repositories.values();
        all.flat_map(|repository| repository.manifests.keys().chain(repository.blobs.keys()))
    }

    fn add(
        &mut self,
        reader: &mut Reader<'_>,
        reference: &Reference,
        revocations: &Revocations,
        is_current: bool,
    ) -> Result<(), ViewError> {
        let name = ReferenceName::parse(&reference.name).ok_or(ViewError::Name)?;
        let closure = reader.closure(&reference.digest, &reference.media_type)?;
        let repository = self.repositories.entry(name.repository).or_default();
        let taken = name.tag.as_ref().and_then(|tag| repository.tags.get(tag));
        let taken = taken.filter(|first| **first != reference.digest);
        if let Some(first) = taken.filter(|_| is_current) {
            return Err(ViewError::Taken { first: first.clone() });
        }
        // A newer release says what the tag stands for; by digest the older content is still there.
        let tag = name.tag.filter(|_| taken.is_none());
        if let Some(affected) = revocations.judge(reference, &closure) {
            let (name_of, digest, reason) = (&affected.name, &affected.digest, &affected.reason);
            tracing::warn!(reference = name_of, %digest, reason, blocked = affected.blocked, "revoked");
            self.affected.push(affected.clone());
            if affected.blocked {
                repository.block(&closure, tag, affected);
                return Ok(());
            }
        }
        repository.extend(closure);
        if let Some(tag) = tag {
            repository.tags.insert(tag, reference.digest.clone());
        }
        Ok(())
    }
}

impl Repository {
    /// The manifest that a tag or a digest stands for.
    pub(crate) fn manifest(&self, reference: &str) -> Option<&Arc<Manifest>> {
        let by_digest = || reference.parse().ok().and_then(|digest: Digest| self.manifests.get(&digest));
        self.tags.get(reference).map_or_else(by_digest, |digest| self.manifests.get(digest))
    }

    /// Every tag, in the order of bytes; those behind `last` where it is given.
    pub(crate) fn tags(&self, last: Option<&str>) -> impl Iterator<Item = &str> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.tags.range::<str, _>((from, Bound::Unbounded)).map(|(tag, _)| tag.as_str())
    }

    /// Whether `tag` comes with the release, or came and was revoked.
    pub(crate) fn takes_tag(&self, tag: &str) -> bool {
        self.tags.contains_key(tag) || self.blocked.contains_key(tag)
    }

    /// The manifest `digest`, if it is reachable here.
    pub(crate) fn manifest_by_digest(&self, digest: &Digest) -> Option<&Arc<Manifest>> {
        self.manifests.get(digest)
    }

    /// The size in bytes of the blob `digest`, if it is reachable here.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).copied()
    }

    /// Every manifest whose subject is `digest`, sorted by digest.
    pub(crate) fn referrers(&self, digest: &Digest) -> Vec<&Arc<Manifest>> {
        let refers = |manifest: &&Arc<Manifest>| manifest.parts.subject.as_ref().is_some_and(|s| s.digest == *digest);
        let mut referrers: Vec<_> = self.manifests.values().filter(refers).collect();
        referrers.sort_by(|a, b| a.digest.cmp(&b.digest));
        referrers
    }

    /// Why `reference`, a tag or a digest, cannot be had, where it was revoked and is not reachable otherwise.
    pub(crate) fn blocked(&self, reference: &str) -> Option<&Affected> {
        self.blocked.get(reference).map(Arc::as_ref)
    }

    fn block(&mut self, closure: &Closure, tag: Option<String>, affected: Affected) {
        let affected = Arc::new(affected);
        let digests = closure.digests().map(Digest::to_string);
        self.blocked.extend(digests.chain(tag).map(|name| (name, affected.clone())));
    }

    fn extend(&mut self, closure: Closure) {
        self.manifests.extend(closure.manifests.into_iter().map(|manifest| (manifest.digest.clone(), manifest)));
        self.blobs.extend(closure.blobs);
    }
}
