//! Several pieces of memory, written to a file by one call.

use std::fs::File;
use std::io::{self, IoSlice};

use rustix::io::{Errno, pwritev};

/// Writes `pieces` one after the other, the first at `offset`.
pub(super) fn write_all_at(file: &File, pieces: &[impl AsRef<[u8]>], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match pwritev(file, left, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut left, written);
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stand_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let file = File::create(&path).unwrap();
        write_all_at(&file, &["first, ", "", "second", ""], 2).unwrap();
        write_all_at(&file, &[] as &[&str], 0).unwrap();
        write_all_at(&file, &["", ""], 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0first, second");
    }

    #[test]
    fn more_pieces_than_one_call_takes_are_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let pieces: Vec<[u8; 3]> = (0..3000_u16).map(|number| [number.to_le_bytes()[0], 1, 2]).collect();
        write_all_at(&File::create(&path).unwrap(), &pieces, 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), pieces.concat());
    }
}
