//! What is served.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::image::Image;

/// One repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) manifests: BTreeMap<Digest, (String, Bytes)>,
    pub(crate) tags: BTreeMap<String, Digest>,
    pub(crate) blobs: BTreeSet<Digest>,
}

/// Repositories, their blobs, and files.
#[derive(Debug, Default)]
pub struct Content {
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    pub(crate) files: BTreeMap<String, Bytes>,
    /// Answers 404 to questions for referrers, as registries before version 1.1 of the specification do.
    pub without_referrers: bool,
}

impl Content {
    /// Adds `image` under `repository:tag`.
    pub fn push(&mut self, name: &str, image: &Image) -> Digest {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let here = self.repositories.entry(repository.to_owned()).or_default();
        for (digest, bytes) in &image.blobs {
            here.blobs.insert(digest.clone());
            self.blobs.insert(digest.clone(), bytes.clone());
        }
        for (digest, media_type, bytes) in &image.manifests {
            here.manifests.insert(digest.clone(), (media_type.clone(), bytes.clone()));
        }
        here.tags.insert(tag.to_owned(), image.digest.clone());
        image.digest.clone()
    }

    /// Adds `image`, which refers to another one, under its digest only.
    pub fn attach(&mut self, repository: &str, image: &Image) -> Digest {
        let tag = "attached-for-a-moment";
        self.push(&format!("{repository}:{tag}"), image);
        self.repositories.entry(repository.to_owned()).or_default().tags.remove(tag);
        image.digest.clone()
    }

    /// What a tag stands for.
    pub fn digest_of(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.repositories.get(repository)?.tags.get(tag).cloned()
    }

    /// Descriptors of everything in the repository that refers to `subject`.
    pub(crate) fn referrers(&self, repository: &str, subject: &str) -> Vec<Value> {
        let manifests = self.repositories.get(repository).map(|here| here.manifests.iter()).into_iter().flatten();
        let refers = manifests.filter_map(|(digest, (media_type, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            (manifest["subject"]["digest"] == subject).then(|| {
                let mut entry = json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()});
                for field in ["artifactType", "annotations"] {
                    if let Some(value) = manifest.get(field) {
                        entry[field] = value.clone();
                    }
                }
                entry
            })
        });
        refers.collect()
    }

    /// Adds a file.
    pub fn put(&mut self, path: &str, bytes: Bytes) {
        self.files.insert(path.trim_matches('/').to_owned(), bytes);
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path.trim_matches('/'));
    }

    /// Takes a tag, a manifest or a blob away.
    pub fn forget(&mut self, repository: &str, what: &str) {
        let Some(here) = self.repositories.get_mut(repository) else { return };
        here.tags.remove(what);
        if let Ok(digest) = what.parse() {
            here.manifests.remove(&digest);
            here.blobs.remove(&digest);
        }
    }

    /// The manifest that a tag or digest stands for: its digest, media type and bytes.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<(Digest, String, Bytes)> {
        let here = self.repositories.get(repository)?;
        let digest = here.tags.get(reference).cloned().or_else(|| reference.parse().ok())?;
        let (media_type, bytes) = here.manifests.get(&digest)?;
        Some((digest, media_type.clone(), bytes.clone()))
    }

    /// A blob of a repository.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<(Digest, Bytes)> {
        let digest: Digest = digest.parse().ok()?;
        let here = self.repositories.get(repository)?;
        here.blobs.contains(&digest).then(|| self.blobs.get(&digest).cloned())?.map(|bytes| (digest, bytes))
    }
}
