//! Building: every blob of a lock is pulled once, straight into its place in the bundle.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use sealock_bundle::ArchiveError;
use sealock_bundle::archive::{SlotWriter, Writer};
use sealock_bundle::lock::{BlobRole, BlobSource, Lock, LockedBlob};
use url::Url;

use crate::blocking;
use crate::error::FetchError;
use crate::http::{Expected, Http, Landing, Request};
use crate::progress::{Event, Progress};
use crate::settings::Settings;
use crate::source::oci::Repository;
use crate::upstream::Failure;

/// Builds the bundle that `lock` determines at `out`, unsigned: [`sealock_bundle::sign()`] comes next. `folder` is where the
/// spec lies. A build that was cut off goes on where it stopped; blobs that are there are not fetched again.
///
/// # Errors
/// When an upstream fails or gives something else than was locked, a local file has changed, or the disk is full. What was
/// fetched stays in `<out>.partial` for the next call.
pub async fn build(
    lock: &Lock,
    folder: &Path,
    out: &Path,
    settings: &Settings,
    progress: &Progress,
) -> Result<PathBuf, FetchError> {
    let (locked, path) = (lock.clone(), out.to_owned());
    let writer = blocking::run(move || Ok(Writer::create(&path, &locked)?)).await?;
    fill(writer, folder, settings, progress).await
}

/// Fetches what a bundle that was begun lacks, and finishes it: what [`build`] does with a [`Writer`] of its own.
///
/// # Errors
/// As [`build`].
pub async fn fill(
    writer: Writer,
    folder: &Path,
    settings: &Settings,
    progress: &Progress,
) -> Result<PathBuf, FetchError> {
    let http = Http::new(settings.clone(), progress.clone())?;
    let missing = announce(&writer, progress);
    let pulled = pull_all(&http, &writer, folder, missing).await;
    if let Err(error) = pulled {
        let kept = writer.clone();
        // The first error is the one to tell; that the progress is not durable costs only time.
        let _ = blocking::run(move || Ok(kept.checkpoint()?)).await;
        return Err(error);
    }
    progress.report(&Event::Phase("finishing the bundle"));
    blocking::run(move || Ok(writer.finish()?)).await
}

/// Tells how much is to be done, and gives it in a good order: the largest first, so that none is waited for at the end.
fn announce(writer: &Writer, progress: &Progress) -> Vec<LockedBlob> {
    let mut missing = writer.missing();
    let bytes = missing.iter().map(|blob| blob.size).sum();
    let (all, all_bytes) = writer.fetched().fold((0, 0), |(count, sum), blob| (count + 1, sum + blob.size));
    let blobs = missing.len() as u64;
    if blobs < all {
        progress.report(&Event::Kept { blobs: all - blobs, bytes: all_bytes - bytes });
    }
    progress.report(&Event::Planned { blobs, bytes });
    missing.sort_by(|a, b| (b.size, &a.digest).cmp(&(a.size, &b.digest)));
    missing
}

async fn pull_all(http: &Http, writer: &Writer, folder: &Path, missing: Vec<LockedBlob>) -> Result<(), FetchError> {
    stream::iter(missing)
        .map(|blob| pull(http, writer, folder, blob))
        .buffer_unordered(http.parallel())
        .try_collect::<()>()
        .await
}

async fn pull(http: &Http, writer: &Writer, folder: &Path, blob: LockedBlob) -> Result<(), FetchError> {
    let slot = SlotLanding(writer.slot(&blob.digest)?);
    match &blob.source {
        BlobSource::Oci { registry, repository } => {
            let repository = Repository { host: registry.clone(), path: repository.clone() };
            let request = match blob.role {
                BlobRole::Index | BlobRole::Manifest => http.manifest_request(&repository, &blob.digest)?,
                BlobRole::Config | BlobRole::Layer => http.blob_request(&repository, &blob.digest)?,
            };
            download(http, &request, &blob, slot).await
        }
        BlobSource::Http { url, inner: Some(inner) } => {
            Err(FetchError::Member { url: url.clone(), inner: inner.clone() })
        }
        BlobSource::Http { url, inner: None } => {
            let url = Url::parse(url).map_err(|_| FetchError::Address { name: url.clone() })?;
            download(http, &http.file_request(&url), &blob, slot).await
        }
        BlobSource::File { path } => {
            let (path, progress) = (folder.join(path), http.progress.clone());
            blocking::run(move || copy(&path, &blob, slot, &progress)).await
        }
        // The writer takes these from the lock.
        BlobSource::Generated { .. } => Ok(()),
    }
}

async fn download(http: &Http, request: &Request, blob: &LockedBlob, slot: SlotLanding) -> Result<(), FetchError> {
    http.progress.report(&Event::Started { name: &request.wanted, size: Some(blob.size) });
    let expected = Expected::exactly(&blob.digest, blob.size);
    let slot = http.download_unhashed(request, &expected, slot).await?;
    let finished = blocking::run(move || Ok(slot.0.finish()?)).await;
    finished.map_err(|error| match error {
        FetchError::Archive(ArchiveError::WrongDigest { expected, actual }) => {
            request.failed(Failure::WrongDigest { expected, got: actual }).into()
        }
        other => other,
    })?;
    http.progress.report(&Event::Finished { name: &request.wanted });
    Ok(())
}

fn copy(path: &Path, blob: &LockedBlob, mut slot: SlotLanding, progress: &Progress) -> Result<(), FetchError> {
    let failed = |source| FetchError::io("read", path, source);
    let changed = || FetchError::Changed { path: path.to_owned(), expected: blob.digest.clone() };
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        if slot.0.written() + length as u64 > blob.size {
            return Err(changed());
        }
        slot.write(&buffer[..length])?;
        progress.report(&Event::Advanced(length as u64));
    }
    slot.0.finish().map_err(|error| match error {
        ArchiveError::WrongSize { .. } | ArchiveError::WrongDigest { .. } => changed(),
        other => other.into(),
    })
}

/// A blob's place in the bundle, which hashes by itself.
struct SlotLanding(SlotWriter);

impl Landing for SlotLanding {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        Ok(self.0.write(bytes)?)
    }

    fn rewind(&mut self) -> Result<(), FetchError> {
        self.0.restart();
        Ok(())
    }
}
