//! When each blob was hashed last. No truth: whatever is lost or damaged here is only hashed earlier than it had to be.
//!
//! A text file that grows by one line for each blob, `<seconds since 1970> <digest>`, and is written anew when most of it is old.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;

use jiff::Timestamp;
use sealock_trust::Digest;

use crate::durable::replace_file;
use crate::error::{IoContext, StoreError};
use crate::layout::Layout;

/// No line is longer; in bytes. SHA-512 and a time take 157.
const LONGEST_LINE: usize = 200;

/// What is known of a store.
#[derive(Debug)]
pub(crate) struct Verified {
    times: HashMap<Digest, Timestamp>,
    lines: usize,
}

impl Verified {
    /// Reads what is known. Times after `now` are none.
    pub(crate) fn read(layout: &Layout, now: Timestamp) -> Result<Self, StoreError> {
        let path = layout.verified();
        let mut known = Self { times: HashMap::new(), lines: 0 };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
            result => result.during("open", &path)?,
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.during("read", &path)?;
            known.lines += 1;
            let entry = Some(line).filter(|line| line.len() <= LONGEST_LINE).and_then(|line| parse(&line));
            if let Some((digest, at)) = entry.filter(|(_, at)| *at <= now) {
                known.times.insert(digest, at);
            }
        }
        Ok(known)
    }

    /// When the blob was hashed last.
    pub(crate) fn at(&self, digest: &Digest) -> Option<Timestamp> {
        self.times.get(digest).copied()
    }

    /// When a blob was hashed last, whichever.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.times.values().max().copied()
    }

    /// Opens the file for more lines. Where most of them are old, or of blobs that are gone, it is written anew first.
    pub(crate) fn append(&self, layout: &Layout, is_there: impl Fn(&Digest) -> bool) -> Result<Appender, StoreError> {
        let path = layout.verified();
        let kept = self.times.iter().filter(|(digest, _)| is_there(digest));
        if self.lines > 2 * kept.clone().count() + 100 {
            let lines: String = kept.map(|(digest, at)| line(digest, *at)).collect();
            replace_file(&path, lines.as_bytes(), 0o644)?;
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o644).open(&path).during("open", &path)?;
        Ok(Appender { file })
    }
}

/// The end of the file.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
}

impl Appender {
    /// The blob was hashed, and is what its name says. Not durable: at worst it is hashed again.
    pub(crate) fn push(&mut self, digest: &Digest, at: Timestamp) {
        // On a full disk the scrub goes on: finding rot matters more than remembering what is whole.
        if let Err(error) = self.file.write_all(line(digest, at).as_bytes()) {
            tracing::debug!(%error, "that a blob is whole is not written down");
        }
    }
}

fn line(digest: &Digest, at: Timestamp) -> String {
    format!("{} {digest}\n", at.as_second())
}

fn parse(line: &[u8]) -> Option<(Digest, Timestamp)> {
    let (seconds, digest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((digest.parse().ok()?, Timestamp::from_second(seconds.parse().ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { root: folder.path().to_owned() };
        (folder, layout)
    }

    #[test]
    fn the_last_word_counts_and_torn_lines_do_not() {
        let (_folder, layout) = layout();
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let now = Timestamp::from_second(100).unwrap();
        std::fs::write(layout.verified(), format!("5 {one}\nnonsense\n7 {one}\n101 {two}\n9 sha256:ab")).unwrap();
        let known = Verified::read(&layout, now).unwrap();
        assert_eq!(known.at(&one), Some(Timestamp::from_second(7).unwrap()));
        assert_eq!(known.at(&two), None, "a time to come");
        assert_eq!(known.newest(), known.at(&one));
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let (_folder, layout) = layout();
        let digest = Digest::sha256(b"1");
        for round in 0..1000 {
            let at = Timestamp::from_second(round).unwrap();
            let known = Verified::read(&layout, at).unwrap();
            known.append(&layout, |_| true).unwrap().push(&digest, at);
        }
        assert!(std::fs::metadata(layout.verified()).unwrap().len() < 20_000);
        let last = Timestamp::from_second(999).unwrap();
        assert_eq!(Verified::read(&layout, last).unwrap().at(&digest), Some(last));
    }

    proptest! {
        #[test]
        fn no_content_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let (_folder, layout) = layout();
            std::fs::write(layout.verified(), bytes).unwrap();
            prop_assert!(Verified::read(&layout, Timestamp::UNIX_EPOCH).is_ok());
        }
    }
}
