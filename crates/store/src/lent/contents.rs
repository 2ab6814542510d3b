//! What a bundle has, and where: read off the bundle itself, with nobody's help (docs/formats/bundle.md).
//!
//! Whether the bundle is genuine was judged before it was taken in. Here only its signed manifest is looked for, which has the
//! digest that the bundle is called by, and says where each blob begins behind the header.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sealock_trust::Digest;
use serde::Deserialize;

/// Bytes of a tar block.
const BLOCK: u64 = 512;
/// The header's size is a multiple of this, in bytes.
const HEADER_UNIT: u64 = 1 << 20;
/// No `manifest.json` is longer than this; in bytes (docs/formats/manifest.md).
const LONGEST_MANIFEST: u64 = 24 << 20;
/// Entries of a header: a long chain of roots, and little else.
const MOST_ENTRIES: usize = 1100;
/// The entry that is the manifest.
const MANIFEST: &str = "tuf/targets/manifest.json";
/// The last entry of the header.
const PAD: &str = "pad";

/// The place of one blob in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where its first byte stands in the file.
    pub(crate) start: u64,
    /// Its bytes.
    pub(crate) size: u64,
}

/// Everything that a bundle has.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Its blobs, and its `manifest.json`.
    pub(crate) parts: HashMap<Digest, Part>,
}

/// Why it is not known what a bundle has.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The file cannot be read now.
    Read(io::Error),
    /// It is not a bundle with this manifest, or the disk does not give it any more.
    Form(String),
}

/// What is read of a manifest here; the rest belongs to `bundle`.
#[derive(Deserialize)]
struct Listing {
    blobs: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    digest: Digest,
    size: u64,
    offset: Option<u64>,
}

/// An entry of the header.
struct Entry {
    name: String,
    /// Where its content stands.
    content: Part,
}

impl Contents {
    /// Reads the header of `file`, whose manifest has the digest `manifest`.
    pub(crate) fn read(file: &File, manifest: &Digest) -> Result<Self, Problem> {
        let length = file.metadata().map_err(Problem::Read)?.len();
        let (mut at, mut found) = (0, None);
        for _ in 0..MOST_ENTRIES {
            let entry = entry_at(file, at, length)?;
            at = entry.content.start + entry.content.size.next_multiple_of(BLOCK);
            match entry.name.as_str() {
                MANIFEST => found = Some(entry.content),
                PAD => return Self::behind(file, (manifest, found), at, length),
                _ => {}
            }
        }
        Err(form("its header does not end"))
    }

    /// What stands behind the header, which ends at `start`.
    fn behind(
        file: &File,
        (manifest, found): (&Digest, Option<Part>),
        start: u64,
        length: u64,
    ) -> Result<Self, Problem> {
        let found = found.filter(|_| start.is_multiple_of(HEADER_UNIT)).ok_or_else(|| form("it is no bundle"))?;
        let bytes = content(file, found)?;
        let actual = Digest::of(manifest.algorithm(), &bytes);
        if actual != *manifest {
            return Err(Problem::Form(format!("its manifest is {actual}")));
        }
        let listing: Listing = serde_json::from_slice(&bytes).map_err(|error| Problem::Form(error.to_string()))?;
        let mut parts = HashMap::from([(manifest.clone(), found)]);
        for Listed { digest, size, offset } in listing.blobs {
            let begin = offset.and_then(|offset| start.checked_add(offset));
            let begin = begin.ok_or_else(|| Problem::Form(format!("it does not carry {digest}")))?;
            if begin.checked_add(size).is_none_or(|end| end > length) {
                return Err(Problem::Form(format!("it ends before {digest} does")));
            }
            parts.insert(digest, Part { start: begin, size });
        }
        Ok(Self { parts })
    }
}

