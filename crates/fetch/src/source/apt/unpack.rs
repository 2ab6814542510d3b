//! Reads an index file, packed or not, one package after the other.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use sealock_bundle::os_packages::{IndexError, Packaged, StanzaError, StanzaLimits, Stanzas};

/// What unpacking takes at most, in KiB: the largest dictionary that `xz` makes by itself is 64 MiB.
const XZ_MEMORY: u32 = 72 << 10;
/// Packages of one index at most: the largest distributions have less than a hundred thousand.
const MAX_OFFERED: usize = 250_000;
/// Bytes that are kept of one index at most: of the largest ones it is some 40 MB.
const MAX_KEPT: usize = 160 << 20;

/// How an index is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// By `xz`.
    Xz,
    /// By `gzip`.
    Gzip,
    /// Not at all.
    None,
}

impl Compression {
    /// Those that are read, the smallest first.
    pub(crate) const ALL: [Self; 3] = [Self::Xz, Self::Gzip, Self::None];

    /// What stands behind the name of the file.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Gzip => ".gz",
            Self::None => "",
        }
    }
}

/// What an index offers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// For the architecture, or for all.
    pub(crate) packages: Vec<Packaged>,
    /// How many could not be read, and why the first of them could not.
    pub(crate) unreadable: Option<(usize, IndexError)>,
}

/// Reads the packages for `architecture` of the index `path`, which unpacked has at most `limit` bytes.
pub(crate) fn read_index(
    path: &Path,
    compression: Compression,
    architecture: &str,
    limit: u64,
) -> Result<Index, IndexError> {
    let file = BufReader::new(File::open(path).map_err(StanzaError::Io)?);
    let reader: Box<dyn BufRead> = match compression {
        Compression::Xz => Box::new(BufReader::new(XzReader::new_mem_limit(file, true, XZ_MEMORY))),
        Compression::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        Compression::None => Box::new(file),
    };
    let limits = StanzaLimits { total: limit.min(StanzaLimits::INDEX.total), ..StanzaLimits::INDEX };
    let mut index = Index::default();
    let mut kept = 0;
    for (count, stanza) in Stanzas::new(reader, limits).enumerate() {
        if count == MAX_OFFERED {
            return Err(IndexError::Limit { what: "packages", limit: MAX_OFFERED });
        }
        match Packaged::of(&stanza?) {
            Ok(package) if [architecture, "all"].contains(&package.architecture.as_str()) => {
                kept += package.kept_bytes();
                index.packages.push(package);
            }
            Ok(_) => {}
            Err(error) if error.is_of_one_package() => match &mut index.unreadable {
                Some((count, _)) => *count += 1,
                none => *none = Some((1, error)),
            },
            Err(error) => return Err(error),
        }
        if kept > MAX_KEPT {
            return Err(IndexError::Limit { what: "bytes to be kept", limit: MAX_KEPT });
        }
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use flate2::write::GzEncoder;

    use super::*;

    const PACKAGE: &str = "Package: a\nVersion: 1\nArchitecture: amd64\nFilename: pool/a.deb\nSize: 5\n\
                           SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\n";

    fn xz(level: &str, content: &[u8]) -> Vec<u8> {
        let mut child = Command::new("xz").args([level, "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.as_mut().expect("this test packs with xz: install the package xz-utils");
        let mut stdin = child.stdin.take().unwrap();
        let content = content.to_vec();
        let writes = std::thread::spawn(move || stdin.write_all(&content));
        let mut packed = Vec::new();
        std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut packed).unwrap();
        writes.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        packed
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(packed: &[u8], compression: Compression, limit: u64) -> Result<Index, IndexError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), packed).unwrap();
        read_index(file.path(), compression, "amd64", limit)
    }

    #[test]
    fn an_index_is_read_however_it_is_packed() {
        let text = format!("{PACKAGE}{}{}", PACKAGE.replace("amd64", "all"), PACKAGE.replace("amd64", "arm64"));
        let packed = [xz("-9", text.as_bytes()), gzip(text.as_bytes()), text.clone().into_bytes()];
        for (packed, compression) in packed.iter().zip(Compression::ALL) {
            let index = read(packed, compression, 1 << 20).unwrap();
            assert_eq!(index.packages.len(), 2, "{compression:?}");
            assert!(index.unreadable.is_none());
        }
        let twice = [xz("-0", PACKAGE.as_bytes()), xz("-0", PACKAGE.as_bytes())].concat();
        assert_eq!(read(&twice, Compression::Xz, 1 << 20).unwrap().packages.len(), 2);
    }

    #[test]
    fn a_package_that_cannot_be_read_is_counted_and_the_rest_is_read() {
        let text = format!("{}{PACKAGE}{}", PACKAGE.replace("pool/", "../"), PACKAGE.replace("Size: 5", "Size: x"));
        let index = read(text.as_bytes(), Compression::None, 1 << 20).unwrap();
        let (count, first) = index.unreadable.unwrap();
        assert_eq!((index.packages.len(), count), (1, 2));
        assert!(first.to_string().contains("Filename"), "{first}");
    }

    #[test]
    fn attack_an_index_that_unpacks_to_more_than_it_said_is_refused() {
        let text = PACKAGE.repeat(200);
        let said = text.len() as u64;
        for (packed, compression) in
            [(xz("-0", text.as_bytes()), Compression::Xz), (gzip(text.as_bytes()), Compression::Gzip)]
        {
            assert_eq!(read(&packed, compression, said).unwrap().packages.len(), 200);
            let error = read(&packed, compression, said - 1).unwrap_err();
            assert!(error.to_string().contains("more than"), "{compression:?}: {error}");
        }
    }

    #[test]
    fn attack_a_decompression_bomb_of_one_line_ends_at_the_first_mebibyte() {
        let zeros = vec![b'x'; 64 << 20];
        for (packed, compression) in [(xz("-0", &zeros), Compression::Xz), (gzip(&zeros), Compression::Gzip)] {
            assert!(packed.len() < 1 << 20);
            let error = read(&packed, compression, 1 << 40).unwrap_err();
            assert!(error.to_string().contains("bytes in one stanza"), "{compression:?}: {error}");
        }
    }

    #[test]
    fn attack_an_index_that_wants_a_huge_dictionary_is_refused() {
        let packed = xz("--lzma2=dict=256MiB", PACKAGE.as_bytes());
        assert!(read(&packed, Compression::Xz, 1 << 20).is_err());
    }

    #[test]
    fn a_damaged_index_is_refused() {
        for (mut packed, compression) in
            [(xz("-6", PACKAGE.as_bytes()), Compression::Xz), (gzip(PACKAGE.as_bytes()), Compression::Gzip)]
        {
            assert!(read(&packed[..packed.len() - 3], compression, 1 << 20).is_err(), "{compression:?} cut short");
            let middle = packed.len() / 2;
            packed[middle] ^= 1;
            assert!(read(&packed, compression, 1 << 20).is_err(), "{compression:?} with a flipped bit");
        }
    }
}
