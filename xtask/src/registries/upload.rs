//! Pushes, as the distribution specification has them ("Pushing blobs", "Pushing manifests").

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};

use super::body::Content;
use super::client::{Answer, Ask, Connection};

/// How a blob is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// POST, then PUT with all bytes.
    Monolithic,
    /// POST, one PATCH without length and without `Content-Range`, then PUT: docker's way.
    Streamed,
    /// POST, PATCH after PATCH with `Content-Range`, then PUT; a chunk is this many pieces of the content.
    Chunked(usize),
}

/// Pushes `content` as the blob `digest` of `repository`; a 201 or an error.
pub async fn blob(
    connection: &mut Connection,
    repository: &str,
    (digest, content): (&str, &Content),
    form: Form,
) -> Result<()> {
    let location = begin(connection, repository).await?;
    let location = match form {
        Form::Monolithic => return finish(connection, &location, digest, content).await,
        Form::Streamed => patch(connection, &location, content, None).await?,
        Form::Chunked(pieces) => chunks(connection, location, content, pieces).await?,
    };
    finish(connection, &location, digest, &Content::default()).await
}

/// Opens an upload; answers where it goes on.
pub async fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let answer = connection.send(Method::POST, &path, Ask::default()).await?;
    answer.expect(StatusCode::ACCEPTED, "POST of an upload")?.location()
}

/// Sends a part of an upload, from `offset` if the client counts; answers where it goes on.
pub async fn patch(connection: &mut Connection, location: &str, part: &Content, offset: Option<u64>) -> Result<String> {
    let mut ask = Ask::default().header("content-type", "application/octet-stream");
    ask = match offset {
        None => ask.body(part.streamed()),
        Some(offset) => {
            let last = (offset + part.size()).checked_sub(1).context("an empty chunk")?;
            ask.header("content-range", format!("{offset}-{last}")).body(part.body())
        }
    };
    let answer = connection.send(Method::PATCH, location, ask).await?;
    answer.expect(StatusCode::ACCEPTED, "PATCH of an upload")?.location()
}

async fn chunks(connection: &mut Connection, begun: String, content: &Content, pieces: usize) -> Result<String> {
    let (mut location, mut offset) = (begun, 0);
    let all: Vec<Bytes> = content.pieces().collect();
    for chunk in all.chunks(pieces) {
        let part = Content::whole(chunk.concat());
        location = patch(connection, &location, &part, Some(offset)).await?;
        offset += part.size();
    }
    Ok(location)
}

/// Ends an upload with the last bytes, if any are left.
pub async fn finish(connection: &mut Connection, location: &str, digest: &str, last: &Content) -> Result<()> {
    let joint = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{joint}digest={digest}");
    let ask = Ask::default().header("content-type", "application/octet-stream").body(last.body());
    let answer = connection.send(Method::PUT, &path, ask).await?;
    answer.expect(StatusCode::CREATED, "PUT of an upload").map(drop)
}

/// Asks for a blob that another repository has; whether it is here now.
pub async fn mount(connection: &mut Connection, repository: &str, digest: &str, from: &str) -> Result<bool> {
    let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
    let answer = connection.send(Method::POST, &path, Ask::default()).await?;
    match answer.status {
        StatusCode::CREATED => Ok(true),
        // An upload was opened instead. It is given up, as it holds nothing.
        StatusCode::ACCEPTED => {
            connection.send(Method::DELETE, &answer.location()?, Ask::default()).await?;
            Ok(false)
        }
        other => anyhow::bail!("a mount is answered with {other}"),
    }
}

/// Pushes a manifest under a tag or its digest, and gives the answer as it is.
pub async fn manifest(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    (media_type, bytes): (&str, Bytes),
) -> Result<Answer> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let ask = Ask::default().header("content-type", media_type).body(Content::whole(bytes).body());
    connection.send(Method::PUT, &path, ask).await
}

/// Whether the registry takes uploads at all.
pub async fn takes_pushes(connection: &mut Connection) -> Result<bool> {
    let answer = connection.send(Method::POST, "/v2/probe/blobs/uploads/", Ask::default()).await?;
    ensure!(!answer.status.is_server_error(), "POST of an upload: {}", answer.status);
    if answer.status != StatusCode::ACCEPTED {
        return Ok(false);
    }
    connection.send(Method::DELETE, &answer.location()?, Ask::default()).await?;
    Ok(true)
}
