//! Hostile zstd.

/// A frame of 32 KiB that makes a gibibyte: hand-made blocks that repeat one byte (RFC 8878, 3.1.1.2).
pub fn bomb() -> Vec<u8> {
    // Magic number; no content size, a window of 1 MiB; then blocks of kind RLE and 128 KiB each.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    for block in 0..8192_u32 {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == 8191);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}
