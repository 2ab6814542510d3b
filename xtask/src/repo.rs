//! Where the repository is, and which files are in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository's top folder.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask stands in no repository")?.to_path_buf())
}

/// Every tracked or new, not ignored file, relative to the top.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let listing = stdout(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut files: Vec<PathBuf> = listing.lines().map(PathBuf::from).collect();
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// Runs a program in `dir` and returns what it printed on standard output.
pub fn stdout(dir: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(args).current_dir(dir).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} failed: {}", args.join(" "), stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no UTF-8"))
}
