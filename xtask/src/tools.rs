//! Tools that the tasks build once and keep under the user's cache folder.

use std::ffi::OsString;
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

/// Which of other people's programs are brought to judge what we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// Those from packages, and those that are built in a minute.
    Ci,
    /// Also those that take many minutes to build.
    All,
}

impl Judges {
    /// As the tests are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::All => "all",
        }
    }
}

/// The folders with the programs that judge what we make, made on first use: a `python3` that has python-tuf, `go_tuf`,
/// `notation`, crane, etcd, and where all are wanted oras, cosign and syft. tar, skopeo and umoci are the distribution's (`lab/setup.sh`).
pub fn judges(root: &Path, which: Judges) -> Result<Vec<PathBuf>> {
    let mut folders = vec![
        python_oracles(root)?,
        go_oracle(&root.join("crates/trust/tests/oracle/go_tuf"), "go_tuf", ".")?,
        go_oracle(&root.join("crates/fetch/tests/oracle/notation"), "notation", NOTATION)?,
        part(root, "crane")?,
        part(root, "etcd")?,
    ];
    if which == Judges::All {
        folders.extend([part(root, "oras")?, part(root, "cosign")?]);
        folders.push(go_oracle(&root.join("crates/fetch/tests/oracle/syft"), "syft", SYFT)?);
    }
    Ok(folders)
}

/// The search path with `folders` in front.
pub fn path_with(folders: Vec<PathBuf>) -> Result<OsString> {
    let path = environment::variable("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?)
}

/// Where a part of the lab keeps its programs; built on first use.
pub fn part(root: &Path, name: &str) -> Result<PathBuf> {
    let script = root.join("lab/parts/build.sh");
    program(Command::new(&script).arg(name))?;
    let path = crate::repo::stdout(root, script.to_str().context("no UTF-8")?, &["--path", name])?;
    Ok(PathBuf::from(path.trim()).join("bin"))
}

/// A version that `lab/versions.env` pins.
fn pinned(root: &Path, name: &str) -> Result<String> {
    let file = root.join("lab/versions.env");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.map(str::to_owned).with_context(|| format!("{} pins no {name}", file.display()))
}

fn python_oracles(root: &Path) -> Result<PathBuf> {
    let (tuf, library) = (pinned(root, "PYTHON_TUF")?, pinned(root, "SECURESYSTEMSLIB")?);
    let folder = cache()?.join(format!("tools/python-tuf-{tuf}-{library}"));
    if !folder.exists() {
        let partial = cache()?.join("tools/python-tuf.partial");
        program(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&partial))?;
        let packages = [format!("tuf=={tuf}"), format!("securesystemslib[crypto]=={library}")];
        program(Command::new(partial.join("bin/python3")).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(folder.join("bin"))
}

/// The package with the command of the Notary Project.
const NOTATION: &str = "github.com/notaryproject/notation/cmd/notation";

/// The package with the command that makes SBOMs.
const SYFT: &str = "github.com/anchore/syft/cmd/syft";

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
