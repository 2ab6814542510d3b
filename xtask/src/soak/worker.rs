//! One worker: decides by its seed, does, and checks against what it knows.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::LEASE;
use super::world::{World, sha256};
use crate::registries::body::Content;
use crate::registries::client::{Answer, Ask, Connection};
use crate::registries::random::Random;
use crate::registries::upload::{self, Form};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Repositories of one worker.
const REPOSITORIES: usize = 3;
/// Tags in a repository; pushing another one replaces.
const TAGS: usize = 4;
/// Blobs of an image, at most.
const LAYERS: usize = 4;
/// Manifests without a tag that stay, of one worker.
const OUTDATED: usize = 64;

/// What was done, by name.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn one(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(what, count)| format!("{count:>9} {what}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// An image that a tag of ours must lead to.
struct Image {
    digest: String,
    bytes: Bytes,
    /// Indices of the shared blobs.
    blobs: Vec<usize>,
}

/// One worker.
pub(super) struct Worker {
    number: usize,
    random: Random,
    world: Arc<World>,
    connection: Connection,
    /// What each repository's tags must lead to.
    images: Vec<BTreeMap<usize, Image>>,
    /// Repository and digest of manifests whose tag stands for another one by now, oldest first.
    outdated: VecDeque<(usize, String)>,
    pushed: u64,
    counts: Counts,
}

