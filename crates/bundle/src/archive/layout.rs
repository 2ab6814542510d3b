//! Where everything stands in a bundle file: a pure function of the manifest and the metadata (docs/formats/bundle.md).
//!
//! `[0, P)` is the header, P a multiple of 1 MiB. Blobs follow; their places are counted from P, so that the manifest,
//! which names these places, does not depend on P.

use sealock_trust::Digest;

use super::tar::{self, BLOCK};
use crate::manifest::Manifest;

/// The content of the file `oci-layout` (OCI image specification 1.1, "oci-layout file").
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Names of the header's entries.
pub(crate) mod name {
    pub(crate) const OCI_LAYOUT: &str = "oci-layout";
    pub(crate) const INDEX: &str = "index.json";
    pub(crate) const METADATA: &str = "tuf/metadata/";
    pub(crate) const MANIFEST: &str = "tuf/targets/manifest.json";
    pub(crate) const REVOCATIONS: &str = "tuf/targets/revocations.json";
    pub(crate) const PAD: &str = "pad";
}

/// The header's size is a multiple of this, in bytes.
pub(crate) const HEADER_UNIT: u64 = 1 << 20;
/// Room for metadata whoever signs, in bytes: mostly the root chain.
const METADATA_ROOM: u64 = 64 << 10;
/// Room for metadata per publisher key, in bytes.
const METADATA_ROOM_PER_KEY: u64 = 8 << 10;
/// Publisher keys of one bundle at most.
pub const MAX_PUBLISHER_KEYS: u32 = 256;
/// Bytes of all blobs of one bundle at most: 256 TiB.
pub const MAX_CONTENT: u64 = 1 << 48;
/// Bytes of the revocation list that a bundle may carry: one with as many entries as a list may have, and its signatures.
pub const MAX_REVOCATIONS: u64 = 2 << 20;
/// Two blocks of zeros end a tar archive.
pub(crate) const END: u64 = 2 * BLOCK;

/// The files of the trust metadata in the order of the archive: name behind `tuf/metadata/`, content.
pub(crate) type MetadataFiles = Vec<(String, Vec<u8>)>;

/// The place of one blob, in bytes from the end of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Where its tar headers begin.
    pub(crate) start: u64,
    /// Where its data begin.
    pub(crate) data: u64,
}

impl Slot {
    fn place(digest: &Digest, size: u64, start: u64) -> Self {
        let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        let pax = if tar::needs_pax(&name, size) { BLOCK + tar::pax_length(start) } else { 0 };
        Self { name, size, start, data: start.saturating_add(pax + BLOCK) }
    }

    /// The tar headers in front of the data.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        if tar::needs_pax(&self.name, self.size) {
            head = tar::pax_entry(&self.name, self.size, self.start);
        }
        head.extend_from_slice(&tar::file_header(&self.name, self.size));
        head
    }

    /// Where the next entry begins.
    pub(crate) fn end(&self) -> u64 {
        self.data.saturating_add(self.size).saturating_add(tar::padding(self.size))
    }
}

/// The places of `blobs`, in their order.
pub(crate) fn slots<'a>(blobs: impl Iterator<Item = (&'a Digest, u64)>) -> Vec<Slot> {
    let mut next = 0;
    let place = |(digest, size)| {
        let slot = Slot::place(digest, size, next);
        next = slot.end();
        slot
    };
    blobs.map(place).collect()
}

/// Where the data of each of `blobs` begin, in bytes from the end of the header.
pub(crate) fn offsets<'a>(blobs: impl Iterator<Item = (&'a Digest, u64)>) -> Vec<u64> {
    slots(blobs).into_iter().map(|slot| slot.data).collect()
}

/// The places of what a manifest says is carried.
pub(crate) fn slots_of(manifest: &Manifest) -> Vec<Slot> {
    slots(manifest.entries().map(|entry| (entry.digest(), entry.size())))
}

/// The metadata does not fit into the room that the lock reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signatures and the root chain take {needed} bytes of the header, and there is room for {room}")]
pub struct HeaderFull {
    /// What there is, in bytes.
    pub needed: u64,
    /// What fits, in bytes.
    pub room: u64,
}

/// What the header is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderParts<'a> {
    pub(crate) index: &'a [u8],
    pub(crate) metadata: &'a MetadataFiles,
    pub(crate) manifest: &'a [u8],
    /// The publisher's revocation list, where one travels along.
    pub(crate) revocations: Option<&'a [u8]>,
    pub(crate) publisher_keys: u32,
    /// Bytes that are kept for delegations and vendors' files.
    pub(crate) vendor_room: u64,
}

