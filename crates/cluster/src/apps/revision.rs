//! What an app was, each time that it was brought to its cluster (`docs/formats/app-revisions.md`).
//!
//! Nothing secret is kept here: what charts made of their values is kept by Helm, in the cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::json::{self, jcs};
use sealock_trust::reason::Code;
use serde::{Deserialize, Serialize};

use super::ObjectId;

/// So many are kept.
const KEPT: usize = 10;

/// A few kilobytes for each revision; an app of ten thousand objects has two megabytes.
const LIMITS: json::Limits = json::Limits { bytes: 32 << 20, depth: 16, entries: 1 << 20 };

/// The revisions of one app, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revisions {
    /// `app-revisions/1.0`.
    pub format: String,
    /// The app's name.
    pub app: String,
    /// Its cluster.
    pub cluster: String,
    /// What is known.
    pub revisions: Vec<Revision>,
    /// For later versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One time that an app was brought to its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revision {
    /// Counts from 1.
    pub number: u64,
    /// When it was begun.
    pub begun: Timestamp,
    /// Why.
    pub cause: Cause,
    /// How far it came.
    pub state: State,
    /// The site's release that its content is from.
    pub release: u64,
    /// The namespace of all that names none.
    pub namespace: String,
    /// Charts, in their order.
    pub charts: Vec<AppliedChart>,
    /// Files of manifests, in their order.
    pub manifests: Vec<Named>,
    /// Every image, under the name that objects call it by.
    pub images: Vec<Named>,
    /// The objects of the manifests.
    pub objects: Vec<ObjectId>,
}

/// Why there is a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Cause {
    /// A spec was applied.
    Apply,
    /// An earlier revision came back.
    Rollback(u64),
}

/// How far a revision came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It was begun, and cut off.
    Begun,
    /// Something of it failed, or did not get ready in time.
    Failed,
    /// All of it was ready.
    Ready,
}

/// A chart of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppliedChart {
    /// What the installation is called.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart in the release, and what it is there.
    pub chart: Named,
    /// Where in its values secrets stand, as JSON pointers: what came from `valuesFrom`.
    pub secrets: Vec<String>,
    /// What Helm keeps of it in the cluster, once it was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptByHelm>,
}

/// What Helm keeps of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptByHelm {
    /// Helm's own number.
    pub revision: u64,
    /// Of its objects and hooks, as Helm prints them.
    pub digest: Digest,
}

/// Something of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub digest: Digest,
}

/// Why revisions cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevisionsError {
    /// Not the JSON that it must be.
    #[error("these are no revisions of an app")]
    Unreadable(#[source] json::Error),
    /// Of another version.
    #[error("these revisions of an app are of another version")]
    Format(#[source] UnknownFormat),
}

impl RevisionsError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Unreadable(error) => error.code(),
            Self::Format(unknown) => unknown.code(),
        }
    }
}

impl Revisions {
    pub(super) fn none(app: &str, cluster: &str) -> Self {
        Self {
            format: format::APP_REVISIONS.current.into(),
            app: app.into(),
            cluster: cluster.into(),
            revisions: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// The revisions in `bytes`, which must be canonical.
    ///
    /// # Errors
    /// The bytes are something else, or of a version that is not known.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RevisionsError> {
        let read = format::read(bytes, &LIMITS, format::APP_REVISIONS, |document: &Self| &document.format);
        read.map_err(|error| error.either(RevisionsError::Unreadable, RevisionsError::Format))
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, json::Error> {
        jcs::to_vec(self)
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// Of which revisions something may be in the cluster: the last one that was ready, and those after it.
    pub(super) fn standing(&self) -> &[Revision] {
        let ready = self.revisions.iter().rposition(|revision| revision.state == State::Ready);
        &self.revisions[ready.unwrap_or(0)..]
    }

    /// Where a rollback goes that names no revision: to the last one that was ready before the newest.
    pub(super) fn before(&self) -> Option<&Revision> {
        let (_, earlier) = self.revisions.split_last()?;
        earlier.iter().rev().find(|revision| revision.state == State::Ready)
    }

    /// Forgets the oldest, but nothing of what may be in the cluster.
    pub(super) fn forget_oldest(&mut self) {
        let spare = self.revisions.len() - self.standing().len();
        let surplus = self.revisions.len().saturating_sub(KEPT);
        self.revisions.drain(..surplus.min(spare));
    }
}

impl Revision {
    /// Whether all its charts came to the cluster, so that they can come back.
    pub(super) fn is_whole(&self) -> bool {
        self.charts.iter().all(|chart| chart.kept.is_some())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::apps) fn revision(number: u64, state: State) -> Revision {
        Revision {
            number,
            begun: Timestamp::UNIX_EPOCH,
            cause: Cause::Apply,
            state,
            release: 1,
            namespace: "demo".into(),
            charts: Vec::new(),
            manifests: Vec::new(),
            images: Vec::new(),
            objects: Vec::new(),
        }
    }

    fn of(states: &[State]) -> Revisions {
        let mut all = Revisions::none("demo", "plant-7");
        all.revisions = (1..).zip(states).map(|(number, state)| revision(number, *state)).collect();
        all
    }

    fn numbers(revisions: &[Revision]) -> Vec<u64> {
        revisions.iter().map(|revision| revision.number).collect()
    }

    #[test]
    fn what_may_be_in_the_cluster_begins_with_the_last_that_was_ready() {
        use State::{Begun, Failed, Ready};
        assert!(of(&[]).standing().is_empty());
        assert_eq!(numbers(of(&[Ready, Ready, Failed, Begun]).standing()), [2, 3, 4]);
        assert_eq!(numbers(of(&[Failed, Begun]).standing()), [1, 2]);
    }

    #[test]
    fn a_rollback_goes_to_what_was_ready_before() {
        use State::{Failed, Ready};
        let before = |states: &[State]| of(states).before().map(|revision| revision.number);
        assert_eq!(before(&[Ready]), None);
        assert_eq!(before(&[Failed, Ready]), None);
        assert_eq!(before(&[Ready, Ready]), Some(1));
        assert_eq!(before(&[Ready, Failed, Failed]), Some(1));
    }

    #[test]
    fn ten_are_kept_and_whatever_may_be_in_the_cluster() {
        let mut all = of(&[State::Ready; 13]);
        all.forget_oldest();
        assert_eq!(numbers(&all.revisions), (4..=13).collect::<Vec<_>>());
        let mut failing = of(&[&[State::Ready; 2][..], &[State::Failed; 12]].concat());
        failing.forget_oldest();
        assert_eq!(numbers(&failing.revisions), (2..=14).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_written_is_read() {
        let mut all = of(&[State::Ready]);
        all.revisions[0].cause = Cause::Rollback(7);
        all.revisions[0].charts.push(AppliedChart {
            name: "podinfo".into(),
            namespace: "demo".into(),
            chart: Named { name: "stefanprodan.github.io/podinfo/podinfo:6.9.2".into(), digest: Digest::sha256(b"c") },
            secrets: vec!["/db/password".into()],
            kept: Some(KeptByHelm { revision: 3, digest: Digest::sha256(b"m") }),
        });
        let written = all.to_json().unwrap();
        assert_eq!(Revisions::from_json(&written).unwrap(), all);
        insta::assert_snapshot!(String::from_utf8(written).unwrap());
    }
}
