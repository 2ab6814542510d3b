//! All pushed content at one moment. A snapshot never changes: a request reads it without locks, and the writer makes the
//! next one of it, sharing all that stays.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use sealock_trust::Digest;

use super::rows::{Entry, Row, Tag};
use crate::oci::Manifest;

/// All pushed content at one moment.
#[derive(Clone, Default)]
pub struct Snapshot {
    repositories: RedBlackTreeMapSync<String, Arc<Repository>>,
    /// How many manifests, of any repository, each digest is or hangs on.
    reached: HashTrieMapSync<Digest, u64>,
    /// How many repositories hold each blob.
    holders: HashTrieMapSync<Digest, u64>,
    /// By repository and digest.
    lost: RedBlackTreeMapSync<(String, Digest), Arc<Lost>>,
}

/// A manifest that was pushed and is not in the store as it was. Nobody knows what hangs on it: what its repository holds stays,
/// until it is pushed again or deleted, or was healed before a start.
#[derive(Clone, Debug)]
pub struct Lost {
    /// What is known of it.
    pub entry: Entry,
    /// Why it cannot be read.
    pub problem: String,
}

/// What was pushed to one repository.
#[derive(Clone, Default)]
pub struct Repository {
    tags: RedBlackTreeMapSync<String, Tag>,
    manifests: HashTrieMapSync<Digest, Held>,
    blobs: HashTrieMapSync<Digest, u64>,
    /// Subject and manifest, in order.
    referrers: RedBlackTreeMapSync<(Digest, Digest), ()>,
    /// How many of its manifests refer to each digest.
    edges: HashTrieMapSync<Digest, u64>,
    /// Bytes of all its manifests and blobs.
    used: u64,
}

/// A manifest, and why it is there.
#[derive(Clone, Debug)]
pub struct Held {
    /// Byte for byte.
    pub manifest: Arc<Manifest>,
    /// What is known of it.
    pub entry: Arc<Entry>,
}

impl Snapshot {
    /// What was pushed to `name`.
    pub fn repository(&self, name: &str) -> Option<&Arc<Repository>> {
        self.repositories.get(name)
    }

    /// Every repository that holds something, by name; those behind `last` where it is given.
    pub fn repositories(&self, last: Option<&str>) -> impl Iterator<Item = (&String, &Arc<Repository>)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.repositories.range::<str, _>((from, Bound::Unbounded))
    }

    /// Whether some manifest of some repository is `digest`, or refers to it: the garbage collector leaves it alone.
    pub fn is_reached(&self, digest: &Digest) -> bool {
        self.reached.contains_key(digest)
    }

    /// Whether some repository holds the blob.
    pub fn is_held(&self, digest: &Digest) -> bool {
        self.holders.contains_key(digest)
    }

    /// Every manifest that cannot be read, with its repository.
    pub fn lost(&self) -> impl Iterator<Item = (&str, &Digest, &Lost)> {
        self.lost.iter().map(|((repository, digest), lost)| (repository.as_str(), digest, lost.as_ref()))
    }

    /// Whether `digest` is one of them.
    pub(crate) fn is_lost(&self, repository: &str, digest: &Digest) -> bool {
        self.lost.contains_key(&(repository.to_owned(), digest.clone()))
    }

    /// Whether one of them was pushed to `repository`.
    pub(crate) fn has_lost(&self, repository: &str) -> bool {
        self.lost().any(|(of, _, _)| of == repository)
    }

    /// Takes note of a manifest that cannot be read.
    pub(crate) fn lose(&mut self, repository: String, digest: Digest, lost: Lost) {
        self.lost.insert_mut((repository, digest), Arc::new(lost));
    }

    /// Changes one row. A manifest that comes must be given.
    pub(crate) fn set(&mut self, row: Row, manifest: Option<&Arc<Manifest>>) {
        let name = match &row {
            Row::Blob { repository, .. } | Row::Manifest { repository, .. } | Row::Tag { repository, .. } => {
                repository.clone()
            }
        };
        let mut repository = self.repositories.get(&name).map(|it| (**it).clone()).unwrap_or_default();
        match row {
            Row::Blob { digest, size, .. } => self.set_blob(&mut repository, digest, size),
            Row::Tag { tag, stands_for: Some(stands_for), .. } => repository.tags.insert_mut(tag, stands_for),
            Row::Tag { tag, stands_for: None, .. } => {
                repository.tags.remove_mut(&tag);
            }
            Row::Manifest { digest, entry, .. } => {
                self.lost.remove_mut(&(name.clone(), digest.clone()));
                self.remove_manifest(&mut repository, &digest);
                if let (Some(entry), Some(manifest)) = (entry, manifest) {
                    let held = Held { manifest: manifest.clone(), entry: Arc::new(entry) };
                    self.add_manifest(&mut repository, held);
                }
            }
        }
        if repository.is_empty() {
            self.repositories.remove_mut(&name);
        } else {
            self.repositories.insert_mut(name, Arc::new(repository));
        }
    }

    fn set_blob(&mut self, repository: &mut Repository, digest: Digest, size: Option<u64>) {
        if let Some(before) = repository.blobs.get(&digest).copied() {
            repository.blobs.remove_mut(&digest);
            repository.used = repository.used.saturating_sub(before);
            less(&mut self.holders, &digest);
        }
        if let Some(size) = size {
            more(&mut self.holders, &digest);
            repository.used = repository.used.saturating_add(size);
            repository.blobs.insert_mut(digest, size);
        }
    }

    fn add_manifest(&mut self, repository: &mut Repository, held: Held) {
        let manifest = &held.manifest;
        more(&mut self.reached, &manifest.digest);
        for child in manifest.children() {
            more(&mut self.reached, &child.digest);
            more(&mut repository.edges, &child.digest);
        }
        if let Some(subject) = &manifest.parts.subject {
            repository.referrers.insert_mut((subject.digest.clone(), manifest.digest.clone()), ());
        }
        repository.used = repository.used.saturating_add(manifest.bytes.len() as u64);
        repository.manifests.insert_mut(manifest.digest.clone(), held);
    }

    fn remove_manifest(&mut self, repository: &mut Repository, digest: &Digest) {
        let Some(Held { manifest, .. }) = repository.manifests.get(digest).cloned() else { return };
        less(&mut self.reached, digest);
        for child in manifest.children() {
            less(&mut self.reached, &child.digest);
            less(&mut repository.edges, &child.digest);
        }
        if let Some(subject) = &manifest.parts.subject {
            repository.referrers.remove_mut(&(subject.digest.clone(), digest.clone()));
        }
        repository.used = repository.used.saturating_sub(manifest.bytes.len() as u64);
        repository.manifests.remove_mut(digest);
    }
}

