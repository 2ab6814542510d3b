//! Answers one request: registry, token service or file; then the faults.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Frame, Incoming};

use super::content::Content;
use super::fault::{self, Fault};
use super::{Seen, Shared};
use crate::image::INDEX;

type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// What there is to say, before faults.
struct Answer {
    status: StatusCode,
    headers: Vec<(http::HeaderName, String)>,
    content: Bytes,
}

impl Answer {
    fn new(status: StatusCode, content: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), content: content.into() }
    }

    fn with(mut self, name: http::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn error(status: StatusCode, code: &str) -> Self {
        Self::new(status, format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{code}\"}}]}}"))
            .with(CONTENT_TYPE, "application/json")
    }
}

/// Answers `request`; an error ends the connection without an answer.
pub(crate) async fn to(
    request: &Request<Incoming>,
    shared: &Shared,
    address: SocketAddr,
) -> io::Result<Response<Body>> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = header(AUTHORIZATION);
    shared.seen.lock().unwrap().push(Seen {
        method: request.method().to_string(),
        target: target.clone(),
        range: header(RANGE).map(str::to_owned),
        authorized: authorization.is_some(),
    });
    let faults = fault::take(&mut shared.faults.lock().unwrap(), &target);
    let mut answer = route(request, shared, address, authorization);
    let ranged = !faults.iter().any(|fault| matches!(fault, Fault::NoRange));
    if answer.status == StatusCode::OK
        && ranged
        && let Some(range) = header(RANGE)
    {
        answer = part_of(answer, range);
    }
    let sent = faulty(answer, &faults)?;
    Ok(respond(sent, *request.method() == Method::HEAD))
}

fn route(request: &Request<Incoming>, shared: &Shared, address: SocketAddr, authorization: Option<&str>) -> Answer {
    let path = request.uri().path();
    if path == "/token" {
        return token(request.uri().query().unwrap_or_default(), shared, authorization);
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        let content = shared.content.lock().unwrap();
        let file = content.files.get(path.trim_matches('/'));
        return file.map_or_else(
            || Answer::new(StatusCode::NOT_FOUND, "no such file\n"),
            |bytes| Answer::new(StatusCode::OK, bytes.clone()),
        );
    };
    let repository = ["/manifests/", "/blobs/", "/tags/", "/referrers/"]
        .iter()
        .find_map(|part| rest.rfind(part))
        .map_or("", |end| &rest[..end]);
    if let Some(login) = &*shared.login.lock().unwrap()
        && !login.admits(authorization, repository)
    {
        let challenge = login.challenge(&format!("https://{address}"), repository);
        return Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED").with(WWW_AUTHENTICATE, challenge);
    }
    registry(&shared.content.lock().unwrap(), repository, &rest[repository.len()..])
}

fn token(query: &str, shared: &Shared, authorization: Option<&str>) -> Answer {
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/");
    let login = shared.login.lock().unwrap();
    match login.as_ref().and_then(|login| login.issue(authorization, &scope)) {
        Some(token) => Answer::new(StatusCode::OK, format!("{{\"token\":\"{token}\"}}")),
        None => Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
    }
}

fn registry(content: &Content, repository: &str, rest: &str) -> Answer {
    let named = |digest: &sealock_trust::Digest, media_type: &str, bytes: Bytes| {
        Answer::new(StatusCode::OK, bytes)
            .with(CONTENT_TYPE, media_type)
            .with(http::HeaderName::from_static("docker-content-digest"), digest.to_string())
    };
    if let Some(reference) = rest.strip_prefix("/manifests/") {
        let found = content.manifest(repository, reference);
        return found.map_or_else(
            || Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            |(digest, media_type, bytes)| named(&digest, &media_type, bytes),
        );
    }
    if let Some(digest) = rest.strip_prefix("/blobs/") {
        let found = content.blob(repository, digest);
        return found.map_or_else(
            || Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            |(digest, bytes)| named(&digest, "application/octet-stream", bytes),
        );
    }
    if let (Some(subject), false) = (rest.strip_prefix("/referrers/"), content.without_referrers) {
        let manifests = content.referrers(repository, subject);
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        return Answer::new(StatusCode::OK, index.to_string()).with(CONTENT_TYPE, INDEX);
    }
    Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN")
}

