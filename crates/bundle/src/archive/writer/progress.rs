//! Which blobs of an unfinished bundle are there: one line with the manifest's digest, then one line for each blob.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sealock_trust::Digest;

use crate::archive::{ArchiveError, IoContext, sync_folder_of};

/// The blobs that are there, and the file that remembers the durable ones.
#[derive(Debug)]
pub(super) struct Progress {
    file: File,
    durable: BTreeSet<Digest>,
    /// Written, but perhaps not on the disk yet.
    pending: Vec<Digest>,
    pending_bytes: u64,
}

impl Progress {
    /// Reads what is there of the bundle with this manifest; of another one nothing is kept.
    pub(super) fn open(partial: &Path, manifest: &Digest, data: &File) -> Result<Self, ArchiveError> {
        let path = Self::path_of(partial);
        // A build that died right after its last rename leaves its progress, but not the file that it speaks of.
        let is_begun = data.metadata().during("look at", partial)?.len() > 0;
        let found = read(&path, manifest).during("read", &path)?.filter(|_| is_begun);
        if found.is_none() {
            // Zeros between the entries are part of the format, so nothing of the other bundle may stay.
            data.set_len(0).during("empty", partial)?;
        }
        let durable = found.unwrap_or_default();
        let file = rewrite(&path, manifest, &durable).during("write", &path)?;
        sync_folder_of(partial)?;
        Ok(Self { file, durable, pending: Vec::new(), pending_bytes: 0 })
    }

    pub(super) fn path_of(partial: &Path) -> PathBuf {
        let mut name = partial.file_name().unwrap_or_default().to_owned();
        name.push(".progress");
        partial.with_file_name(name)
    }

    pub(super) fn is_empty(path: &Path) -> bool {
        fs::read_to_string(path).is_ok_and(|text| text.lines().count() <= 1)
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.durable.contains(digest) || self.pending.contains(digest)
    }

    pub(super) fn all(&self) -> BTreeSet<Digest> {
        self.durable.iter().chain(&self.pending).cloned().collect()
    }

    /// Notes a blob; returns the bytes that wait for [`Progress::commit`].
    pub(super) fn add(&mut self, digest: Digest, size: u64) -> u64 {
        self.pending.push(digest);
        self.pending_bytes += size;
        self.pending_bytes
    }

    /// Makes the data durable, then says so.
    pub(super) fn commit(&mut self, data: &File) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        data.sync_data()?;
        let lines: String = self.pending.iter().map(|digest| format!("{digest}\n")).collect();
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.durable.extend(self.pending.drain(..));
        self.pending_bytes = 0;
        Ok(())
    }
}

/// The blobs named in the file, or none if it is another bundle's. A line that was cut off names nothing.
fn read(path: &Path, manifest: &Digest) -> io::Result<Option<BTreeSet<Digest>>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => String::from_utf8_lossy(&result?).into_owned(),
    };
    let mut lines = text.lines().map(str::parse);
    if lines.next() != Some(Ok(manifest.clone())) {
        return Ok(None);
    }
    Ok(Some(lines.map_while(Result::ok).collect()))
}

/// Written anew, so that nothing is ever appended to a line that was cut off.
fn rewrite(path: &Path, manifest: &Digest, durable: &BTreeSet<Digest>) -> io::Result<File> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    let lines: String = durable.iter().map(|digest| format!("{digest}\n")).collect();
    file.write_all(format!("{manifest}\n{lines}").as_bytes())?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    Ok(file)
}
