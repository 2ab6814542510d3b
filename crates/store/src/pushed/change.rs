//! What callers want changed, and whether that can be: judged by the writer, against all that was decided before.

use std::sync::Arc;

use sealock_trust::Digest;

use super::error::PushError;
use super::record::{Operation, Verdict};
use super::snapshot::{Repository, Snapshot};
use crate::oci::{Descriptor, Manifest};

/// A manifest that shall be put into a repository.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// The repository.
    pub repository: String,
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// What shall stand for it from now on.
    pub tags: Vec<String>,
    /// Those of them that stay where they are, once they stand for something.
    pub fixed: Vec<String>,
    /// What is demanded of it.
    pub demands: Demands,
    /// Why it is let in.
    pub verdict: Verdict,
}

/// What a repository demands of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Whether it may refer to what is not there (OCI distribution specification 1.1, "Pushing Manifests with Subject" aside, where
    /// that is always so). Then a pull of it may end half-way.
    pub may_be_sparse: bool,
}

/// What a caller wants changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Blob {
        repository: String,
        digest: Digest,
        size: u64,
        from: Option<String>,
    },
    Manifest(PutManifest),
    DeleteTag {
        repository: String,
        tag: String,
    },
    DeleteManifest {
        repository: String,
        digest: Digest,
    },
    DeleteBlob {
        repository: String,
        digest: Digest,
    },
    /// Goes into the log as it is.
    Note(Operation),
}

impl Change {
    /// What to record, where it can be done.
    pub(crate) fn decide(&self, now: &Snapshot) -> Result<Operation, PushError> {
        match self {
            Self::Note(operation) => Ok(operation.clone()),
            Self::Blob { repository, digest, size, from } => {
                let (repository, digest, from) = (repository.clone(), digest.clone(), from.clone());
                Ok(Operation::Blob { repository, digest, size: *size, from })
            }
            Self::Manifest(put) => put.decide(now),
            Self::DeleteTag { repository, tag } => {
                let known = now.repository(repository).and_then(|it| it.tag(tag));
                let (repository, tag) = (repository.clone(), tag.clone());
                match known {
                    Some(_) => Ok(Operation::DeleteTag { repository, tag }),
                    None => Err(PushError::UnknownTag { repository, tag }),
                }
            }
            Self::DeleteManifest { repository, digest } => delete_manifest(now, repository, digest),
            Self::DeleteBlob { repository, digest } => delete_blob(now, repository, digest),
        }
    }

    /// The manifest that comes with it.
    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        match self {
            Self::Manifest(put) => Some(&put.manifest),
            _ => None,
        }
    }
}

impl PutManifest {
    pub(crate) fn decide(&self, now: &Snapshot) -> Result<Operation, PushError> {
        let repository = now.repository(&self.repository).map(Arc::as_ref);
        for child in self.manifest.children() {
            self.check_child(repository, child)?;
        }
        let taken = |tag: &&String| self.stands_for_another(repository, tag);
        if let Some((tag, digest)) = self.tags.iter().find_map(|tag| Some((tag, taken(&tag)?))) {
            return Err(PushError::TagTaken { tag: tag.clone(), digest });
        }
        Ok(Operation::Manifest {
            repository: self.repository.clone(),
            digest: self.manifest.digest.clone(),
            size: self.manifest.bytes.len() as u64,
            media_type: self.manifest.media_type.clone(),
            tags: self.tags.clone(),
            verdict: self.verdict.clone(),
        })
    }

    fn check_child(&self, repository: Option<&Repository>, child: &Descriptor) -> Result<(), PushError> {
        let of_manifest = |it: &Repository| Some(it.manifest(&child.digest)?.manifest.bytes.len() as u64);
        let size = repository.and_then(|it| it.blob(&child.digest).or_else(|| of_manifest(it)));
        match size {
            Some(actual) if actual == child.size => Ok(()),
            Some(actual) => Err(PushError::ChildSize { digest: child.digest.clone(), claimed: child.size, actual }),
            None if self.demands.may_be_sparse || child.is_distributed_elsewhere() => Ok(()),
            None => Err(PushError::MissingChild { repository: self.repository.clone(), digest: child.digest.clone() }),
        }
    }

    /// What a tag that may not move stands for, where that is something else.
    fn stands_for_another(&self, repository: Option<&Repository>, tag: &str) -> Option<Digest> {
        let stands_for = &repository.filter(|_| self.fixed.iter().any(|fixed| fixed == tag))?.tag(tag)?.digest;
        (*stands_for != self.manifest.digest).then(|| stands_for.clone())
    }
}

/// A manifest goes with its tags, but not from under an index.
fn delete_manifest(now: &Snapshot, name: &str, digest: &Digest) -> Result<Operation, PushError> {
    let (repository, digest) = (name.to_owned(), digest.clone());
    let known = now.repository(name);
    if known.is_none_or(|it| it.manifest(&digest).is_none()) && !now.is_lost(name, &digest) {
        return Err(PushError::UnknownManifest { repository, digest });
    }
    if known.is_some_and(|it| it.refers_to(&digest)) {
        return Err(PushError::InUse { repository, digest });
    }
    let tags = known
        .into_iter()
        .flat_map(|it| it.tags(None))
        .filter(|(_, tag)| tag.digest == digest)
        .map(|(name, _)| name.clone())
        .collect();
    Ok(Operation::DeleteManifest { repository, digest, tags })
}

/// A blob does not go from under a manifest.
fn delete_blob(now: &Snapshot, name: &str, digest: &Digest) -> Result<Operation, PushError> {
    let (repository, digest) = (name.to_owned(), digest.clone());
    let known = now.repository(name).filter(|it| it.blob(&digest).is_some());
    let Some(known) = known else { return Err(PushError::UnknownBlob { repository, digest }) };
    if known.refers_to(&digest) {
        return Err(PushError::InUse { repository, digest });
    }
    Ok(Operation::DeleteBlob { repository, digest })
}