impl Repository {
    /// What `tag` stands for.
    pub fn tag(&self, tag: &str) -> Option<&Tag> {
        self.tags.get(tag)
    }

    /// Every tag, in the order of bytes; those behind `last` where it is given.
    pub fn tags(&self, last: Option<&str>) -> impl Iterator<Item = (&String, &Tag)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.tags.range::<str, _>((from, Bound::Unbounded))
    }

    /// The manifest `digest`.
    pub fn manifest(&self, digest: &Digest) -> Option<&Held> {
        self.manifests.get(digest)
    }

    /// Every manifest, in no order.
    pub fn manifests(&self) -> impl Iterator<Item = &Held> {
        self.manifests.values()
    }

    /// The length in bytes of the blob `digest`, whether or not a manifest leads to it.
    pub fn blob(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).copied()
    }

    /// Every blob with its length in bytes, in no order.
    pub fn blobs(&self) -> impl Iterator<Item = (&Digest, u64)> {
        self.blobs.iter().map(|(digest, size)| (digest, *size))
    }

    /// Bytes of all manifests and blobs that were pushed here: what a quota bounds. No smaller for [`Repository::only`].
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Whether a manifest of this repository refers to `digest`.
    pub fn refers_to(&self, digest: &Digest) -> bool {
        self.edges.contains_key(digest)
    }

    /// Every manifest whose subject is `digest`, sorted by digest.
    pub fn referrers(&self, digest: &Digest) -> impl Iterator<Item = &Held> {
        let digest = digest.clone();
        // The first of its subject: no digest sorts before this one.
        let first = (digest.clone(), Digest::from_sha256([0; 32]));
        let behind = self.referrers.range(first..);
        let of_it = behind.take_while(move |((subject, _), ())| *subject == digest);
        of_it.filter_map(|((_, referrer), ())| self.manifests.get(referrer))
    }

    /// The repository with no other manifests than those for which `is_wanted` says so. A blob is still there, and counts as
    /// referred to where one of these refers to it.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&Digest) -> bool) -> Self {
        let mut only = Self { blobs: self.blobs.clone(), used: self.used, ..Self::default() };
        for held in self.manifests.values().filter(|held| is_wanted(&held.manifest.digest)) {
            let manifest = &held.manifest;
            for child in manifest.children() {
                more(&mut only.edges, &child.digest);
            }
            if let Some(subject) = &manifest.parts.subject {
                only.referrers.insert_mut((subject.digest.clone(), manifest.digest.clone()), ());
            }
            only.manifests.insert_mut(manifest.digest.clone(), held.clone());
        }
        for (name, tag) in self.tags.iter().filter(|(_, tag)| is_wanted(&tag.digest)) {
            only.tags.insert_mut(name.clone(), tag.clone());
        }
        only
    }

    fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.manifests.is_empty() && self.blobs.is_empty()
    }
}

fn more(counts: &mut HashTrieMapSync<Digest, u64>, digest: &Digest) {
    let count = counts.get(digest).copied().unwrap_or_default();
    counts.insert_mut(digest.clone(), count + 1);
}

fn less(counts: &mut HashTrieMapSync<Digest, u64>, digest: &Digest) {
    match counts.get(digest).copied() {
        Some(count) if count > 1 => counts.insert_mut(digest.clone(), count - 1),
        _ => {
            counts.remove_mut(digest);
        }
    }
}

/// Not the content: that would be all of it.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("repositories", &self.repositories.size()).finish_non_exhaustive()
    }
}

/// Not the content: that would be all of it.
impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tags, manifests, blobs, .. } = self;
        let counts = (tags.size(), manifests.size(), blobs.size());
        f.debug_struct("Repository").field("tags_manifests_blobs", &counts).finish_non_exhaustive()
    }
}
