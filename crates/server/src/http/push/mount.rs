//! Mounts: a blob that another repository has is not sent again (OCI distribution specification 1.1, "Mounting a blob from another repository").

use std::sync::Arc;

use http::Response;
use sealock_store::pushed::Pushed;
use sealock_trust::Digest;

use super::super::ask::Ask;
use super::super::body::Body;
use super::super::respond::{Problem, Refusal};
use super::upload::{blocking, created};
use crate::access::Action;

/// Mounts what `mount` names. Nothing where nothing is to be mounted, or nobody has it whom the client may read: then the blob is uploaded.
pub(crate) async fn mount(ask: &Ask<'_>, pushed: &Arc<Pushed>) -> Result<Option<Response<Body>>, Refusal> {
    let Some(text) = ask.query.mount.as_deref() else { return Ok(None) };
    let Ok(digest) = text.parse::<Digest>() else { return Err(Problem::DigestInvalid.refuse(text)) };
    let Some(from) = source(ask, &digest) else { return Ok(None) };
    let (mounted, clock) = (digest.clone(), ask.state.clock().clone());
    let mount = move |pushed: &Pushed, who: (&str, Option<&str>)| pushed.mount(who, &mounted, &from, clock.moment());
    blocking(ask, pushed, mount).await?;
    Ok(Some(created(ask.name, &digest)))
}

/// A repository that has `digest` and lets the client read it: the one that is named, or else any.
fn source(ask: &Ask<'_>, digest: &Digest) -> Option<String> {
    if let Some(from) = ask.query.from.as_deref() {
        return has(ask, from, digest).then(|| from.to_owned());
    }
    let pushed = ask.snapshot.is_held(digest).then(|| ask.snapshot.repositories(None).map(|(name, _)| name));
    let names = pushed.into_iter().flatten().chain(ask.view.repositories(None).map(|(name, _)| name));
    names.into_iter().find(|name| has(ask, name, digest)).cloned()
}

fn has(ask: &Ask<'_>, name: &str, digest: &Digest) -> bool {
    let may_push = ask.may_in(name, Action::Push);
    ask.may_in(name, Action::Pull) && ask.shelf_of(name).blob(digest, may_push).is_some()
}
