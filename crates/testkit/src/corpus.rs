//! Corpora: many images that share layers, with content that compresses as programs do.

use crate::image::{Image, tar_of};

/// Deterministic bytes of which about half compresses away.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        // xorshift64*: a fixed sequence for each seed.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        bytes.extend_from_slice(&word.to_le_bytes());
        bytes.extend_from_slice(b"sealock ");
    }
    bytes.truncate(length);
    bytes
}

/// `count` images over one shared base layer, each layer of about `layer_size` uncompressed bytes.
pub fn images(count: usize, layer_size: usize) -> Vec<Image> {
    let base = tar_of(&[("usr/lib/base", &content(0, layer_size))]);
    (1..=count)
        .map(|number| {
            let own = tar_of(&[("app", &content(number as u64, layer_size))]);
            Image::of_layers("linux/amd64", &[base.clone(), own])
        })
        .collect()
}
