//! What of a repository may be pulled by those who do not push there: where a rule asks for a signature or an SBOM, what somebody
//! has vouched for.
//!
//! Each manifest is judged once for what refers to it, and again when that changes, or the rules do. So a pull looks up what was
//! found before, and no verdict outlives what it was come to by.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use sealock_store::Store;
use sealock_store::oci::Manifest;
use sealock_store::pushed::Repository;
use sealock_trust::Digest;

use super::evidence::Evidence;
use crate::rules::{Epoch, Rules, Stored, Verdict, subject_of_tag};

/// Repositories that are remembered; the others are judged anew.
const MOST_REPOSITORIES: usize = 1024;

/// What may be pulled of a repository, and why the rest may not.
#[derive(Debug)]
pub(crate) struct Vouched {
    /// The repository without the rest.
    pub(crate) repository: Repository,
    /// What is missing, by manifest.
    reasons: HashMap<Digest, String>,
    /// As each manifest was judged.
    judged: HashMap<Digest, Judged>,
}

/// A verdict, and what it was come to by.
#[derive(Clone, Debug)]
struct Judged {
    referrers: Vec<Digest>,
    verdict: Verdict,
}

/// What was found, by repository.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<HashMap<String, Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    /// What was judged: any change makes another one.
    source: Arc<Repository>,
    epoch: Epoch,
    vouched: Arc<Vouched>,
}

impl Verdicts {
    /// What of `repository`, which is called `name`, may be pulled under `rules`. May read what vouches for it from the store, so
    /// it blocks.
    pub(crate) fn of(
        &self,
        store: &Store,
        rules: &Rules,
        (name, repository): (&str, &Arc<Repository>),
    ) -> Arc<Vouched> {
        let known = self.entries().get(name).filter(|entry| entry.epoch == *rules.epoch()).cloned();
        if let Some(entry) = known.as_ref().filter(|entry| Arc::ptr_eq(&entry.source, repository)) {
            return entry.vouched.clone();
        }
        let before = known.map(|entry| entry.vouched);
        let judge = Judge { store, rules, name, repository, before: before.as_deref() };
        let vouched = Arc::new(judge.all());
        let entry = Entry { source: repository.clone(), epoch: rules.epoch().clone(), vouched: vouched.clone() };
        let mut entries = self.entries();
        if entries.len() >= MOST_REPOSITORIES && !entries.contains_key(name) {
            entries.clear();
        }
        entries.insert(name.to_owned(), entry);
        vouched
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vouched {
    /// Why the manifest may not be pulled, where that is so.
    pub(crate) fn reason(&self, digest: &Digest) -> Option<&str> {
        self.reasons.get(digest).map(String::as_str)
    }
}

/// One repository, being judged.
struct Judge<'a> {
    store: &'a Store,
    rules: &'a Rules,
    name: &'a str,
    repository: &'a Repository,
    before: Option<&'a Vouched>,
}

impl Judge<'_> {
    fn all(&self) -> Vouched {
        let by_tag = self.by_tag();
        let mut judged = HashMap::new();
        for held in self.repository.manifests() {
            let manifest = &held.manifest;
            judged.insert(manifest.digest.clone(), self.one(manifest, by_tag.get(&manifest.digest)));
        }
        let allowed = self.with_what_they_list(&judged);
        let reasons = judged.iter().filter(|(digest, _)| !allowed.contains(*digest));
        let reasons = reasons.filter_map(|(digest, judged)| match &judged.verdict {
            Verdict::Denied { reason } => Some((digest.clone(), reason.clone())),
            Verdict::Allowed => None,
        });
        let reasons = reasons.collect();
        Vouched { repository: self.repository.only(|digest| allowed.contains(digest)), reasons, judged }
    }

    /// Manifests that refer to another one by a tag of cosign's.
    fn by_tag(&self) -> HashMap<Digest, Vec<&Arc<Manifest>>> {
        let mut by_tag: HashMap<_, Vec<_>> = HashMap::new();
        for (name, tag) in self.repository.tags(None) {
            let held = self.repository.manifest(&tag.digest);
            if let (Some(subject), Some(held)) = (subject_of_tag(name), held) {
                by_tag.entry(subject).or_default().push(&held.manifest);
            }
        }
        by_tag
    }

    fn one(&self, manifest: &Manifest, by_tag: Option<&Vec<&Arc<Manifest>>>) -> Judged {
        let by_subject = self.repository.referrers(&manifest.digest).map(|held| &held.manifest);
        let mut referrers: Vec<&Arc<Manifest>> = by_subject.chain(by_tag.into_iter().flatten().copied()).collect();
        referrers.sort_by(|a, b| a.digest.cmp(&b.digest));
        referrers.dedup_by(|a, b| a.digest == b.digest);
        let digests: Vec<Digest> = referrers.iter().map(|referrer| referrer.digest.clone()).collect();
        let known = self.before.and_then(|before| before.judged.get(&manifest.digest));
        if let Some(known) = known.filter(|known| known.referrers == digests) {
            return known.clone();
        }
        let mut evidence = Evidence::of(self.store);
        let read: Vec<_> = referrers.iter().map(|referrer| evidence.referrer(referrer)).collect();
        let (digest, bytes) = (&manifest.digest, manifest.bytes.as_ref());
        let stored = Stored { repository: self.name, digest, bytes, referrers: &read, is_covered: false };
        Judged { referrers: digests, verdict: self.rules.verdict(&stored) }
    }

    /// What is allowed by itself, and what hangs on it: who signs an index signs what it lists.
    fn with_what_they_list(&self, judged: &HashMap<Digest, Judged>) -> HashSet<Digest> {
        let is_allowed = |(_, judged): &(&Digest, &Judged)| judged.verdict == Verdict::Allowed;
        let mut waiting: Vec<&Digest> = judged.iter().filter(is_allowed).map(|(digest, _)| digest).collect();
        let mut allowed = HashSet::new();
        while let Some(digest) = waiting.pop() {
            if !allowed.insert(digest.clone()) {
                continue;
            }
            if let Some(held) = self.repository.manifest(digest) {
                waiting.extend(held.manifest.parts.manifests.iter().map(|child| &child.digest));
            }
        }
        allowed
    }
}
