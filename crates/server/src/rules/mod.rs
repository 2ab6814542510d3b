//! What may be pushed, and what of it may be pulled: pure functions over manifests and what refers to them.
//!
//! [`Rules::admit`] is asked before anything of a manifest is stored, [`Rules::reserve`] before bytes are. [`Rules::verdict`] says
//! whether what was stored may be pulled: a signature comes after what it signs, so the answer is asked for again when
//! something arrives that refers to the content. It is stored with the [`Epoch`] of the rules, and counts under no other.

mod content;
mod evidence;

use std::fmt;
use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use sealock_trust::attestation::UpstreamKey;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use evidence::{LONGEST as LONGEST_EVIDENCE, Referrer, subject_of_tag};

use content::Manifest;

use crate::access::document::Rule as Written;
use crate::access::glob::Glob;
use crate::access::{AccessError, read_file};

/// Rises with each change of how verdicts are come to, so that those of an older Sealock are come to again.
const GENERATION: u32 = 1;

/// Longest file of a public key, in bytes.
const KEY_BYTES: u64 = 64 * 1024;

/// What may be pushed where.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    epoch: Epoch,
}

/// What may be pushed to some repositories.
#[derive(Debug)]
struct Rule {
    repositories: Vec<Glob>,
    mutable_tags: Vec<Glob>,
    media_types: Option<Vec<Glob>>,
    signers: Vec<Signer>,
    sbom: bool,
    sparse: bool,
    quota: Option<u64>,
}

/// Whose signature counts.
#[derive(Debug)]
struct Signer {
    file: PathBuf,
    key: UpstreamKey,
}

/// The rules by which a verdict was come to: a digest of all of them, keys included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch(Box<str>);

/// Whether content may be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// By whoever may pull from the repository.
    Allowed,
    /// Only by whoever may push there: they have to look at what they sign.
    Denied {
        /// What is missing, for a person.
        reason: String,
    },
}

/// A push that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is pushed there.
    #[error("no rule of the site lets anything be pushed to {0}")]
    NoRule(String),
    /// Two rules say two things.
    #[error("two rules of the site are equally narrow for {0}: nothing is pushed there until one of them goes")]
    TwoRules(String),
    /// The tag names other content, and is to keep it.
    #[error("the tag {tag} names {present}, and tags of {repository} are written once")]
    Tag {
        /// Where.
        repository: String,
        /// Which.
        tag: String,
        /// What it names.
        present: Digest,
    },
    /// A type that is not wanted there.
    #[error("the media type {found} is none of those that the site lets be pushed to {repository}")]
    MediaType {
        /// Where.
        repository: String,
        /// Which.
        found: String,
    },
    /// Not a manifest.
    #[error("this is no manifest: {0}")]
    Manifest(String),
    /// The repository is full.
    #[error("{repository} holds {used} bytes, and may hold {quota}: there is no room for {more} more")]
    Quota {
        /// Where.
        repository: String,
        /// What it holds, in bytes.
        used: u64,
        /// What it may hold, in bytes.
        quota: u64,
        /// What was to come, in bytes.
        more: u64,
    },
}

impl Refusal {
    /// One word for logs and metrics, of few.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoRule(_) | Self::TwoRules(_) => "no-rule",
            Self::Tag { .. } => "immutable-tag",
            Self::MediaType { .. } => "media-type",
            Self::Manifest(_) => "manifest",
            Self::Quota { .. } => "quota",
        }
    }
}

/// A manifest that is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Where it is to be stored.
    pub repository: &'a str,
    /// What the request says that it is.
    pub media_type: &'a str,
    /// Its digest, which was computed.
    pub digest: &'a Digest,
    /// As they came.
    pub bytes: &'a [u8],
    /// The tags that are to name it, each with what it names now.
    pub tags: &'a [(&'a str, Option<&'a Digest>)],
    /// What the repository holds, in bytes.
    pub used: u64,
}

/// A manifest that is stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Where it is stored.
    pub repository: &'a str,
    /// Its digest.
    pub digest: &'a Digest,
    /// As they are stored.
    pub bytes: &'a [u8],
    /// What refers to it: by its `subject`, or by the tags that cosign derives from its digest.
    pub referrers: &'a [Referrer<'a>],
    /// Whether an index of the same repository that may be pulled lists it: who signs an index signs what it lists.
    pub is_covered: bool,
}

impl Default for Rules {
    fn default() -> Self {
        let rules = Vec::new();
        Self { epoch: epoch(&rules), rules }
    }
}

