//! UUIDs that follow from a name (RFC 9562, section 5.5): the same name has the same one.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// The namespace of object identifiers (RFC 9562, section 6.6).
pub const NAMESPACE_OID: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x12, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];

/// The UUID of version 5 of `name` in `namespace`. It names; nothing is secured by it, SHA-1 being what the version has.
pub fn uuid_v5(namespace: &[u8; 16], name: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[namespace.as_slice(), name].concat());
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_the_one_that_others_compute() {
        // Python: uuid.uuid5(uuid.NAMESPACE_OID, "sealock")
        insta::assert_snapshot!(uuid_v5(&NAMESPACE_OID, b"sealock"), @"82bf8fca-4575-57ed-b618-2c4a8d93461e");
    }
}
