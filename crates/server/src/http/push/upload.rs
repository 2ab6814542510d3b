//! Uploads of blobs: in one request, in one stream, or in chunks (OCI distribution specification 1.1, "Pushing blobs").

use std::str::FromStr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderName, Response, StatusCode};
use hyper::body::Incoming;
use sealock_store::pushed::{Append, PushError, Pushed};
use sealock_trust::{Algorithm, Digest};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::ask::Ask;
use super::super::body::Body;
use super::super::content::insert_text;
use super::super::respond::{DOCKER_CONTENT_DIGEST, Problem, Refusal, empty};
use super::receive::{Ending, Piece, amount, receive};
use super::{mount, refuse};
use crate::access::Action;
use crate::clock::Clock;

/// What Docker's client expects beside the location.
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

type Answer = Result<Response<Body>, Refusal>;

/// `POST /v2/<name>/blobs/uploads/`: a mount, a whole blob, or the begin of an upload.
pub(crate) async fn begin(ask: &Ask<'_>, body: Incoming) -> Answer {
    let pushed = ask.pushed_for(Action::Push)?;
    reserve(ask)?;
    if let Some(mounted) = mount::mount(ask, pushed).await? {
        return Ok(mounted);
    }
    let digest = ask.query.digest.as_deref().map(parse_digest).transpose()?;
    let algorithm = match (&digest, ask.query.digest_algorithm.as_deref()) {
        (Some(digest), _) => digest.algorithm(),
        (None, None) => Algorithm::Sha256,
        (None, Some(name)) => algorithm(name)?,
    };
    let clock = ask.state.clock().clone();
    let begin =
        move |pushed: &Pushed, (name, who): (&str, Option<&str>)| pushed.begin(name, who, algorithm, clock.moment());
    let id = blocking(ask, pushed, begin).await?;
    let id = id.to_string();
    let Some(digest) = digest else {
        return Ok(accepted(StatusCode::ACCEPTED, &location(ask.name, &id), (&id, 0)));
    };
    let finished = write(ask, pushed, (&id, None), body, Then::Finish(digest.clone())).await;
    if finished.is_err() {
        // Nobody was told its name, so nobody can go on with it.
        let _ = blocking(ask, pushed, move |pushed, (name, who)| pushed.cancel(name, who, &id)).await;
    }
    finished.map(|_| created(ask.name, &digest))
}

/// Whether what comes has room in the repository, as far as the request says how much that is.
fn reserve(ask: &Ask<'_>) -> Result<(), Refusal> {
    let rules = ask.state.access().rules();
    let length = ask.head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let used = rules.quota(ask.name).map_or(0, |_| ask.used());
    rules.reserve(ask.name, used, length.unwrap_or_default()).map_err(|refusal| refuse::of_rule(&refusal))
}

/// `PATCH` of an upload: what comes next of it.
pub(crate) async fn patch(ask: &Ask<'_>, id: &str, body: Incoming) -> Answer {
    let pushed = ask.pushed_for(Action::Push)?;
    reserve(ask)?;
    let at = chunk_offset(ask)?;
    let offset = write(ask, pushed, (id, at), body, Then::Acknowledge).await?;
    Ok(accepted(StatusCode::ACCEPTED, &location(ask.name, id), (id, offset)))
}

/// `PUT` of an upload: the rest of it, if any, and its digest.
pub(crate) async fn put(ask: &Ask<'_>, id: &str, body: Incoming) -> Answer {
    let pushed = ask.pushed_for(Action::Push)?;
    reserve(ask)?;
    let digest = parse_digest(ask.query.digest.as_deref().unwrap_or_default())?;
    let at = chunk_offset(ask)?;
    write(ask, pushed, (id, at), body, Then::Finish(digest.clone())).await?;
    Ok(created(ask.name, &digest))
}

/// `GET` of an upload: how much of it is there.
pub(crate) async fn status(ask: &Ask<'_>, id: &str) -> Response<Body> {
    let status = async || -> Answer {
        let pushed = ask.pushed_for(Action::Push)?;
        let asked = id.to_owned();
        let look = move |pushed: &Pushed, (name, who): (&str, Option<&str>)| pushed.acknowledged(name, who, &asked);
        let offset = blocking(ask, pushed, look).await?;
        Ok(accepted(StatusCode::NO_CONTENT, &location(ask.name, id), (id, offset)))
    };
    status().await.unwrap_or_else(|refusal| *refusal)
}

/// `DELETE` of an upload: it is given up.
pub(crate) async fn cancel(ask: &Ask<'_>, id: &str) -> Answer {
    let pushed = ask.pushed_for(Action::Push)?;
    let id = id.to_owned();
    blocking(ask, pushed, move |pushed, (name, who)| pushed.cancel(name, who, &id)).await?;
    Ok(no_content())
}

/// What becomes of an upload once a body has come.
enum Then {
    Acknowledge,
    Finish(Digest),
}

