//! Deltas between two layers, below the level of blobs.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use fastcdc::v2020::FastCDC;
use sealock_bundle::patch::{self, Sketch};
use sealock_trust::Digest;
use sha2::{Digest as _, Sha256};

/// Chunks of the uncompressed layer, in bytes: least, average, most.
const CHUNK: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];
/// Bytes by which a delta names a run of chunks that are at the site: offset and length.
const RUN: usize = 12;
/// A window as wide as any layer here.
const WINDOW: u32 = 27;

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

/// What the product makes of two compressed layers.
pub struct Patched {
    /// Bytes of the patch, and what it saves; nothing where the layer has to be carried whole, with the reason.
    pub patch: Result<usize, String>,
    /// CPU seconds of making it, and of working it out.
    pub seconds: [f64; 2],
    /// The most memory that making it took, and working it out, in bytes; beside what the layers themselves take.
    pub peaks: [u64; 2],
}

/// Makes a patch as `sealock build` does, and works it out as `sealock import` does. The layers lie in files, as they do there.
pub fn patched(base: &Path, layer: &Path) -> Result<Patched> {
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (before, reset) = (crate::cpu(), reset_peak()?);
    let sketch = Sketch::of(open(base)?)?.context("no sketch")?;
    let mut made = Vec::new();
    let outcome = patch::make(open(base)?, &sketch, open(layer)?, &mut made);
    let (making, peak) = (crate::cpu() - before, peak()?.saturating_sub(reset));
    if let Err(error) = outcome {
        return Ok(Patched { patch: Err(error.to_string()), seconds: [making, 0.0], peaks: [peak, 0] });
    }
    let content = std::fs::read(layer)?;
    let (digest, size) = (Digest::sha256(&content), content.len() as u64);
    drop(content);
    let (before, reset) = (crate::cpu(), reset_peak()?);
    let proof = patch::prove(open(base)?, made.as_slice(), &digest, size);
    let peaks = [peak, self::peak()?.saturating_sub(reset)];
    let patch = proof.map(|()| made.len()).map_err(|error| error.to_string());
    Ok(Patched { patch, seconds: [making, crate::cpu() - before], peaks })
}

/// Forgets the high-water mark of memory (proc(5), clear_refs); returns what is in use.
fn reset_peak() -> Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5")?;
    peak()
}

fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes << 10)
}
