//! Measures, on real successive versions of software, what deltas between layers save over carrying the compressed layer
//! whole: the product's patches, and content-defined chunks of the uncompressed layer without what would have to be added
//! to them to make the compressed one again.

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
/// The level at which chunks are compressed; that of patches is the product's.
const LEVEL: i32 = 9;

/// What a maker's layers came to, all pairs together.
#[derive(Default)]
struct Sum {
    whole: usize,
    chunks: usize,
    patches: usize,
}

fn main() -> Result<()> {
    let cache = PathBuf::from(std::env::args_os().nth(1).context("usage: layer-delta CACHE-FOLDER [PAIR…]")?);
    let cache = std::path::absolute(cache)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    std::fs::create_dir_all(&cache)?;
    let gogzip = gogzip(&cache)?;
    println!(
        "| pair | text, MB | layer made by | whole, MB | chunks, MB | patch, KB | chunks save | patch saves | \
         CPU s outside, site | peak MiB outside, site |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut sums = [Sum::default(), Sum::default()];
    for pair in PAIRS.iter().filter(|pair| wanted.is_empty() || wanted.iter().any(|name| name == pair.name)) {
        if let Err(error) = measure(pair, &cache, &gogzip, &mut sums) {
            println!("| {} | not measured: {error:#} |", pair.name);
        }
    }
    for (maker, sum) in [Maker::Go, Maker::Zlib].into_iter().zip(&sums).filter(|(_, sum)| sum.whole > 0) {
        let percent = |bytes: usize| 100.0 * (1.0 - bytes as f64 / sum.whole as f64);
        println!("\nmade by {maker:?}: chunks save {:.0} %, patches {:.0} %", percent(sum.chunks), percent(sum.patches));
    }
    Ok(())
}

fn measure(pair: &Pair, cache: &Path, gogzip: &Path, sums: &mut [Sum; 2]) -> Result<()> {
    let mut plain = Vec::new();
    for (number, time) in TIMES.into_iter().enumerate() {
        let files = pair.files(number, cache)?;
        plain.push(layer::tar_of(&files, (!pair.keeps_times()).then_some(time))?);
    }
    let [old, new] = &plain[..] else { unreachable!("two versions") };
    let (text, chunks) = (new.len(), delta::chunked(old, new, LEVEL)?);
    let layers = cache.join("layers");
    std::fs::create_dir_all(&layers)?;
    let file = |maker: Maker, number: usize| layers.join(format!("{}-{maker:?}-{number}.gz", pair.name));
    for maker in [Maker::Go, Maker::Zlib] {
        for (number, plain) in plain.iter().enumerate() {
            std::fs::write(file(maker, number), maker.compress(plain, gogzip)?)?;
        }
    }
    drop(plain);
    for (maker, sum) in [Maker::Go, Maker::Zlib].into_iter().zip(sums) {
        let whole = usize::try_from(std::fs::metadata(file(maker, 1))?.len())?;
        let patched = delta::patched(&file(maker, 0), &file(maker, 1))?;
        let bytes = *patched.patch.as_ref().unwrap_or(&whole);
        sum.whole += whole;
        sum.chunks += chunks.bytes;
        sum.patches += bytes;
        let percent = |bytes: usize| 100.0 * (1.0 - bytes as f64 / whole as f64);
        println!(
            "| {} {}→{} | {:.1} | {maker:?} | {:.2} | {:.2} ({:.0} % shared) | {} | {:.0} % | {:.0} % | {:.1}, {:.1} | {}, {} |",
            pair.name,
            pair.versions[0],
            pair.versions[1],
            text as f64 / 1e6,
            whole as f64 / 1e6,
            chunks.bytes as f64 / 1e6,
            100.0 * chunks.shared as f64 / text as f64,
            patched.patch.as_ref().map_or_else(|why| format!("– ({why})"), |bytes| (bytes / 1000).to_string()),
            percent(chunks.bytes),
            percent(bytes),
            patched.seconds[0],
            patched.seconds[1],
            patched.peaks[0] >> 20,
            patched.peaks[1] >> 20,
        );
    }
    std::fs::remove_dir_all(&layers)?;
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
