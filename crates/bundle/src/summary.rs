//! The verification summary: every verdict of a lock, restated as an attestation that travels in the bundle
//! (docs/formats/verification-summary.md). The manifest's signature covers it; the lock determines it byte for byte.

use sealock_trust::Digest;
use sealock_trust::attestation::{NAMESPACE_OID, PAYLOAD_TYPE, STATEMENT_TYPE, Subject, uuid_v5};
use sealock_trust::format;
use sealock_trust::json::{self, jcs};
use serde::Serialize;
use serde_json::{Value, json};

use crate::artifact;
use crate::lock::{Lock, LockedReference, ReferenceKind, Verdict, VerdictRule};
use crate::names::ParseNameError;
use crate::reference::ArtifactName;

/// The kind of statement (SLSA 1.1, "Verification Summary Attestation").
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";
/// The predicate's field with the verdicts one by one.
pub const VERDICTS: &str = "https://sealock.example/verdicts/v1";
/// The format of that field.
pub const FORMAT: &str = format::VERDICTS.current;
const VERIFIER: &str = "https://sealock.example/lock";
const FILE: &str = "verification-summary.json";

/// Why no summary can be made.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// A text in the lock cannot stand in canonical JSON.
    #[error("the verification summary cannot be written")]
    Json(#[from] json::Error),
    /// A verdict cannot be written.
    #[error("the verification summary cannot be written")]
    Value(#[source] serde_json::Error),
    /// No name can be made for it.
    #[error("the verification summary cannot be named")]
    Name(#[from] ParseNameError),
}

#[derive(Serialize)]
struct OneVerdict<'a> {
    name: &'a ArtifactName,
    kind: ReferenceKind,
    digest: &'a Digest,
    verdict: &'a Verdict,
}

/// The name of the summary of `lock`: `attestations/<bundle>/verification-summary:<sequence>`.
///
/// # Errors
/// When that is no legal name.
pub fn name(lock: &Lock) -> Result<ArtifactName, ParseNameError> {
    format!("attestations/{}/verification-summary:{}", lock.name, lock.sequence).parse()
}

/// The same lock with its summary, made anew where there is one.
///
/// # Errors
/// [`SummaryError`].
pub fn with_summary(lock: &Lock) -> Result<Lock, SummaryError> {
    let mut lock = without_summary(lock);
    lock.sort();
    let content = content(&lock)?;
    let made = artifact::of_attestation(&content, FILE);
    lock.references.push(LockedReference {
        name: name(&lock)?,
        kind: ReferenceKind::Attestation,
        digest: made.digest,
        media_type: artifact::OCI_MANIFEST.to_owned(),
        platform: None,
        subject: None,
        source: "every verdict of this lock".to_owned(),
        requested_by: vec!["sealock lock".to_owned()],
        verdict: Verdict::new(VerdictRule::Local),
    });
    // The config `{}` may be there already: of an artifact of the packager's own, or of one that was fetched.
    let is_there = |digest: &Digest| lock.blobs.iter().any(|blob| blob.digest == *digest);
    let new: Vec<_> = made.blobs.into_iter().filter(|blob| !is_there(&blob.digest)).collect();
    lock.blobs.extend(new);
    lock.sort();
    Ok(lock)
}

/// The same lock without its summary: what it says about the upstreams, and nothing about itself.
#[must_use]
pub fn without_summary(lock: &Lock) -> Lock {
    let mut lock = lock.clone();
    let is_summary = |reference: &LockedReference| reference.kind == ReferenceKind::Attestation;
    let made: Vec<Digest> = lock.references.iter().filter(|r| is_summary(r)).map(|r| r.digest.clone()).collect();
    lock.references.retain(|reference| !is_summary(reference));
    let is_needed = |digest: &Digest| lock.references.iter().any(|reference| reference.digest == *digest);
    // The config `{}` is shared with artifacts of the packager's own; a lock without any of these has no other use for it.
    let shares_config = lock.blobs.iter().filter(|blob| blob.is_generated()).any(|blob| is_needed(&blob.digest));
    lock.blobs.retain(|blob| {
        let of_summary = blob.is_generated() && blob.media_type == PAYLOAD_TYPE || made.contains(&blob.digest);
        let spare_config =
            !made.is_empty() && blob.is_generated() && blob.media_type == artifact::OCI_EMPTY && !shares_config;
        !of_summary && !spare_config
    });
    lock
}

/// The statement about everything in `lock` that a verdict was found on.
fn content(lock: &Lock) -> Result<Vec<u8>, SummaryError> {
    let judged = || lock.references.iter().filter(|reference| reference.kind != ReferenceKind::Referrer);
    let subjects: Vec<Subject> =
        judged().map(|reference| Subject::new(reference.name.as_str(), &reference.digest)).collect();
    let verdict = |reference: &LockedReference| {
        let LockedReference { name, kind, digest, verdict, .. } = reference;
        serde_json::to_value(OneVerdict { name, kind: *kind, digest, verdict })
    };
    let verdicts: Vec<Value> = judged().map(verdict).collect::<Result<_, _>>().map_err(SummaryError::Value)?;
    let mut statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER, "version": {"tool": lock.tool}},
            "timeVerified": lock.issued,
            "resourceUri": format!("sealock:{}/{}", lock.stream, lock.sequence),
            "policy": {"uri": "sealock.yaml", "digest": {lock.spec.algorithm().as_str(): lock.spec.hex()}},
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED"],
            "slsaVersion": "1.1",
            VERDICTS: {"format": FORMAT, "verdicts": verdicts},
        },
    });
    let id = uuid_v5(&NAMESPACE_OID, &jcs::to_vec(&statement)?);
    statement["predicate"][VERDICTS]["id"] = format!("urn:uuid:{id}").into();
    Ok(jcs::to_vec(&statement)?)
}
