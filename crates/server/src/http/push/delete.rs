//! Deletes: tags, manifests and blobs (OCI distribution specification 1.1, "Content Management"). What came with a release stays.

use http::{Response, StatusCode};
use sealock_trust::Digest;

use super::super::ask::Ask;
use super::super::body::Body;
use super::super::pull::check_reference;
use super::super::respond::{Problem, Refusal, empty};
use super::upload::blocking;
use crate::access::Action;

/// `DELETE /v2/<name>/manifests/<reference>`: a tag alone, or a manifest with its tags.
pub(crate) async fn manifest(ask: &Ask<'_>, reference: &str) -> Result<Response<Body>, Refusal> {
    let pushed = ask.pushed_for(Action::Delete)?;
    check_reference(reference).map_err(|problem| problem.refuse(reference))?;
    let shelf = ask.shelf();
    let of_release = |release: &crate::view::Repository| match reference.parse::<Digest>() {
        Ok(digest) => {
            shelf.pushed.is_none_or(|it| it.manifest(&digest).is_none()) && release.manifest(reference).is_some()
        }
        Err(_) => release.takes_tag(reference),
    };
    if shelf.release.is_some_and(of_release) {
        return Err(Problem::FromRelease.refuse(reference));
    }
    let (reference, clock) = (reference.to_owned(), ask.state.clock().clone());
    let delete = move |pushed: &sealock_store::pushed::Pushed, who: (&str, Option<&str>)| match reference.parse() {
        Ok(digest) => pushed.delete_manifest(who, &digest, clock.moment()),
        Err(_) => pushed.delete_tag(who, &reference, clock.moment()),
    };
    blocking(ask, pushed, delete).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// `DELETE /v2/<name>/blobs/<digest>`
pub(crate) async fn blob(ask: &Ask<'_>, digest: &str) -> Result<Response<Body>, Refusal> {
    let pushed = ask.pushed_for(Action::Delete)?;
    let Ok(digest) = digest.parse::<Digest>() else { return Err(Problem::DigestInvalid.refuse(digest)) };
    let shelf = ask.shelf();
    let is_pushed = shelf.pushed.is_some_and(|it| it.blob(&digest).is_some());
    if !is_pushed && shelf.release.is_some_and(|release| release.blob(&digest).is_some()) {
        return Err(Problem::FromRelease.refuse(&digest.to_string()));
    }
    let clock = ask.state.clock().clone();
    blocking(ask, pushed, move |pushed, who| pushed.delete_blob(who, &digest, clock.moment())).await?;
    Ok(empty(StatusCode::ACCEPTED))
}