/// Writes `body` to the upload `id`, at an offset where that is given, and returns the bytes that are there then.
async fn write(
    ask: &Ask<'_>,
    pushed: &Arc<Pushed>,
    (id, at): (&str, Option<u64>),
    body: Incoming,
    then: Then,
) -> Result<u64, Refusal> {
    let location = location(ask.name, id);
    let stalled = ask.state.limits().stalled;
    let Ok(_permit) = timeout(stalled, ask.state.writers().acquire()).await else {
        return Err(Problem::TooManyUploads.refuse(&location));
    };
    let length = ask.head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let room = ask.state.access().rules().quota(ask.name).map(|quota| quota.saturating_sub(ask.used()));
    let (pushed, name, who, id) = (pushed.clone(), ask.name.to_owned(), ask.who().map(str::to_owned), id.to_owned());
    let clock = ask.state.clock().clone();
    let work = move |pieces| -> Result<Option<u64>, PushError> {
        let mut append = pushed.append(&name, who.as_deref(), &id, at)?;
        append.expect(length.unwrap_or_default())?;
        let written = take(&mut append, pieces, room, &clock);
        let finished = match (written, then) {
            (Ok(true), Then::Finish(digest)) => {
                return pushed.finish(append, (&name, who.as_deref()), &digest, clock.moment()).map(Some);
            }
            (Ok(true), Then::Acknowledge) => append.acknowledge(clock.moment()).map(Some),
            // The client is gone, and may come again for the rest.
            (Ok(false), _) => append.acknowledge(clock.moment()).map(|_| None),
            (Err(error), _) => Err(error),
        };
        pushed.settle(&append)?;
        finished
    };
    let (result, ending) = receive(body, stalled, work).await;
    match (result, ending) {
        (Some(Ok(Some(offset))), _) => Ok(offset),
        (Some(Err(error)), _) => Err(refuse::of_upload(&error, &location)),
        (Some(Ok(None)), Ending::Slow) => Err(Problem::TooSlow.refuse(&location)),
        (Some(Ok(None)), _) => Err(Problem::UploadCut.refuse(&location)),
        (None, _) => Err(Problem::Internal.refuse(&location)),
    }
}

/// Whether the body came to its end. The upload gets no longer than `room`, in bytes: what a quota leaves.
fn take(
    append: &mut Append,
    mut pieces: mpsc::Receiver<Piece>,
    room: Option<u64>,
    clock: &Clock,
) -> Result<bool, PushError> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(frames) => {
                let length = append.offset().saturating_add(amount(&frames) as u64);
                if let Some(limit) = room.filter(|room| length > *room) {
                    return Err(PushError::TooLong { limit });
                }
                append.write_pieces(&frames, clock.moment())?;
            }
            Piece::End => return Ok(true),
        }
    }
    Ok(false)
}

/// Where a chunk begins, where it says so: `<first>-<last>`, with or without a unit in front and a length behind.
fn chunk_offset(ask: &Ask<'_>) -> Result<Option<u64>, Refusal> {
    let Some(value) = ask.head.headers.get(CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let Some((first, last)) = parse_range(text) else { return Err(Problem::SizeInvalid.refuse(text)) };
    let length = ask.head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let fits =
        last.checked_sub(first).is_some_and(|span| length.is_none_or(|length| span.checked_add(1) == Some(length)));
    if fits { Ok(Some(first)) } else { Err(Problem::SizeInvalid.refuse(text)) }
}

pub(in crate::http) fn parse_range(text: &str) -> Option<(u64, u64)> {
    let range = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches(['=', ' ']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    Some((number(first)?, number(last)?))
}

fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    Digest::from_str(text).map_err(|_| Problem::DigestInvalid.refuse(text))
}

fn algorithm(name: &str) -> Result<Algorithm, Refusal> {
    match name {
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        _ => Err(Problem::DigestInvalid.refuse(name)),
    }
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// What stands of an upload.
fn accepted(status: StatusCode, location: &str, (id, offset): (&str, u64)) -> Response<Body> {
    let mut response = if status == StatusCode::NO_CONTENT { no_content() } else { empty(status) };
    insert_text(response.headers_mut(), LOCATION, location);
    insert_text(response.headers_mut(), RANGE, &refuse::range_so_far(offset));
    insert_text(response.headers_mut(), UPLOAD_UUID, id);
    response
}

/// A blob that is there now.
pub(crate) fn created(name: &str, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    insert_text(response.headers_mut(), LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    insert_text(response.headers_mut(), DOCKER_CONTENT_DIGEST, &digest.to_string());
    response
}

/// 204 has no `Content-Length` (RFC 9110, section 8.6).
fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Does `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: &Ask<'_>,
    pushed: &Arc<Pushed>,
    work: impl FnOnce(&Pushed, (&str, Option<&str>)) -> Result<T, PushError> + Send + 'static,
) -> Result<T, Refusal> {
    let (pushed, name, who) = (pushed.clone(), ask.name.to_owned(), ask.who().map(str::to_owned));
    let done = tokio::task::spawn_blocking(move || work(&pushed, (&name, who.as_deref()))).await;
    match done {
        Ok(result) => result.map_err(|error| refuse::of(&error)),
        Err(error) => {
            tracing::error!(%error, "a push ended early");
            Err(Problem::Internal.refuse(ask.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_say_where_they_begin() {
        for (text, expected) in [
            ("0-1023", Some((0, 1023))),
            ("bytes 5-9/*", Some((5, 9))),
            ("bytes=5-9", Some((5, 9))),
            ("5-9/20", Some((5, 9))),
            ("", None),
            ("-", None),
            ("5-", None),
            ("-5", None),
            ("+5-9", None),
            ("a-b", None),
            ("99999999999999999999-1", None),
        ] {
            assert_eq!(parse_range(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_range_brings_it_down(text in ".{0,60}") {
            let _ = parse_range(&text);
        }
    }
}
