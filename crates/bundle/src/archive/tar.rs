//! Tar entries, as a bundle has them and no others: ustar headers (POSIX.1-1988) of regular files, mode 0444, owned by
//! nobody in particular, dated 1970; and PAX extended headers (POSIX.1-2001) that align data or carry a large size.
//!
//! A header is a pure function of name and size. Reading means making it again and comparing.

/// Bytes of a tar block.
pub(crate) const BLOCK: u64 = 512;
/// Data of larger entries begins at a multiple of this.
pub(crate) const ALIGNMENT: u64 = 4096;
/// Entries from this size on are aligned, in bytes.
pub(crate) const ALIGN_FROM: u64 = 64 << 10;
/// Sizes from here on do not fit into the eleven octal digits of a ustar header.
pub(crate) const PAX_SIZE_FROM: u64 = 8 << 30;
const NAME_FIELD: usize = 100;
const MODE: &[u8] = b"0000444\0";

/// The header block of a regular file.
pub(crate) fn file_header(name: &str, size: u64) -> [u8; 512] {
    // POSIX.1-2001: where a PAX record gives the size, the field is not looked at. Go and GNU tar write 0.
    let field = if size < PAX_SIZE_FROM { size } else { 0 };
    header(name, field, b'0')
}

/// Whether an entry needs PAX records: to be aligned, or because its name is too long for ustar (SHA-512).
pub(crate) fn needs_pax(name: &str, size: u64) -> bool {
    size >= ALIGN_FROM || name.len() > NAME_FIELD
}

/// The PAX header and records in front of the header of the entry `name`, which make its data begin on a 4 KiB boundary.
///
/// `position` is where they stand: a multiple of [`BLOCK`], counted from any multiple of [`ALIGNMENT`].
pub(crate) fn pax_entry(name: &str, size: u64, position: u64) -> Vec<u8> {
    let length = pax_length(position);
    let mut records = Vec::new();
    if name.len() > NAME_FIELD {
        records.extend_from_slice(&pax_record("path", name));
    }
    if size >= PAX_SIZE_FROM {
        records.extend_from_slice(&pax_record("size", &size.to_string()));
    }
    let filler = usize::try_from(length).unwrap_or(0).saturating_sub(records.len());
    records.extend_from_slice(&comment_record(filler));
    let last = name.rsplit('/').next().unwrap_or(name);
    let mut entry = header(&format!("PaxHeaders/{last}"), length, b'x').to_vec();
    entry.extend_from_slice(&records);
    entry
}

/// Bytes of the PAX records for an entry at `position`: one to eight blocks.
pub(crate) fn pax_length(position: u64) -> u64 {
    let smallest_data = position + 3 * BLOCK;
    BLOCK + smallest_data.next_multiple_of(ALIGNMENT) - smallest_data
}

/// Bytes from the end of `size` bytes of data to the next block.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

fn header(name: &str, size: u64, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(field) = block.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    // Longer names stand in a PAX record; this is for readers that do not know PAX.
    put(0, name.as_bytes().get(..NAME_FIELD).unwrap_or(name.as_bytes()));
    put(100, MODE);
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// `LENGTH KEY=VALUE\n`, LENGTH counting itself (POSIX.1-2001, pax, "pax Extended Header").
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let without_length = key.len() + value.len() + 3;
    let mut length = without_length + 1;
    while length != without_length + length.to_string().len() {
        length = without_length + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// A `comment` record of exactly `length` bytes, which is at least 100 and at most 4096.
fn comment_record(length: usize) -> Vec<u8> {
    let prefix = format!("{length} comment=");
    let filler = length.saturating_sub(prefix.len() + 1);
    format!("{prefix}{}\n", "-".repeat(filler)).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_by_the_tar_crate() {
        let block = file_header("blobs/sha256/abc", 4711);
        let header = tar::Header::from_byte_slice(&block);
        assert_eq!(header.path().unwrap().to_str(), Some("blobs/sha256/abc"));
        assert_eq!((header.size().unwrap(), header.mode().unwrap(), header.mtime().unwrap()), (4711, 0o444, 0));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert!(header.as_ustar().is_some() && header.entry_type().is_file());
        let sum: u32 = (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(block[i]) }).sum();
        assert_eq!(header.cksum().unwrap(), sum);
    }

    proptest! {
        #[test]
        fn aligned_entries_are_aligned_and_their_records_exact(
            blocks in 0_u64..100_000, size in 0_u64..(1 << 40), hex in 64_usize..=128,
        ) {
            let position = blocks * BLOCK;
            let name = format!("blobs/sha256/{}", "a".repeat(hex));
            let entry = pax_entry(&name, size, position);
            prop_assert_eq!((position + entry.len() as u64 + BLOCK) % ALIGNMENT, 0);
            prop_assert_eq!(entry.len() as u64, BLOCK + pax_length(position));
            let extensions = tar::PaxExtensions::new(&entry[512..]);
            let records: Vec<(String, String)> = extensions
                .map(|record| record.map(|r| (r.key().unwrap().to_owned(), r.value().unwrap().to_owned())).unwrap())
                .collect();
            let value = |key: &str| records.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
            prop_assert_eq!(value("size"), (size >= PAX_SIZE_FROM).then(|| size.to_string()));
            prop_assert_eq!(value("path"), (name.len() > NAME_FIELD).then_some(name));
            prop_assert!(value("comment").is_some());
        }
    }
}
