//! Tools that the tasks build once and keep under the user's cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::environment;

const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// The project's folder under the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let base = match environment::variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(environment::variable("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("sealock"))
}

/// The pinned `cargo-deny`, built on first use.
pub fn cargo_deny(root: &Path) -> Result<PathBuf> {
    cargo_tool(root, "cargo-deny", CARGO_DENY)
}

/// The pinned `cargo-fuzz`, built on first use.
pub fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    cargo_tool(root, "cargo-fuzz", CARGO_FUZZ)
}

fn cargo_tool(root: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let folder = cache()?.join("tools").join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if !program.exists() {
        let folder = folder.to_str().context("the cache folder's path is not UTF-8")?;
        let args = ["install", "--locked", "--root", folder, name, "--version", version];
        let status = Command::new("cargo").args(args).current_dir(root).status().context("cannot run cargo")?;
        ensure!(status.success(), "{name} {version} does not build");
    }
    Ok(program)
}

/// Packages of the other implementation that judges what we make in Python.
const PYTHON_ORACLES: &[&str] = &["tuf==7.0.1", "securesystemslib[crypto]==1.6.0"];

/// The folders with the programs of other implementations: a `python3` that has python-tuf, `go_tuf`, and `notation`. Made on
/// first use.
pub fn oracles(root: &Path) -> Result<Vec<PathBuf>> {
    Ok(vec![
        python_oracles()?,
        go_oracle(&root.join("crates/trust/tests/oracle/go_tuf"), "go_tuf", ".")?,
        go_oracle(&root.join("crates/fetch/tests/oracle/notation"), "notation", NOTATION)?,
    ])
}

fn python_oracles() -> Result<PathBuf> {
    let folder = cache()?.join("tools/oracles-1");
    if !folder.exists() {
        let partial = folder.with_extension("partial");
        program(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&partial))?;
        program(
            Command::new(partial.join("bin/python3")).args(["-m", "pip", "install", "--quiet"]).args(PYTHON_ORACLES),
        )?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(folder.join("bin"))
}

/// The package with the command of the Notary Project.
const NOTATION: &str = "github.com/notaryproject/notation/cmd/notation";

/// Builds `package`, which the Go module in the folder `sources` has or names, as the program `name`.
fn go_oracle(sources: &Path, name: &str, package: &str) -> Result<PathBuf> {
    let mut content = Vec::new();
    for file in ["main.go", "go.mod", "go.sum"].map(|file| sources.join(file)) {
        if file.exists() {
            content.extend(std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
        }
    }
    let key = hex::encode(&Sha256::digest(&content)[..8]);
    let folder = cache()?.join("tools").join(format!("{}-{key}", name.replace('_', "-")));
    if !folder.exists() {
        let partial = folder.with_extension("partial");
        std::fs::create_dir_all(&partial)?;
        let mut build = Command::new("go");
        build.args(["build", "-trimpath", "-o"]).arg(partial.join(name)).arg(package).current_dir(sources);
        program(build.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local"))?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(folder)
}

fn program(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
