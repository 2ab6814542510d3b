//! Measures, on real successive versions of software, whether deltas between layers would pay: content-defined chunks of
//! the uncompressed layer, or the old layer as a dictionary, each with the corrections by which the compressed layer is
//! made again byte for byte; against sending the compressed layer whole.

mod delta;
mod layer;
mod pairs;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use layer::Maker;
use pairs::{PAIRS, Pair};

/// When the two versions are taken to have been built; half a year apart.
const TIMES: [u64; 2] = [1_764_000_000, 1_780_000_000];
/// The level at which chunks and patches are compressed.
const LEVEL: i32 = 9;

fn main() -> Result<()> {
    let cache = PathBuf::from(std::env::args_os().nth(1).context("usage: layer-delta CACHE-FOLDER [PAIR…]")?);
    let cache = std::path::absolute(cache)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    std::fs::create_dir_all(&cache)?;
    let gogzip = gogzip(&cache)?;
    println!(
        "| pair | layer made by | plain | blob level | shared chunks | chunks | patch | corrections | rebuilt | \
         chunks save | patch saves | at best | CPU s |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|");
    for pair in PAIRS.iter().filter(|pair| wanted.is_empty() || wanted.iter().any(|name| name == pair.name)) {
        if let Err(error) = measure(pair, &cache, &gogzip) {
            println!("| {} | not measured: {error:#} |", pair.name);
        }
    }
    Ok(())
}

fn measure(pair: &Pair, cache: &Path, gogzip: &Path) -> Result<()> {
    let mut plain = Vec::new();
    for (number, time) in TIMES.into_iter().enumerate() {
        let files = pair.files(number, cache)?;
        plain.push(layer::tar_of(&files, (!pair.keeps_times()).then_some(time))?);
    }
    let [old, new] = &plain[..] else { unreachable!("two versions") };
    let before = cpu();
    let chunked = delta::chunked(old, new, LEVEL)?;
    let for_chunks = cpu() - before;
    let patch = delta::patched(old, new, LEVEL)?;
    for maker in [Maker::Go, Maker::Zlib] {
        let compressed = maker.compress(new, gogzip)?;
        let before = cpu();
        let rebuilt = delta::rebuilt(new, &compressed)?;
        let for_rebuilding = cpu() - before;
        let percent = |bytes: usize| 100.0 * (1.0 - bytes as f64 / compressed.len() as f64);
        // What cannot be made again is sent whole, and saves nothing.
        let saved = |bytes: usize| rebuilt.corrections.map_or(0.0, |corrections| percent(bytes + corrections));
        println!(
            "| {} {}→{} | {maker:?} | {} | {} | {:.0} % | {} | {patch} | {} | {} | {:.0} % | {:.0} % | {:.0} %, {:.0} % | {:.1}, {:.1} |",
            pair.name,
            pair.versions[0],
            pair.versions[1],
            new.len(),
            compressed.len(),
            100.0 * chunked.shared as f64 / new.len() as f64,
            chunked.bytes,
            rebuilt.corrections.map_or("–".to_owned(), |corrections| corrections.to_string()),
            if rebuilt.corrections.is_some() { "exactly" } else { "no" },
            saved(chunked.bytes),
            saved(patch),
            percent(chunked.bytes),
            percent(patch),
            for_chunks + for_rebuilding,
            rebuilt.seconds,
        );
    }
    Ok(())
}

fn gogzip(cache: &Path) -> Result<PathBuf> {
    let program = cache.join("gogzip");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/gogzip");
    let status = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).status()?;
    ensure!(status.success(), "gogzip was not built");
    Ok(program)
}

/// Seconds of CPU that this process has used.
pub fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