/// Reads the entry whose header block stands at `at`, of a file of `length` bytes: a regular file of ustar (POSIX.1-1988).
fn entry_at(file: &File, at: u64, length: u64) -> Result<Entry, Problem> {
    let mut block = [0; 512];
    file.read_exact_at(&mut block, at).map_err(Problem::from)?;
    let text = |range: std::ops::Range<usize>| {
        let field = block[range].split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(field).unwrap_or_default()
    };
    if text(257..263) != "ustar" || block[156] != b'0' {
        return Err(form("its header is no tar of regular files"));
    }
    let size = u64::from_str_radix(text(124..136), 8).map_err(|_| form("an entry of its header has no size"))?;
    let start = at + BLOCK;
    if size > length.saturating_sub(start) {
        return Err(form("it ends within its header"));
    }
    Ok(Entry { name: text(0..100).to_owned(), content: Part { start, size } })
}

fn content(file: &File, part: Part) -> Result<Vec<u8>, Problem> {
    if part.size > LONGEST_MANIFEST {
        return Err(form("its manifest is longer than any is"));
    }
    let mut bytes = vec![0; usize::try_from(part.size).unwrap_or_default()];
    file.read_exact_at(&mut bytes, part.start).map_err(Problem::from)?;
    Ok(bytes)
}

fn form(problem: &str) -> Problem {
    Problem::Form(problem.to_owned())
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        let is_rot = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        if is_rot || error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Form(format!("its header cannot be read: {error}"));
        }
        Self::Read(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn block(name: &str, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = b'0';
        block[257..263].copy_from_slice(b"ustar\0");
        block
    }

    /// A header with this manifest, a MiB long, and `behind` it.
    fn bundle(manifest: &[u8], behind: &[u8]) -> Vec<u8> {
        let mut bytes = block(MANIFEST, manifest.len() as u64).to_vec();
        bytes.extend_from_slice(manifest);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let pad = (1 << 20) - bytes.len() - 512;
        bytes.extend_from_slice(&block(PAD, pad as u64));
        bytes.resize(1 << 20, 0);
        bytes.extend_from_slice(behind);
        bytes
    }

    fn listing(offset: Option<u64>, size: u64) -> Vec<u8> {
        let digest = Digest::sha256(b"blob");
        serde_json::json!({"blobs": [{"digest": digest, "size": size, "offset": offset}], "name": "x"})
            .to_string()
            .into_bytes()
    }

    fn problem(bytes: &[u8], manifest: &[u8]) -> String {
        match Contents::read(&file(bytes), &Digest::sha256(manifest)) {
            Err(Problem::Form(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blobs_stand_behind_the_header_and_the_manifest_in_it() {
        let manifest = listing(Some(7), 4);
        let contents = Contents::read(&file(&bundle(&manifest, b"1234567blob")), &Digest::sha256(&manifest)).unwrap();
        let blob = contents.parts[&Digest::sha256(b"blob")];
        assert_eq!(blob, Part { start: (1 << 20) + 7, size: 4 });
        let own = contents.parts[&Digest::sha256(&manifest)];
        assert_eq!(own, Part { start: 512, size: manifest.len() as u64 });
    }

    #[test]
    fn what_is_no_such_bundle_is_told() {
        let manifest = listing(Some(7), 4);
        let whole = bundle(&manifest, b"1234567blob");
        assert!(problem(&whole, b"another").starts_with("its manifest is sha256:"));
        assert_eq!(
            problem(&whole[..whole.len() - 1], &manifest),
            format!("it ends before {} does", Digest::sha256(b"blob"))
        );
        assert_eq!(problem(&whole[..600], &manifest), "it ends within its header");
        assert!(problem(&whole[..100], &manifest).starts_with("its header cannot be read"));
        assert_eq!(problem(&[0; 2048], &manifest), "its header is no tar of regular files");
        let delta = listing(None, 4);
        assert!(problem(&bundle(&delta, b""), &delta).starts_with("it does not carry"));
        let beyond = listing(Some(u64::MAX), 4);
        assert!(problem(&bundle(&beyond, b""), &beyond).starts_with("it does not carry"));
        let endless = listing(Some(8), u64::MAX);
        assert!(problem(&bundle(&endless, b""), &endless).starts_with("it ends before"));
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(at in any::<prop::sample::Index>(), byte: u8) {
            let manifest = listing(Some(0), 4);
            let mut bytes = bundle(&manifest, b"blob");
            let at = at.index(3000);
            bytes[at] = byte;
            // Whatever it says, it says it.
            let _ = Contents::read(&file(&bytes), &Digest::sha256(&manifest));
        }
    }
}
