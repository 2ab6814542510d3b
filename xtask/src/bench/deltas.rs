//! What deltas between layers save on real versions of software: `bench/layer-delta`, a workspace of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs it; its table goes to standard output. The versions are fetched once, into `cache`.
pub fn run(root: &Path, cache: &Path) -> Result<()> {
    println!("\ndeltas between layers of successive versions\n");
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--release", "--locked", "--"]).arg(cache.join("layer-delta"));
    let status = cargo.current_dir(root.join("bench/layer-delta")).status().context("cargo cannot be run")?;
    ensure!(status.success(), "bench/layer-delta ended with {status}");
    Ok(())
}