fn part_of(answer: Answer, range: &str) -> Answer {
    let length = answer.content.len();
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return answer;
    };
    let Ok(first) = first.parse::<usize>() else { return answer };
    let end = last.parse::<usize>().map_or(length, |last| (last + 1).min(length));
    if first >= end {
        return Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, "").with(CONTENT_RANGE, format!("bytes */{length}"));
    }
    let content_range = format!("bytes {first}-{}/{length}", end - 1);
    Answer { status: StatusCode::PARTIAL_CONTENT, content: answer.content.slice(first..end), ..answer }
        .with(CONTENT_RANGE, content_range)
}

/// How the body goes out.
enum Way {
    Whole,
    /// The connection ends after so many bytes.
    Cut(usize),
    /// Silence after so many bytes.
    Stall(usize),
    /// Pieces with pauses.
    Trickle(usize, Duration),
}

fn faulty(mut answer: Answer, faults: &[Fault]) -> io::Result<(Answer, Way)> {
    let mut way = Way::Whole;
    for fault in faults {
        match fault {
            Fault::Status(status) => answer = Answer::error(StatusCode::from_u16(*status).unwrap(), "FAULT"),
            Fault::RateLimited(seconds) => {
                answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS")
                    .with(RETRY_AFTER, seconds.to_string());
            }
            Fault::LoginPage => {
                answer =
                    Answer::new(StatusCode::OK, "<!doctype html><title>Log in</title>").with(CONTENT_TYPE, "text/html");
            }
            Fault::Redirect(to) => answer = Answer::new(StatusCode::TEMPORARY_REDIRECT, "").with(LOCATION, to.clone()),
            Fault::Short(less) => answer.content.truncate(answer.content.len().saturating_sub(*less)),
            Fault::Flip => answer.content = flipped(&answer.content),
            Fault::Truncate(after) => way = Way::Cut(*after),
            Fault::Stall(after) => way = Way::Stall(*after),
            Fault::Trickle(piece, pause) => way = Way::Trickle(*piece, *pause),
            Fault::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Fault::NoRange => {}
        }
    }
    Ok((answer, way))
}

fn flipped(content: &Bytes) -> Bytes {
    let mut bytes = content.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

fn respond((answer, way): (Answer, Way), head: bool) -> Response<Body> {
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_LENGTH, answer.content.len())
        .header(ACCEPT_RANGES, "bytes");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let content = if head { Bytes::new() } else { answer.content };
    response.body(body(content, &way)).unwrap()
}

fn body(content: Bytes, way: &Way) -> Body {
    let (piece, pause, end) = match *way {
        Way::Whole => (1 << 16, None, None),
        Way::Cut(after) => (1 << 14, None, Some((after, false))),
        Way::Stall(after) => (1 << 14, None, Some((after, true))),
        Way::Trickle(piece, pause) => (piece, Some(pause), None),
    };
    let frames = futures_util::stream::unfold(0, move |at| {
        let content = content.clone();
        async move {
            // Pending once, so that the server flushes what went before: an error drops it otherwise.
            tokio::task::yield_now().await;
            if let Some((after, silent)) = end
                && at >= after.min(content.len())
            {
                if silent {
                    std::future::pending::<()>().await;
                }
                return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), at));
            }
            if at >= content.len() {
                return None;
            }
            if let Some(pause) = pause {
                pace(pause).await;
            }
            let stop = (at + piece).min(content.len()).min(end.map_or(usize::MAX, |(after, _)| after.max(at + 1)));
            Some((Ok(Frame::data(content.slice(at..stop))), stop))
        }
    });
    http_body_util::BodyExt::boxed(http_body_util::StreamBody::new(Box::pin(frames)))
}

#[expect(clippy::disallowed_methods, reason = "a slow upstream is what the test asks for")]
async fn pace(pause: Duration) {
    tokio::time::sleep(pause).await;
}
