//! A file of a database as one looks at it without changing it: what the database writes stays in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is kept at once; in bytes.
const PAGE: u64 = 4096;

/// The file, and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// Of what the database sees; in bytes.
    length: u64,
    /// From here on the file counts for nothing; in bytes.
    of_file: u64,
    pages: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Over `file`, which is open for reading.
    pub(super) fn over(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, written: Mutex::new(Written { length, of_file: length, pages: HashMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it is now.
    fn page(&self, written: &Written, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = written.pages.get(&number) {
            return Ok(page.clone());
        }
        let from = number * PAGE;
        let there = written.of_file.saturating_sub(from).min(PAGE);
        let mut page = vec![0; to_usize(PAGE)?];
        self.file.read_exact_at(&mut page[..to_usize(there)?], from)?;
        Ok(page)
    }
}

/// The parts of `length` bytes from `offset` on, page by page: its number, where the part begins in it, and how long it is.
fn parts(offset: u64, length: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = offset.saturating_add(length);
    (offset / PAGE..end.div_ceil(PAGE)).map(move |number| {
        let (from, to) = (offset.max(number * PAGE), end.min((number + 1) * PAGE));
        (number, from - number * PAGE, to - from)
    })
}

fn to_usize(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}

fn within(written: &Written, offset: u64, length: usize) -> io::Result<()> {
    let end = offset.checked_add(length as u64);
    if end.is_some_and(|end| end <= written.length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl redb::StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        within(&written, offset, out.len())?;
        let mut out = out;
        for (number, start, length) in parts(offset, out.len() as u64) {
            let (start, length) = (to_usize(start)?, to_usize(length)?);
            let (part, rest) = out.split_at_mut(length);
            part.copy_from_slice(&self.page(&written, number)?[start..start + length]);
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written();
        let cut = length / PAGE;
        if length < written.length && !length.is_multiple_of(PAGE) {
            let mut page = self.page(&written, cut)?;
            page[to_usize(length % PAGE)?..].fill(0);
            written.pages.insert(cut, page);
        }
        written.pages.retain(|number, _| number * PAGE < length);
        written.of_file = written.of_file.min(length);
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        within(&written, offset, data.len())?;
        let mut data = data;
        for (number, start, length) in parts(offset, data.len() as u64) {
            let (start, length) = (to_usize(start)?, to_usize(length)?);
            let mut page = self.page(&written, number)?;
            let (part, rest) = data.split_at(length);
            page[start..start + length].copy_from_slice(part);
            written.pages.insert(number, page);
            data = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::StorageBackend;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Cut(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000_u64, prop::collection::vec(any::<u8>(), 0..9000)).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0..20_000_u64).prop_map(Step::Cut),
        ]
    }

    proptest! {
        #[test]
        fn it_reads_as_if_the_file_were_written_and_the_file_is_not(
            before in prop::collection::vec(any::<u8>(), 0..20_000),
            steps in prop::collection::vec(step(), 0..12),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, &before).unwrap();
            let overlay = Overlay::over(File::open(&path).unwrap()).unwrap();
            let mut expected = before.clone();
            for step in steps {
                match step {
                    Step::Cut(length) => {
                        overlay.set_len(length).unwrap();
                        expected.resize(usize::try_from(length).unwrap(), 0);
                    }
                    Step::Write(at, bytes) => {
                        let from = usize::try_from(at).unwrap();
                        let fits = from + bytes.len() <= expected.len();
                        prop_assert_eq!(overlay.write(at, &bytes).is_ok(), fits);
                        if fits {
                            expected[from..from + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), expected.len() as u64);
                let mut read = vec![0; expected.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert_eq!(&read, &expected);
            }
            prop_assert!(overlay.read(expected.len() as u64, &mut [0]).is_err());
            prop_assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }
}
