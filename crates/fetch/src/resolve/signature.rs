//! What came of an image's rule, and what travels along with the image because it refers to it.

use sealock_bundle::ArtifactName;
use sealock_bundle::lock::{LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::spec::{Referrers, VerifyRule};
use sealock_trust::Digest;

use super::Context;
use super::{images, notation};
use crate::error::FetchError;
use crate::signature::{self, Demand, Holds, Signed};
use crate::source::oci::Repository;
use crate::source::referrers::Referrer;

/// What judging came to: the verdict, and what travels along.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) references: Vec<LockedReference>,
    pub(super) blobs: Vec<LockedBlob>,
}

/// Judges an image by its rule. Whoever has the key can check again, inside: its signature travels along.
pub(super) async fn judge(
    context: Context<'_>,
    repository: &Repository,
    digest: &Digest,
    rule: &VerifyRule,
) -> Result<Judged, FetchError> {
    let carried = context.request.bundle.spec.referrers;
    let is_demanded = !matches!(rule, VerifyRule::Unsigned(_));
    let wanted = if is_demanded && carried == Referrers::None { Referrers::Signatures } else { carried };
    let found = context.http.referrers(repository, digest, wanted).await?;
    let (verdict, holds) = verdict(context, Signed { repository, digest }, &found, rule).await?;
    let mut judged = Judged { verdict, references: Vec::new(), blobs: Vec::new() };
    for (number, referrer) in found.iter().enumerate().filter(|_| carried != Referrers::None) {
        let verdict = if holds == Some(number) { judged.verdict.clone() } else { Verdict::new(VerdictRule::Referrer) };
        judged.references.push(reference(repository, digest, referrer, verdict)?);
        judged.blobs.extend(images::blobs_of(repository, &referrer.fetched));
    }
    Ok(judged)
}

/// What refers to one platform of an image, which no rule judges by itself.
pub(super) async fn along(
    context: Context<'_>,
    repository: &Repository,
    digest: &Digest,
) -> Result<(Vec<LockedReference>, Vec<LockedBlob>), FetchError> {
    let nothing_said = VerifyRule::Unsigned("its index is judged".to_owned());
    let Judged { references, blobs, .. } = judge(context, repository, digest, &nothing_said).await?;
    Ok((references, blobs))
}

/// What the rule comes to, and which of the referrers satisfies it.
async fn verdict(
    context: Context<'_>,
    signed: Signed<'_>,
    found: &[Referrer],
    rule: &VerifyRule,
) -> Result<(Verdict, Option<usize>), FetchError> {
    let folder = &context.request.folder;
    let demand = match rule {
        VerifyRule::Unsigned(reason) => return Ok((Verdict::new(VerdictRule::Unsigned).because(reason.clone()), None)),
        VerifyRule::Notation(rule) => {
            let (verdict, referrer) = notation::judge(context, signed, found, rule).await?;
            return Ok((verdict, Some(referrer)));
        }
        VerifyRule::Key(rule) => Demand::by_key(rule, folder)?,
        VerifyRule::Keyless(rule) => Demand::by_identity(rule, folder)?,
    };
    let holds = signature::check(context.http, signed, found, &demand).await?;
    Ok((by_cosign(&demand, &holds), Some(holds.referrer)))
}

fn by_cosign(demand: &Demand, holds: &Holds) -> Verdict {
    let key = Some(demand.digest().clone());
    match &holds.signer {
        None => Verdict { key, ..Verdict::new(VerdictRule::Key) },
        Some(signer) => Verdict {
            key,
            identity: Some(signer.identity.clone()),
            issuer: Some(signer.issuer.clone()),
            ..Verdict::new(VerdictRule::Keyless)
        },
    }
}

fn reference(
    repository: &Repository,
    subject: &Digest,
    referrer: &Referrer,
    verdict: Verdict,
) -> Result<LockedReference, FetchError> {
    let digest = &referrer.fetched.digest;
    let source = match &referrer.tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => format!("{repository}@{digest}"),
    };
    let name: ArtifactName = source.parse().map_err(|_| FetchError::Address { name: source.clone() })?;
    Ok(LockedReference {
        name,
        kind: ReferenceKind::Referrer,
        digest: digest.clone(),
        media_type: referrer.fetched.media_type.clone(),
        platform: None,
        subject: Some(subject.clone()),
        requested_by: vec![format!("it refers to {repository}@{subject}")],
        source,
        verdict,
    })
}