impl Rules {
    /// The rules as they are written, with the keys that they name, relative to `folder`.
    ///
    /// # Errors
    /// [`AccessError::Read`] and [`AccessError::Signer`].
    pub fn load(written: &[Written], folder: &Path) -> Result<Self, AccessError> {
        let rules = written.iter().map(|rule| Rule::load(rule, folder)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { epoch: epoch(&rules), rules })
    }

    /// How verdicts by these rules are marked.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rules.len()
    }

    /// Whether `more` bytes may come to a repository that holds `used`.
    ///
    /// # Errors
    /// [`Refusal::NoRule`], [`Refusal::TwoRules`], [`Refusal::Quota`].
    pub fn reserve(&self, repository: &str, used: u64, more: u64) -> Result<(), Refusal> {
        let rule = self.rule(repository)?;
        match rule.quota {
            Some(quota) if used.saturating_add(more) > quota => {
                Err(Refusal::Quota { repository: repository.to_owned(), used, quota, more })
            }
            _ => Ok(()),
        }
    }

    /// Whether a manifest may be stored.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(&self, push: &Push<'_>) -> Result<(), Refusal> {
        let rule = self.rule(push.repository)?;
        let manifest = Manifest::parse(push.bytes).map_err(Refusal::Manifest)?;
        rule.check_types(push, &manifest)?;
        for (tag, present) in push.tags {
            if let Some(present) = present.filter(|present| *present != push.digest)
                && !rule.is_mutable(tag, &manifest)
            {
                let (repository, tag) = (push.repository.to_owned(), (*tag).to_owned());
                return Err(Refusal::Tag { repository, tag, present: present.clone() });
            }
        }
        self.reserve(push.repository, push.used, push.bytes.len() as u64)
    }

    /// Whether `tag`, once it names something, goes on naming that when this manifest comes. [`Rules::admit`] looks at what the tag
    /// named when it was asked: whoever writes the tag looks again.
    ///
    /// # Errors
    /// As [`Rules::reserve`], and [`Refusal::Manifest`].
    pub fn tag_stays(&self, repository: &str, tag: &str, manifest: &[u8]) -> Result<bool, Refusal> {
        let rule = self.rule(repository)?;
        let manifest = Manifest::parse(manifest).map_err(Refusal::Manifest)?;
        Ok(!rule.is_mutable(tag, &manifest))
    }

    /// Whether a manifest in `repository` may refer to what is not there.
    pub fn may_be_sparse(&self, repository: &str) -> bool {
        self.rule(repository).is_ok_and(|rule| rule.sparse)
    }

    /// What a repository may hold, in bytes, where that is bounded.
    pub fn quota(&self, repository: &str) -> Option<u64> {
        self.rule(repository).ok().and_then(|rule| rule.quota)
    }

    /// Whether what is pushed there is withheld until somebody has vouched for it.
    pub fn asks_for_evidence(&self, repository: &str) -> bool {
        self.rule(repository).is_ok_and(|rule| !rule.signers.is_empty() || rule.sbom)
    }

    /// Whether a manifest may be pulled.
    pub fn verdict(&self, stored: &Stored<'_>) -> Verdict {
        let rule = match self.rule(stored.repository) {
            Ok(rule) => rule,
            Err(refusal) => return Verdict::Denied { reason: refusal.to_string() },
        };
        match rule.missing(stored) {
            Some(reason) => Verdict::Denied { reason },
            None => Verdict::Allowed,
        }
    }

    /// The narrowest rule that fits.
    fn rule(&self, repository: &str) -> Result<&Rule, Refusal> {
        let fitting = self.rules.iter().filter_map(|rule| Some((rule.narrowness(repository)?, rule)));
        let (mut best, mut is_alone): (Option<(usize, &Rule)>, bool) = (None, true);
        for (narrowness, rule) in fitting {
            match best {
                Some((found, _)) if found > narrowness => {}
                Some((found, _)) if found == narrowness => is_alone = false,
                _ => (best, is_alone) = (Some((narrowness, rule)), true),
            }
        }
        match best {
            Some((_, rule)) if is_alone => Ok(rule),
            Some(_) => Err(Refusal::TwoRules(repository.to_owned())),
            None => Err(Refusal::NoRule(repository.to_owned())),
        }
    }
}

