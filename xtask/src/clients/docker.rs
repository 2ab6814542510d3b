//! docker's engine, by its requests (research: it pings first, answers a challenge, streams its pushes without a range), as its
//! own requests: the engine itself would change the machine's network.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};

use super::layout::sha256;
use super::scene::Scene;
use super::{Row, row};
use crate::registries::body::Content;
use crate::registries::client::{Answer, Ask, Connection, Connector, blocking};
use crate::registries::upload::{self, Form};

pub(super) const ROWS: &[Row] = &[
    row("docker", "pings /v2/ unnamed and gets a challenge; wrong passwords are refused", ping),
    row("docker", "pushes a streamed layer without a range, and pulls by tag and digest", push_and_pull),
];

/// What docker accepts, in its words.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, application/json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn ping(scene: &Scene) -> Result<()> {
    let mut stranger = scene.endpoint.clone();
    stranger.login = None;
    let mut liar = scene.endpoint.clone();
    if let Some(login) = &mut liar.login {
        login.password.push('x');
    }
    blocking(async {
        let answer = get(&mut Connector::new(&stranger)?.connect().await?, "/v2/").await?;
        let answer = answer.expect(StatusCode::UNAUTHORIZED, "a ping by nobody")?;
        let challenge = answer.headers.get("www-authenticate").context("no challenge: docker never logs in")?;
        let challenge = challenge.to_str()?.to_lowercase();
        ensure!(challenge.starts_with("basic ") || challenge.starts_with("bearer "), "{challenge}");
        let version = answer.headers.get("docker-distribution-api-version").map(http::HeaderValue::as_bytes);
        ensure!(version == Some(b"registry/2.0"), "the API's version is {version:?}");
        let answer = get(&mut Connector::new(&liar)?.connect().await?, "/v2/").await?;
        answer.expect(StatusCode::UNAUTHORIZED, "a ping with a wrong password")?;
        let answer = get(&mut Connector::new(&scene.endpoint)?.connect().await?, "/v2/").await?;
        answer.expect(StatusCode::OK, "a ping with the password").map(drop)
    })
}

async fn get(connection: &mut Connection, path: &str) -> Result<Answer> {
    connection.send(Method::GET, path, Ask::default().header("accept", ACCEPT)).await
}

fn push_and_pull(scene: &Scene) -> Result<()> {
    let layer = Content::whole(scene.layout.blob(&scene.layout.layer)?);
    let config = Content::whole(r#"{"architecture":"amd64","os":"linux"}"#);
    let manifest = manifest(&layer, &config);
    let digest = sha256(&manifest);
    blocking(async {
        let mut docker = Connector::new(&scene.endpoint)?.connect().await?;
        for content in [&layer, &config] {
            let digest = content.digest();
            let head = docker.send(Method::HEAD, &format!("/v2/docker/app/blobs/{digest}"), Ask::default()).await?;
            ensure!(matches!(head.status, StatusCode::OK | StatusCode::NOT_FOUND), "HEAD of a blob: {}", head.status);
            upload::blob(&mut docker, "docker/app", (&digest, content), Form::Streamed).await?;
        }
        let put = upload::manifest(&mut docker, "docker/app", "1", (MANIFEST, Bytes::from(manifest.clone()))).await?;
        let put = put.expect(StatusCode::CREATED, "PUT of the manifest")?;
        ensure!(
            put.headers.get("docker-content-digest").is_some_and(|value| *value == *digest),
            "no digest in the answer"
        );

        let path = |reference: &str| format!("/v2/docker/app/manifests/{reference}");
        let ask = Ask::default().header("accept", ACCEPT);
        let head = docker.send(Method::HEAD, &path("1"), ask).await?.expect(StatusCode::OK, "HEAD by tag")?;
        ensure!(head.headers.get("content-type").is_some_and(|kind| kind == MANIFEST), "another media type");
        let length = head.headers.get("content-length").context("HEAD without a length")?.to_str()?;
        ensure!(length == manifest.len().to_string(), "HEAD says {length} bytes of {}", manifest.len());
        let pulled = get(&mut docker, &path(&digest)).await?.expect(StatusCode::OK, "GET by digest")?;
        ensure!(pulled.body == manifest.as_bytes(), "other bytes than those that were pushed");
        let blob = get(&mut docker, &format!("/v2/docker/app/blobs/{}", layer.digest())).await?;
        ensure!(sha256(&blob.expect(StatusCode::OK, "GET of the layer")?.body) == layer.digest(), "a torn layer");
        Ok(())
    })
}

fn manifest(layer: &Content, config: &Content) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":{},"digest":"{}"}}]}}"#,
        config.size(),
        config.digest(),
        layer.size(),
        layer.digest()
    )
}
