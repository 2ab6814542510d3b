//! Volumes with parity, and what repairing them costs, beside par2 with as much parity in blocks of the same size.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::measure::{self, Cost};
use super::sealock::Sealock;

/// A tenth of the content, in blocks of 1 MiB: what `sealock send --parity 10%` uses.
const PARITY: u32 = 10;
const BLOCK: u64 = 1 << 20;
/// Blocks that are spoilt before a repair, far from each other.
const SPOILT: u64 = 20;

/// `sealock send` of the bench's bundle into volumes.
pub fn send(ours: &Sealock, media: &Path) -> Result<Cost> {
    fs::create_dir_all(media)?;
    let (to, parity) = (media.display().to_string(), format!("{PARITY}%"));
    ours.run(&["send", "bench.tar", "--to", &to, "--volume-size", "128M", "--parity", &parity])
}

/// `sealock repair` of these volumes, one of which is lost and some blocks of another spoilt.
pub fn repair(ours: &Sealock, media: &Path) -> Result<Cost> {
    let volumes = files(media, ".tar.0")?;
    let (lost, spoilt) = volumes.split_first().context("there are no volumes")?;
    fs::remove_file(lost)?;
    spoil(spoilt.last().context("there is one volume only")?, SPOILT)?;
    let media = media.display().to_string();
    ours.run(&["repair", &media, "--to", "repaired.tar"])
}

/// `par2 create` for the same file.
pub fn par2_create(bundle: &Path) -> Result<Cost> {
    par2(
        bundle,
        &["create", "-q", "-q", &format!("-s{BLOCK}"), &format!("-r{PARITY}"), "-n1", "bench.par2", "bench.tar"],
    )
}

/// `par2 repair` of the same file, some blocks of which are spoilt.
pub fn par2_repair(bundle: &Path) -> Result<Cost> {
    spoil(bundle, SPOILT)?;
    par2(bundle, &["repair", "-q", "-q", "bench.par2"])
}

fn par2(bundle: &Path, args: &[&str]) -> Result<Cost> {
    let folder = bundle.parent().context("the bundle lies nowhere")?;
    measure::run(Command::new("par2").args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()))
}

/// Flips one byte in each of `blocks` blocks, spread over the file.
fn spoil(path: &Path, blocks: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let step = file.metadata()?.len() / (blocks + 1);
    for number in 1..=blocks {
        let mut byte = [0];
        file.read_exact_at(&mut byte, number * step)?;
        file.write_all_at(&[byte[0] ^ 0xff], number * step)?;
    }
    Ok(())
}

fn files(folder: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
