//! Manifests: kept byte for byte, with all their tags at once (OCI distribution specification 1.1, "Pushing Manifests").

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use sealock_store::oci::{LONGEST_MANIFEST, Manifest, nests_too_deep};
use sealock_store::pushed::{Demands, PushError, Pushed, PutManifest, Verdict};
use sealock_trust::Digest;
use tokio::time::timeout;

use super::super::ask::Ask;
use super::super::body::Body;
use super::super::content::insert_text;
use super::super::pull::check_reference;
use super::super::respond::{DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Problem, Refusal, empty};
use super::receive::{Ending, collect};
use super::refuse;
use super::upload::blocking;
use crate::access::Action;
use crate::rules::Push;
use crate::state::State;
use crate::view::name;

/// Tags in one request.
const MOST_TAGS: usize = 64;

/// The longest media type (RFC 6838, section 4.2: 127 characters on each side of the slash).
const LONGEST_TYPE: usize = 255;

/// How deep the indexes of a release nest that a pushed one refers to.
const DEEPEST: usize = 8;

/// `PUT /v2/<name>/manifests/<reference>`
pub(crate) async fn put(ask: &Ask<'_>, reference: &str, body: Incoming) -> Result<Response<Body>, Refusal> {
    let pushed = ask.pushed_for(Action::Push)?;
    check_reference(reference).map_err(|problem| problem.refuse(reference))?;
    let tags = tags(ask, reference)?;
    let bytes = take(ask, body).await?;
    let manifest = Arc::new(parse(ask, reference, bytes)?);
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    insert_text(headers, LOCATION, &format!("/v2/{}/manifests/{}", ask.name, manifest.digest));
    insert_text(headers, DOCKER_CONTENT_DIGEST, &manifest.digest.to_string());
    if let Some(subject) = &manifest.parts.subject {
        insert_text(headers, OCI_SUBJECT, &subject.digest.to_string());
    }
    for tag in tags.iter().filter_map(|tag| HeaderValue::from_str(tag).ok()) {
        headers.append(OCI_TAG, tag);
    }
    let tags = free_tags(ask, tags, &manifest)?;
    let put = admit(ask, manifest, tags)?;
    let state = ask.state.clone();
    let work = move |pushed: &Pushed, (_, who): (&str, Option<&str>)| {
        adopt(&state, pushed, (&put, who), DEEPEST)?;
        pushed.put_manifest(put, who, state.clock().moment())
    };
    blocking(ask, pushed, work).await?;
    Ok(response)
}

