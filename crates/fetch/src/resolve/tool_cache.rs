//! Downloaded tools are kept by their digest, so that the next lock need not download them again.
//!
//! Nothing is run from the cache: a tool is copied out and hashed on the way, and only a copy with the right digest is
//! used. Files appear by a rename, so several locks may share one cache.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealock_trust::{Digest, Hasher};

/// Bytes that the cache holds at most: kubeadm and Helm of some ten versions.
const MOST: u64 = 1 << 30;
const BUFFER: usize = 128 << 10;
/// What a file is called until it is whole.
const UNFINISHED: &str = ".unfinished-";

/// A folder with tools, each called after its digest.
#[derive(Clone, Debug)]
pub(super) struct ToolCache {
    folder: PathBuf,
    most: u64,
}

impl ToolCache {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), most: MOST }
    }

    /// Copies the tool to `target`, where it is there and has its digest; says whether. One that was changed is removed.
    pub(super) fn take(&self, digest: &Digest, target: &Path) -> io::Result<bool> {
        let path = self.path(digest);
        let source = match File::open(&path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if copy(&source, &mut File::create(target)?, digest)? != *digest {
            fs::remove_file(&path)?;
            fs::remove_file(target)?;
            return Ok(false);
        }
        // The time of its last use decides what goes first. A cache that may only be read keeps the old one.
        let _ = source.set_modified(SystemTime::now());
        Ok(true)
    }

    /// Keeps the file at `source`, which has the digest, and makes room for it.
    pub(super) fn keep(&self, digest: &Digest, source: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let source = File::open(source)?;
        self.make_room(source.metadata()?.len())?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        if copy(&source, file.as_file_mut(), digest)? != *digest {
            return Err(io::Error::other("it changed while it was copied"));
        }
        file.persist(self.path(digest)).map(drop).map_err(|error| error.error)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// Removes what was not used for longest until `more` bytes fit. Whoever has one of them open keeps it.
    fn make_room(&self, more: u64) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another lock may have removed it meanwhile.
            if let Ok(metadata) = entry.metadata() {
                kept.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        kept.sort();
        let mut sum = kept.iter().fold(more, |sum, (_, size, _)| sum.saturating_add(*size));
        for (_, size, path) in kept {
            if sum <= self.most {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => sum = sum.saturating_sub(size),
            }
        }
        Ok(())
    }
}

/// Copies, and answers the digest of what was copied.
fn copy(mut source: &File, target: &mut File, like: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(like.algorithm());
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        target.write_all(bytes)?;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(folder: &Path, content: &[u8]) -> (Digest, PathBuf) {
        let path = folder.join("downloaded");
        fs::write(&path, content).unwrap();
        (Digest::sha256(content), path)
    }

    #[test]
    fn what_was_changed_is_not_taken_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ToolCache::new(&folder.path().join("cache"));
        let target = folder.path().join("target");
        let (digest, source) = tool(folder.path(), b"kubeadm");
        assert!(!cache.take(&digest, &target).unwrap());
        cache.keep(&digest, &source).unwrap();
        assert!(cache.take(&digest, &target).unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"kubeadm");
        fs::write(cache.path(&digest), b"kubeadm, but evil").unwrap();
        assert!(!cache.take(&digest, &target).unwrap());
        assert!(!target.exists() && !cache.path(&digest).exists());
        assert!(cache.keep(&Digest::sha256(b"other"), &source).is_err());
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ToolCache { most: 2_500, ..ToolCache::new(&folder.path().join("cache")) };
        let digests: Vec<Digest> = (0..3u8)
            .map(|number| {
                let (digest, source) = tool(folder.path(), &[number; 1_000]);
                cache.keep(&digest, &source).unwrap();
                let age = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(number));
                File::open(cache.path(&digest)).unwrap().set_modified(age).unwrap();
                if number == 1 {
                    // Used again, so the second one is the oldest when the third comes.
                    assert!(cache.take(&Digest::sha256(&[0; 1_000]), &folder.path().join("used")).unwrap());
                }
                digest
            })
            .collect();
        let there: Vec<bool> = digests.iter().map(|digest| cache.path(digest).exists()).collect();
        assert_eq!(there, [true, false, true]);
    }
}