impl Worker {
    pub(super) fn new(number: usize, seed: u64, world: Arc<World>, connection: Connection) -> Self {
        let random = Random::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9));
        let images = (0..REPOSITORIES).map(|_| BTreeMap::new()).collect();
        Self {
            number,
            random,
            world,
            connection,
            images,
            outdated: VecDeque::new(),
            pushed: 0,
            counts: Counts::default(),
        }
    }

    /// Works until it is over; the first thing that is wrong ends it.
    pub(super) async fn run(mut self) -> Result<Counts> {
        let mut steps = 0u64;
        while !self.world.is_over() {
            steps += 1;
            self.step().await.with_context(|| format!("worker {}, step {steps}", self.number))?;
        }
        Ok(self.counts)
    }

    async fn step(&mut self) -> Result<()> {
        let repository = self.random.below(REPOSITORIES);
        match self.random.below(12) {
            0..=3 => self.push(repository).await,
            4..=6 => self.pull(repository).await,
            7..=8 => self.delete(repository).await,
            9 => self.abandon_an_upload(repository).await,
            10 => self.hang_up_while_pulling(repository).await,
            _ => self.list(repository).await,
        }
    }

    /// Blobs by whatever way, then the manifest that names them, which must be taken: all of them were promised.
    async fn push(&mut self, repository: usize) -> Result<()> {
        let count = 1 + self.random.below(LAYERS);
        let blobs: Vec<usize> = (0..count).map(|_| self.random.below(self.world.blobs.len())).collect();
        let (mut promises, mut promised) = (Vec::new(), None);
        for &blob in &blobs {
            promises.push(self.bring(repository, blob).await?);
            promised.get_or_insert_with(Instant::now);
        }
        // Time in which a collector could take what was promised.
        if self.random.below(2) == 0 {
            let other = self.random.below(REPOSITORIES);
            self.pull(other).await?;
        }
        let image = self.image(&blobs)?;
        let tag = self.random.below(TAGS);
        let name = self.repository(repository);
        let sent = (MANIFEST, image.bytes.clone());
        let answer = upload::manifest(&mut self.connection, &name, &format!("t{tag}"), sent).await?;
        if answer.status.is_client_error() && promised.is_some_and(|first| first.elapsed() > LEASE) {
            self.counts.one("manifests refused after a promise had run out");
            return Ok(());
        }
        if answer.status != StatusCode::CREATED {
            let digests: Vec<&str> = blobs.iter().map(|&blob| self.world.blobs[blob].digest.as_str()).collect();
            bail!("{}: a manifest is refused, whose blobs {digests:?} were promised by {promises:?}", told(&answer));
        }
        self.counts.one("manifests pushed");
        if let Some(before) = self.images[repository].insert(tag, image) {
            self.outdated.push_back((repository, before.digest));
        }
        self.delete_outdated().await
    }

    /// Sees to it that a repository has a blob; answers which answer promised it.
    async fn bring(&mut self, repository: usize, blob: usize) -> Result<&'static str> {
        let world = self.world.clone();
        let (blob, name) = (&world.blobs[blob], self.repository(repository));
        if self.random.below(2) == 0 {
            let path = format!("/v2/{name}/blobs/{}", blob.digest);
            let answer = self.connection.send(Method::HEAD, &path, Ask::default()).await?;
            match answer.status {
                StatusCode::OK => {
                    self.counts.one("blobs promised by HEAD");
                    return Ok("HEAD 200");
                }
                StatusCode::NOT_FOUND => {}
                other => bail!("HEAD of a blob: {other}"),
            }
        }
        if self.random.below(2) == 0 {
            let (worker, other) = (self.random.below(world.workers()), self.random.below(REPOSITORIES));
            let from = name_of(worker, other);
            if from != name && upload::mount(&mut self.connection, &name, &blob.digest, &from).await? {
                self.counts.one("blobs promised by a mount");
                return Ok("mount 201");
            }
        }
        let form = match self.random.below(3) {
            0 => Form::Monolithic,
            1 => Form::Streamed,
            _ => Form::Chunked(1),
        };
        upload::blob(&mut self.connection, &name, (&blob.digest, &blob.content), form).await?;
        self.counts.one("blobs promised by an upload");
        if self.random.below(4) == 0 {
            self.read(&name, &blob.digest).await.context("a blob that was just pushed")?;
        }
        Ok("upload 201")
    }

    fn image(&mut self, blobs: &[usize]) -> Result<Image> {
        self.pushed += 1;
        let descriptor = |&blob: &usize| {
            let blob = &self.world.blobs[blob];
            json!({"mediaType": "application/octet-stream", "digest": blob.digest, "size": blob.content.size()})
        };
        let (config, layers) = blobs.split_first().context("an image without blobs")?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-soak",
            "config": descriptor(config), "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
            "annotations": {"soak": format!("{}/{}", self.number, self.pushed)}});
        let bytes = Bytes::from(serde_json::to_vec(&manifest)?);
        Ok(Image { digest: sha256(&bytes), bytes, blobs: blobs.to_vec() })
    }

    /// A tag of ours must lead to what was pushed, byte for byte.
    async fn pull(&mut self, repository: usize) -> Result<()> {
        let Some(tag) = self.some_tag(repository) else { return Ok(()) };
        let (name, world) = (self.repository(repository), self.world.clone());
        let image = &self.images[repository][&tag];
        let path = format!("/v2/{name}/manifests/t{tag}");
        let ask = Ask::default().header("accept", MANIFEST);
        let answer = self.connection.send(Method::GET, &path, ask).await?;
        ensure!(answer.status == StatusCode::OK, "{path}: {} though it was pushed", told(&answer));
        ensure!(answer.body == image.bytes, "{path}: other bytes than those that were pushed");
        let blobs = image.blobs.clone();
        for blob in blobs {
            self.read(&name, &world.blobs[blob].digest).await.context("a blob of a manifest that is there")?;
        }
        self.counts.one("images pulled and hashed");
        Ok(())
    }

    async fn read(&mut self, repository: &str, digest: &str) -> Result<()> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let mut hasher = Sha256::new();
        let request = (Method::GET, path.as_str());
        self.connection.read(request, Ask::default(), StatusCode::OK, |piece| hasher.update(piece)).await?;
        let got = format!("sha256:{}", hex::encode(hasher.finalize()));
        ensure!(got == digest, "{path}: torn, its bytes are {got}");
        Ok(())
    }

    /// A manifest by its digest, or a blob that no manifest of the repository needs: gone as soon as the answer is there.
    async fn delete(&mut self, repository: usize) -> Result<()> {
        let name = self.repository(repository);
        if self.random.below(4) == 0 {
            return self.delete_blob(repository).await;
        }
        let Some(tag) = self.some_tag(repository) else { return Ok(()) };
        let Some(image) = self.images[repository].remove(&tag) else { return Ok(()) };
        let path = format!("/v2/{name}/manifests/{}", image.digest);
        self.connection.send(Method::DELETE, &path, Ask::default()).await?.expect(StatusCode::ACCEPTED, &path)?;
        let answer = self.connection.send(Method::GET, &path, Ask::default()).await?;
        ensure!(answer.status == StatusCode::NOT_FOUND, "{path}: {} after it was deleted", answer.status);
        self.counts.one("manifests deleted");
        Ok(())
    }

    /// As a site does that keeps its last builds only: what is there at a time stays as much, however long it goes on.
    async fn delete_outdated(&mut self) -> Result<()> {
        if self.outdated.len() <= OUTDATED {
            return Ok(());
        }
        let Some((repository, digest)) = self.outdated.pop_front() else { return Ok(()) };
        let path = format!("/v2/{}/manifests/{digest}", self.repository(repository));
        self.connection.send(Method::DELETE, &path, Ask::default()).await?.expect(StatusCode::ACCEPTED, &path)?;
        self.counts.one("outdated manifests deleted");
        Ok(())
    }

    async fn delete_blob(&mut self, repository: usize) -> Result<()> {
        let blob = self.random.below(self.world.blobs.len());
        if self.images[repository].values().any(|image| image.blobs.contains(&blob)) {
            return Ok(());
        }
        let path = format!("/v2/{}/blobs/{}", self.repository(repository), self.world.blobs[blob].digest);
        let answer = self.connection.send(Method::DELETE, &path, Ask::default()).await?;
        match answer.status {
            StatusCode::ACCEPTED => self.counts.one("blobs deleted"),
            StatusCode::NOT_FOUND => return Ok(()),
            // A manifest that lost its tags refers to it still: then it stays.
            StatusCode::CONFLICT => {
                self.connection.send(Method::HEAD, &path, Ask::default()).await?.expect(StatusCode::OK, &path)?;
                self.counts.one("blobs kept from deletion");
                return Ok(());
            }
            other => bail!("{path}: {other} to DELETE"),
        }
        let answer = self.connection.send(Method::HEAD, &path, Ask::default()).await?;
        ensure!(answer.status == StatusCode::NOT_FOUND, "{path}: {} after it was deleted", answer.status);
        Ok(())
    }

    /// Half of a blob, and then silence: garbage for the collector.
    async fn abandon_an_upload(&mut self, repository: usize) -> Result<()> {
        let name = self.repository(repository);
        let location = upload::begin(&mut self.connection, &name).await?;
        upload::patch(&mut self.connection, &location, &Content::whole("never finished"), None).await?;
        self.counts.one("uploads abandoned");
        Ok(())
    }

    async fn hang_up_while_pulling(&mut self, repository: usize) -> Result<()> {
        let Some(tag) = self.some_tag(repository) else { return Ok(()) };
        let blob = self.images[repository][&tag].blobs[0];
        let path = format!("/v2/{}/blobs/{}", self.repository(repository), self.world.blobs[blob].digest);
        let ask = Ask::default().header("range", "bytes=0-");
        let answer = self.connection.begin(Method::GET, &path, ask).await?;
        let status = answer.status();
        ensure!(matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT), "{path}: {status}");
        let mut body = answer.into_body();
        body.frame().await.context("an answer without a byte")??;
        drop(body);
        self.connection.renew().await?;
        self.counts.one("pulls cut off");
        Ok(())
    }

    /// A list of tags has all of ours, and no other.
    async fn list(&mut self, repository: usize) -> Result<()> {
        let path = format!("/v2/{}/tags/list", self.repository(repository));
        let answer = self.connection.send(Method::GET, &path, Ask::default()).await?;
        let listed: Vec<String> = match answer.status {
            StatusCode::OK => {
                let list: serde_json::Value = serde_json::from_slice(&answer.body)?;
                let tags = list["tags"].as_array().cloned().unwrap_or_default();
                tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
            }
            StatusCode::NOT_FOUND => Vec::new(),
            other => bail!("{path}: {other}"),
        };
        let ours: Vec<String> = self.images[repository].keys().map(|tag| format!("t{tag}")).collect();
        ensure!(listed == ours, "{path}: {listed:?}, though {ours:?} were pushed and not deleted");
        self.counts.one("lists compared");
        Ok(())
    }

    fn some_tag(&mut self, repository: usize) -> Option<usize> {
        let count = self.images[repository].len();
        let chosen = self.random.below(count);
        self.images[repository].keys().nth(chosen).copied()
    }

    fn repository(&self, number: usize) -> String {
        name_of(self.number, number)
    }
}

fn name_of(worker: usize, repository: usize) -> String {
    format!("soak/w{worker}/r{repository}")
}

/// Status and the beginning of the body.
fn told(answer: &Answer) -> String {
    let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
    format!("{} {said}", answer.status)
}
