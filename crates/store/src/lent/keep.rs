//! What the holder of the store's lock does with bundles that were taken in.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sealock_trust::Digest;
use sealock_trust::dsse::Envelope;
use serde::Deserialize;

use super::{Bundle, Known, manifest_of};
use crate::blob::size_of_file;
use crate::current::read_bounded;
use crate::durable::{remove_if_there, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::layout::{ALGORITHMS, BUNDLE_END, WITHDRAWN_END};
use crate::lock::StoreLock;
use crate::release::PAYLOAD_TYPE;

/// What is read here of a release that nobody has verified.
#[derive(Deserialize)]
struct Selecting {
    streams: Vec<Selected>,
}

#[derive(Deserialize)]
struct Selected {
    manifest: Digest,
}

impl StoreLock {
    /// From here on no bundle in `known` lends the blob `digest`. Whether that outlives a power loss is for the caller: what
    /// is lent again by it is as whole as it was.
    pub(crate) fn withdraw(&self, known: &Known, digest: &Digest) -> Result<(), StoreError> {
        for bundle in known.bundles.iter().filter(|bundle| bundle.part(digest).is_some()) {
            let path = self.layout().withdrawn(&bundle.manifest);
            append(&path, digest).during("write", &path)?;
        }
        Ok(())
    }

    /// As [`StoreLock::withdraw`], from the one bundle, and durable when it returns: what has rotted does not come back.
    pub(crate) fn withdraw_for_good(&self, bundle: &Digest, digest: &Digest) -> Result<(), StoreError> {
        let path = self.layout().withdrawn(bundle);
        let file = append(&path, digest).during("write", &path)?;
        failpoint::hit("sync withdrawn").and_then(|()| file.sync_all()).during("sync", &path)?;
        sync_folder(&self.layout().lent())
    }

    /// Removes the bundles that lend nothing any more, and returns how many these were.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn settle_lenders(&self) -> Result<u64, StoreError> {
        let known = self.store.lenders.known(self.layout())?;
        let mut settled = Vec::new();
        for bundle in &known.bundles {
            if self.is_settled(bundle)? {
                settled.push(&bundle.manifest);
            }
        }
        if settled.is_empty() {
            return Ok(0);
        }
        // Whoever put these files there may not have come that far yet.
        for algorithm in ALGORITHMS {
            sync_folder(&self.layout().blobs().join(algorithm.as_str()))?;
        }
        for manifest in &settled {
            self.remove_lender(manifest)?;
        }
        Ok(settled.len() as u64)
    }

    /// Whether everything that a bundle lends is a file by now. One whose content is not known may lend anything.
    fn is_settled(&self, bundle: &Bundle) -> Result<bool, StoreError> {
        if bundle.contents.is_err() {
            return Ok(false);
        }
        for (digest, part) in bundle.parts() {
            if size_of_file(&self.store.blob_path(digest))? != Some(part.size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The list goes last: without it the bundle would lend again what it must not.
    fn remove_lender(&self, manifest: &Digest) -> Result<(), StoreError> {
        remove_if_there(&self.layout().lender(manifest))?;
        sync_folder(&self.layout().lent())?;
        remove_if_there(&self.layout().withdrawn(manifest))
    }
}

/// Puts away what a publishing that was cut off has taken in: the bundles that no release of this store selects, and lists
/// without a bundle. Nothing of such a bundle was ever served, and the import that brought it finds it where it was given.
///
/// Retired releases count, too: what they brought may be in use. So does one that cannot be read: it may select anything.
pub(crate) fn put_away(lock: &StoreLock) -> Result<(), StoreError> {
    let folder = lock.layout().lent();
    let names: Vec<_> = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => {
            result.during("read", &folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()
        }
    }
    .during("read", &folder)?;
    for manifest in names.iter().filter_map(|name| manifest_of(name, BUNDLE_END)) {
        if !is_selected(lock, &manifest)? {
            tracing::info!(%manifest, "a bundle that no release selects is not kept");
            lock.remove_lender(&manifest)?;
        }
    }
    for manifest in names.iter().filter_map(|name| manifest_of(name, WITHDRAWN_END)) {
        if size_of_file(&lock.layout().lender(&manifest))?.is_none() {
            remove_if_there(&lock.layout().withdrawn(&manifest))?;
        }
    }
    Ok(())
}

/// Whether some release selects the bundle, or could. Signatures make no difference: a doubt only keeps it.
fn is_selected(lock: &StoreLock, manifest: &Digest) -> Result<bool, StoreError> {
    for number in lock.store().release_numbers()? {
        let file = read_bounded(&lock.layout().release(number));
        let selecting = file.ok().and_then(|file| Envelope::from_json(&file).ok());
        let selecting = selecting.and_then(|envelope| {
            let payload = envelope.unverified(PAYLOAD_TYPE).ok()?;
            serde_json::from_slice::<Selecting>(payload).ok()
        });
        if selecting.is_none_or(|selecting| selecting.streams.iter().any(|stream| stream.manifest == *manifest)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds a line. A list only grows, so that its length says whether it is another one; behind a line that a power loss has torn
/// a new one begins.
fn append(path: &Path, digest: &Digest) -> io::Result<fs::File> {
    failpoint::hit("withdraw")?;
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).mode(0o644).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == *b"\n" { "" } else { "\n" };
    file.write_all(format!("{begin}{digest}\n").as_bytes())?;
    Ok(file)
}
