//! Texts in a chart's archive, in memory and bounded. Only archives of verified sides are opened: nothing is unpacked that
//! nobody has signed.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use sealock_trust::Digest;

/// Bytes of an archive at most.
pub(super) const MAX_ARCHIVE: u64 = 8 << 20;
/// Bytes of all that is in it at most.
const MAX_CONTENT: u64 = 64 << 20;
/// Entries at most.
const MAX_ENTRIES: usize = 5000;
/// Bytes of one text at most; a longer file is compared by its digest.
const MAX_FILE: u64 = 256 << 10;

/// The files of a chart by path. What is no text, or too long, is a line with its digest.
///
/// # Errors
/// What is wrong with the archive.
pub fn files(archive: &[u8]) -> io::Result<BTreeMap<String, String>> {
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(MAX_CONTENT));
    let mut files = BTreeMap::new();
    for (count, entry) in tar.entries()?.enumerate() {
        if count == MAX_ENTRIES {
            return Err(io::Error::other("it has too many entries"));
        }
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).chars().take(300).collect();
        let size = entry.size();
        let mut content = Vec::new();
        entry.take(MAX_CONTENT).read_to_end(&mut content)?;
        if content.len() as u64 != size {
            return Err(io::Error::other("it breaks off, or unpacks to more than is read"));
        }
        let is_short = size <= MAX_FILE && !content.contains(&0);
        let text = match String::from_utf8(content) {
            Ok(text) if is_short => text,
            Ok(text) => digest_line(text.as_bytes()),
            Err(error) => digest_line(error.as_bytes()),
        };
        files.insert(path, text);
    }
    Ok(files)
}

fn digest_line(content: &[u8]) -> String {
    format!("{}\n", Digest::sha256(content))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn texts_are_read_and_other_files_are_digests() {
        let found = files(&archive(&[("x/values.yaml", b"a: 1\n"), ("x/logo.png", b"\x89PNG\0")])).unwrap();
        assert_eq!(found["x/values.yaml"], "a: 1\n");
        assert_eq!(found["x/logo.png"], format!("{}\n", Digest::sha256(b"\x89PNG\0")));
    }

    #[test]
    fn a_bomb_and_a_torso_are_errors() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        let mut header = tar::Header::new_ustar();
        header.set_path("x/values.yaml").unwrap();
        header.set_size(MAX_CONTENT * 2);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        bomb.write_all(header.as_bytes()).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..((MAX_CONTENT * 2) >> 20) {
            bomb.write_all(&zeros).unwrap();
        }
        assert!(files(&bomb.finish().unwrap()).is_err());
        let whole = archive(&[("x/values.yaml", b"a: 1\n")]);
        assert!(files(&whole[..whole.len() / 2]).is_err());
        assert!(files(b"no gzip").is_err());
    }
}