impl Rule {
    fn load(written: &Written, folder: &Path) -> Result<Self, AccessError> {
        Ok(Self {
            repositories: written.repositories.clone(),
            mutable_tags: written.mutable_tags.clone(),
            media_types: written.media_types.clone(),
            signers: written.signed_by.iter().map(|file| Signer::load(file, folder)).collect::<Result<_, _>>()?,
            sbom: written.sbom,
            sparse: written.sparse,
            quota: written.quota.map(crate::access::document::ByteCount::bytes),
        })
    }

    /// How narrow the narrowest of its patterns is that fits; none where none does.
    fn narrowness(&self, repository: &str) -> Option<usize> {
        let upstream = upstream(repository);
        // A pattern for everything is not meant for names that belong to others.
        let begins_with = |glob: &Glob, host| glob.literal_prefix().split('/').next() == Some(host);
        let names = |glob: &&Glob| upstream.is_none_or(|host| begins_with(glob, host));
        let fitting = self.repositories.iter().filter(|glob| glob.matches(repository)).filter(names);
        fitting.map(Glob::narrowness).max()
    }

    fn check_types(&self, push: &Push<'_>, manifest: &Manifest) -> Result<(), Refusal> {
        let Some(allowed) = &self.media_types else { return Ok(()) };
        if evidence::is_evidence(manifest) {
            return Ok(());
        }
        let fits = |found: &str| allowed.iter().any(|glob| glob.matches(found));
        match std::iter::once(push.media_type).chain(manifest.types()).find(|found| !fits(found)) {
            Some(found) => Err(Refusal::MediaType {
                repository: push.repository.to_owned(),
                found: found.chars().take(120).collect(),
            }),
            None => Ok(()),
        }
    }

    /// Whether a tag may be moved. cosign adds to what it has signed already under one tag.
    fn is_mutable(&self, tag: &str, manifest: &Manifest) -> bool {
        self.mutable_tags.iter().any(|glob| glob.matches(tag))
            || evidence::is_evidence(manifest) && evidence::subject_of_tag(tag).is_some()
    }

    /// What has to come before the content may be pulled.
    fn missing(&self, stored: &Stored<'_>) -> Option<String> {
        if self.signers.is_empty() && !self.sbom || stored.is_covered {
            return None;
        }
        let manifest = match Manifest::parse(stored.bytes) {
            Ok(manifest) => manifest,
            Err(problem) => return Some(problem),
        };
        // What vouches for others is looked at by those who ask whether it does.
        if evidence::is_evidence(&manifest) {
            return None;
        }
        if !self.signers.is_empty() && !self.signers.iter().any(|signer| evidence::is_signed(stored, &signer.key)) {
            let files: Vec<_> = self.signers.iter().map(|signer| signer.file.display().to_string()).collect();
            return Some(format!("it has no signature by {}", files.join(" or ")));
        }
        if self.sbom && !evidence::has_sbom(stored, &self.signers.iter().map(|signer| &signer.key).collect::<Vec<_>>())
        {
            return Some("it has no SBOM".to_owned());
        }
        None
    }
}

impl Signer {
    fn load(file: &Path, folder: &Path) -> Result<Self, AccessError> {
        let path = folder.join(file);
        let pem = read_file(&path, KEY_BYTES)?;
        let key = UpstreamKey::from_pem(&String::from_utf8_lossy(&pem));
        let key = key.map_err(|source| AccessError::Signer { path: path.clone(), source })?;
        Ok(Self { file: file.to_owned(), key })
    }
}

impl Epoch {
    /// The same as a number: its first 52 bits, which every reader of JSON understands.
    pub fn number(&self) -> u64 {
        self.0.get(..13).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first component of a name that stands for an upstream's (decision 0018).
fn upstream(repository: &str) -> Option<&str> {
    let first = repository.split('/').next().unwrap_or(repository);
    (first.contains('.') || first.contains("__")).then_some(first)
}

fn epoch(rules: &[Rule]) -> Epoch {
    let all: Vec<_> = rules
        .iter()
        .map(|rule| {
            let keys: Vec<_> = rule.signers.iter().map(|signer| signer.key.file_digest().to_string()).collect();
            json!({
                "repositories": rule.repositories, "mutableTags": rule.mutable_tags, "mediaTypes": rule.media_types,
                "keys": keys, "sbom": rule.sbom, "sparse": rule.sparse, "quota": rule.quota,
            })
        })
        .collect();
    let text = json!({"generation": GENERATION, "rules": all}).to_string();
    Epoch(Digest::sha256(text.as_bytes()).hex().into())
}

#[cfg(test)]
mod tests;