impl HeaderParts<'_> {
    /// P: the size of the header in bytes, whoever signs.
    pub(crate) fn size(self) -> u64 {
        let room = METADATA_ROOM + METADATA_ROOM_PER_KEY * u64::from(self.publisher_keys) + self.vendor_room;
        let fixed = [OCI_LAYOUT.len(), self.index.len(), self.manifest.len(), 0];
        let fixed: u64 = fixed.into_iter().chain(self.revocations.map(<[u8]>::len)).map(entry_size).sum();
        (fixed + room).next_multiple_of(HEADER_UNIT)
    }

    /// The header, byte for byte.
    pub(crate) fn to_bytes(self) -> Result<Vec<u8>, HeaderFull> {
        let size = self.size();
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        append(&mut bytes, name::OCI_LAYOUT, OCI_LAYOUT);
        append(&mut bytes, name::INDEX, self.index);
        for (file, content) in self.metadata {
            append(&mut bytes, &format!("{}{file}", name::METADATA), content);
        }
        append(&mut bytes, name::MANIFEST, self.manifest);
        if let Some(list) = self.revocations {
            append(&mut bytes, name::REVOCATIONS, list);
        }
        let used = bytes.len() as u64 + BLOCK;
        let padding = size.checked_sub(used).ok_or(HeaderFull { needed: used, room: size })?;
        bytes.extend_from_slice(&tar::file_header(name::PAD, padding));
        bytes.resize(bytes.len() + usize::try_from(padding).unwrap_or(0), 0);
        Ok(bytes)
    }
}

fn entry_size(content: usize) -> u64 {
    BLOCK + (content as u64).next_multiple_of(BLOCK)
}

fn append(bytes: &mut Vec<u8>, name: &str, content: &[u8]) {
    bytes.extend_from_slice(&tar::file_header(name, content.len() as u64));
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_follow_each_other_without_gap_or_overlap(sizes in proptest::collection::vec(0_u64..(9 << 30), 0..40)) {
            let digests: Vec<Digest> = (0..sizes.len()).map(|i| Digest::sha256(&i.to_le_bytes())).collect();
            let slots = slots(digests.iter().zip(sizes.iter().copied()));
            let mut end = 0;
            for slot in slots {
                prop_assert_eq!(slot.start, end);
                prop_assert_eq!(slot.start + slot.head().len() as u64, slot.data);
                prop_assert!(slot.size < tar::ALIGN_FROM || slot.data % tar::ALIGNMENT == 0);
                end = slot.end();
                prop_assert!(end >= slot.data + slot.size && end < slot.data + slot.size + BLOCK);
            }
        }

        #[test]
        fn the_size_of_the_header_does_not_depend_on_the_metadata(
            index in 0_usize..3_000_000, manifest in 0_usize..3_000_000, metadata in 0_usize..60_000, keys in 0_u32..20,
            vendor_room in 0_u64..3_000_000,
        ) {
            let (index, manifest) = (vec![b' '; index], vec![b' '; manifest]);
            let list = vec![b' '; metadata];
            let metadata = vec![("1.root.json".to_owned(), vec![b' '; metadata])];
            let parts = HeaderParts {
                index: &index,
                metadata: &metadata,
                manifest: &manifest,
                revocations: (keys % 2 == 1).then_some(list.as_slice()),
                publisher_keys: keys,
                vendor_room,
            };
            let bytes = parts.to_bytes().unwrap();
            prop_assert_eq!(bytes.len() as u64, parts.size());
            prop_assert_eq!(parts.size() % HEADER_UNIT, 0);
            let unsigned = HeaderParts { metadata: &Vec::new(), ..parts };
            prop_assert_eq!(unsigned.size(), parts.size());
        }
    }

    #[test]
    fn metadata_beyond_the_room_is_an_error() {
        let metadata = vec![("1.root.json".to_owned(), vec![b' '; 2 << 20])];
        let parts = HeaderParts {
            index: b"",
            metadata: &metadata,
            manifest: b"",
            revocations: None,
            publisher_keys: 1,
            vendor_room: 0,
        };
        assert!(matches!(parts.to_bytes(), Err(HeaderFull { room: HEADER_UNIT, .. })));
    }
}
