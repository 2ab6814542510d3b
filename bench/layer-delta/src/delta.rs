//! Deltas between two layers, below the level of blobs.

use std::collections::HashMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use fastcdc::v2020::FastCDC;
use preflate_rs::{PreflateConfig, preflate_whole_deflate_stream, recreate_whole_deflate_stream};
use sha2::{Digest, Sha256};

/// Chunks of the uncompressed layer, in bytes: least, average, most.
const CHUNK: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];
/// Bytes by which a delta names a run of chunks that are at the site: offset and length.
const RUN: usize = 12;
/// A window as wide as any layer here.
const WINDOW: u32 = 27;
/// Fixed parts of a gzip file without a name: header, CRC and length.
const GZIP_HEAD: usize = 10;
const GZIP_TAIL: usize = 8;

/// What is carried of `new` where `old` is at the site: chunks that `old` lacks, compressed, and the recipe.
pub struct Chunked {
    pub bytes: usize,
    /// The part of the layer that is in chunks of the old one.
    pub shared: usize,
}

pub fn chunked(old: &[u8], new: &[u8], level: i32) -> Result<Chunked> {
    let there: HashMap<[u8; 32], usize> = chunks(old).map(|(at, chunk)| (Sha256::digest(chunk).into(), at)).collect();
    let (mut fresh, mut recipe, mut shared) = (Vec::new(), Vec::new(), 0);
    let mut run: Option<(usize, usize)> = None;
    for (_, chunk) in chunks(new) {
        let found = there.get(&<[u8; 32]>::from(Sha256::digest(chunk))).copied();
        match (found, &mut run) {
            (Some(at), Some((from, length))) if *from + *length == at => *length += chunk.len(),
            (Some(at), _) => {
                recipe.resize(recipe.len() + RUN, 0);
                run = Some((at, chunk.len()));
            }
            (None, _) => run = None,
        }
        match found {
            Some(_) => shared += chunk.len(),
            None => fresh.extend_from_slice(chunk),
        }
    }
    let bytes = zstd(&fresh, level)?.len() + recipe.len();
    Ok(Chunked { bytes, shared })
}

fn chunks(data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let [least, average, most] = CHUNK;
    FastCDC::new(data, least, average, most)
        .map(|chunk| (chunk.offset, &data[chunk.offset..chunk.offset + chunk.length]))
}

fn zstd(data: &[u8], level: i32) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW)?;
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

/// What is carried where the whole old layer serves as a dictionary, as `zstd --patch-from` does.
pub fn patched(old: &[u8], new: &[u8], level: i32) -> Result<usize> {
    let mut encoder = zstd::Encoder::with_ref_prefix(Vec::new(), level, old)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW)?;
    encoder.write_all(new)?;
    let patch = encoder.finish()?;
    let mut decoder = zstd::Decoder::with_ref_prefix(patch.as_slice(), old)?;
    decoder.window_log_max(WINDOW)?;
    let mut again = Vec::new();
    decoder.read_to_end(&mut again)?;
    ensure!(again == new, "the patch does not make the new layer");
    Ok(patch.len())
}

/// What has to be carried so that the compressed layer can be made again, and whether that gives the very same bytes.
pub struct Rebuilt {
    /// None where it cannot be made again, so that the layer has to be sent whole.
    pub corrections: Option<usize>,
    /// CPU seconds at the site.
    pub seconds: f64,
}

pub fn rebuilt(plain: &[u8], layer: &[u8]) -> Result<Rebuilt> {
    let deflate = layer.get(GZIP_HEAD..layer.len().saturating_sub(GZIP_TAIL)).context("no gzip file")?;
    let config = PreflateConfig { plain_text_limit: 1 << 30, verify_compression: false, ..PreflateConfig::default() };
    let analysed = preflate_whole_deflate_stream(deflate, &config);
    let (result, text) = match analysed {
        Ok(analysed) => analysed,
        Err(error) => {
            eprintln!("preflate: {error}");
            return Ok(Rebuilt { corrections: None, seconds: 0.0 });
        }
    };
    ensure!(text.text() == plain, "the layer holds something else");
    let corrections = zstd(&result.corrections, 19)?.len() + GZIP_HEAD + GZIP_TAIL;
    let before = crate::cpu();
    let again = recreate_whole_deflate_stream(plain, &result.corrections);
    let seconds = crate::cpu() - before;
    let exact = again.is_ok_and(|again| again == deflate);
    Ok(Rebuilt { corrections: exact.then_some(corrections), seconds })
}