/// The tags that shall stand for it: the one in the path, or those in the query.
fn tags(ask: &Ask<'_>, reference: &str) -> Result<Vec<String>, Refusal> {
    let is_tag = !reference.contains(':');
    let mut tags = if is_tag { vec![reference.to_owned()] } else { ask.query.tags.clone() };
    if tags.len() > MOST_TAGS {
        return Err(Problem::TooManyTags.refuse(&format!("{} tags, and {MOST_TAGS} at most", tags.len())));
    }
    if let Some(bad) = tags.iter().find(|tag| !name::is_tag(tag)) {
        return Err(Problem::NameInvalid.refuse(bad));
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

/// A release's tag stands for what the release says. Whoever pushes just that changes nothing.
fn free_tags(ask: &Ask<'_>, tags: Vec<String>, manifest: &Manifest) -> Result<Vec<String>, Refusal> {
    let Some(release) = ask.shelf().release else { return Ok(tags) };
    let mut free = Vec::new();
    for tag in tags {
        if !release.takes_tag(&tag) {
            free.push(tag);
        } else if release.manifest(&tag).is_none_or(|it| it.digest != manifest.digest) {
            return Err(Problem::FromRelease.refuse(&tag));
        }
    }
    Ok(free)
}

/// The manifest with its tags, as far as the rules of the site let it in.
fn admit(ask: &Ask<'_>, manifest: Arc<Manifest>, tags: Vec<String>) -> Result<PutManifest, Refusal> {
    let rules = ask.state.access().rules();
    let own = ask.snapshot.repository(ask.name);
    let present = |tag: &str| own.and_then(|own| own.tag(tag)).map(|tag| &tag.digest);
    let named: Vec<_> = tags.iter().map(|tag| (tag.as_str(), present(tag))).collect();
    let push = Push {
        repository: ask.name,
        media_type: &manifest.media_type,
        digest: &manifest.digest,
        bytes: &manifest.bytes,
        tags: &named,
        used: rules.quota(ask.name).map_or(0, |_| ask.used()),
    };
    rules.admit(&push).map_err(|refusal| refuse::of_rule(&refusal))?;
    let stays = |tag: &&String| rules.tag_stays(ask.name, tag, &manifest.bytes).unwrap_or(true);
    Ok(PutManifest {
        repository: ask.name.to_owned(),
        fixed: tags.iter().filter(stays).cloned().collect(),
        demands: Demands { may_be_sparse: rules.may_be_sparse(ask.name) },
        verdict: Verdict { rule: "registry".to_owned(), policy_epoch: rules.epoch().number() },
        manifest,
        tags,
    })
}

/// The body, one of a few in memory at a time.
async fn take(ask: &Ask<'_>, mut body: Incoming) -> Result<Bytes, Refusal> {
    let length = ask.head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LONGEST_MANIFEST) {
        return Err(Problem::ManifestTooLong.refuse(ask.name));
    }
    let limit = usize::try_from(LONGEST_MANIFEST).unwrap_or(usize::MAX);
    let patience = ask.state.limits().stalled;
    // Held until all of it came; what is written to the disk then waits for its turn there.
    let Ok(_permit) = timeout(patience, ask.state.manifests().acquire()).await else {
        return Err(Problem::TooManyUploads.refuse(ask.name));
    };
    collect(&mut body, limit, patience).await.map_err(|ending| {
        let problem = match ending {
            Ending::TooLong => Problem::ManifestTooLong,
            Ending::Slow => Problem::TooSlow,
            Ending::Cut | Ending::Whole => Problem::UploadCut,
        };
        problem.refuse(ask.name)
    })
}

/// The manifest, where it is one, is what its digest says, and is called what it calls itself.
fn parse(ask: &Ask<'_>, reference: &str, bytes: Bytes) -> Result<Manifest, Refusal> {
    let digest = match reference.parse::<Digest>() {
        Ok(expected) => {
            let actual = Digest::of(expected.algorithm(), &bytes);
            if actual != expected {
                return Err(Problem::DigestMismatch.refuse(&format!("{expected}, and it is {actual}")));
            }
            expected
        }
        Err(_) => Digest::sha256(&bytes),
    };
    let invalid = |what: &str| Problem::ManifestInvalid.refuse(what);
    let called = ask.head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let called = called.map_or("", |value| value.split(';').next().unwrap_or_default().trim());
    if nests_too_deep(&bytes) {
        return Err(invalid("it nests deeper than any manifest"));
    }
    // A list would be read as the fields in their order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(invalid("it is no JSON object"));
    }
    let manifest = Manifest::parse(digest, called, bytes).map_err(|error| invalid(&error.to_string()))?;
    if manifest.parts.schema_version != Some(2) {
        return Err(invalid("its schemaVersion is not 2"));
    }
    let own = manifest.parts.media_type.as_deref();
    if own.is_some_and(|own| own != manifest.media_type) {
        return Err(invalid("Content-Type is another one than the manifest's mediaType"));
    }
    let media_type = &manifest.media_type;
    let is_type = media_type.contains('/') && media_type.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_type || media_type.len() > LONGEST_TYPE {
        return Err(invalid("this is no media type"));
    }
    Ok(manifest)
}

/// Lets the repository hold what the manifest refers to and the release has here, so that it stays when the release goes.
fn adopt(
    state: &State,
    pushed: &Pushed,
    (put, who): (&PutManifest, Option<&str>),
    depth: usize,
) -> Result<(), PushError> {
    let view = state.view();
    let Some(release) = view.repository(&put.repository) else { return Ok(()) };
    for child in put.manifest.children() {
        let snapshot = pushed.snapshot();
        let own = snapshot.repository(&put.repository);
        let is_here = own.is_some_and(|it| it.blob(&child.digest).is_some() || it.manifest(&child.digest).is_some());
        if is_here {
            continue;
        }
        if release.blob(&child.digest).is_some() {
            pushed.mount((&put.repository, who), &child.digest, &put.repository, state.clock().moment())?;
        } else if let (Some(manifest), Some(depth)) = (release.manifest_by_digest(&child.digest), depth.checked_sub(1))
        {
            // What a release has was verified; the platforms that it left out, it left out on purpose.
            let demands = Demands { may_be_sparse: true };
            let verdict = Verdict { rule: "release".to_owned(), policy_epoch: 0 };
            let (repository, manifest) = (put.repository.clone(), manifest.clone());
            let child = PutManifest { repository, manifest, tags: Vec::new(), fixed: Vec::new(), demands, verdict };
            adopt(state, pushed, (&child, who), depth)?;
            pushed.put_manifest(child, who, state.clock().moment())?;
        }
    }
    Ok(())
}
