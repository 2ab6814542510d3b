//! Manifests and blobs, for whoever may read them.

use http::Response;
use sealock_trust::Digest;

use super::ask::Ask;
use super::body::Body;
use super::content;
use super::respond::Problem;
use crate::access::Action;
use crate::revoked::Affected;
use crate::view::name;
use crate::view::shelf::Shelf;

/// `GET` and `HEAD /v2/<name>/manifests/<reference>` (OCI distribution specification 1.1, "Pulling manifests").
pub(crate) fn manifest(ask: &Ask<'_>, reference: &str) -> Response<Body> {
    if let Err(problem) = check_reference(reference) {
        return problem.respond(reference);
    }
    let shelf = ask.shelf();
    if shelf.is_absent() {
        return Problem::NameUnknown.respond(ask.name);
    }
    match shelf.manifest(reference).filter(|manifest| ask.promise(&manifest.digest)) {
        Some(manifest) => content::of_manifest(&ask.head.method, &ask.head.headers, manifest),
        None => denied(&shelf, ask.name, reference)
            .or_else(|| Some(Problem::Withheld.respond(ask.missing(reference)?)))
            .unwrap_or_else(|| Problem::ManifestUnknown.respond(&format!("{}, {reference}", ask.name))),
    }
}

/// `GET` and `HEAD /v2/<name>/blobs/<digest>` (OCI distribution specification 1.1, "Pulling blobs").
pub(crate) async fn blob(ask: &Ask<'_>, digest: &str) -> Response<Body> {
    let Ok(digest) = digest.parse::<Digest>() else { return Problem::DigestInvalid.respond(digest) };
    let shelf = ask.shelf();
    if shelf.is_absent() {
        return Problem::NameUnknown.respond(ask.name);
    }
    let (method, headers) = (&ask.head.method, &ask.head.headers);
    // Some clients fetch manifests by the route of blobs.
    if let Some(manifest) = shelf.manifest_by_digest(&digest).filter(|_| ask.promise(&digest)) {
        return content::of_manifest(method, headers, manifest);
    }
    match shelf.blob(&digest, ask.may(Action::Push)).filter(|_| ask.promise(&digest)) {
        Some(length) => content::of_blob(method, headers, ask.state.store(), (&digest, length)).await,
        None => denied(&shelf, ask.name, &digest.to_string())
            .unwrap_or_else(|| Problem::BlobUnknown.respond(&format!("{}, {digest}", ask.name))),
    }
}

/// Whether `reference` is a digest or a tag at all.
pub(crate) fn check_reference(reference: &str) -> Result<(), Problem> {
    match reference.contains(':') {
        true if reference.parse::<Digest>().is_err() => Err(Problem::DigestInvalid),
        false if !name::is_tag(reference) => Err(Problem::NameInvalid),
        _ => Ok(()),
    }
}

/// 403 with what was revoked and why, so that whoever pulls knows that it is no fault of the network.
fn denied(shelf: &Shelf<'_>, name: &str, reference: &str) -> Option<Response<Body>> {
    let Affected { digest, reason, .. } = shelf.blocked(reference)?;
    Some(Problem::Denied.respond(&format!("{name}, {reference}: {digest} is revoked: {reason}")))
}
