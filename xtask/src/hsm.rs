//! `cargo xtask hsm`: builds `sealock-hsm`, the one program that is linked dynamically.
//!
//! The repository's `.cargo/config.toml` makes everything static, and a package cannot take such a flag back: cargo joins
//! the lists of nested configurations, and the compiler lets `+crt-static` win. A set `CARGO_ENCODED_RUSTFLAGS`, even an
//! empty one, replaces all of them. The objects have a target folder of their own, or each build would undo the other's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::story::executable;
use crate::{environment, repo};

/// How to build it.
#[derive(Debug, clap::Args)]
pub struct HsmArgs {
    /// As it is released: optimised, without symbols
    #[arg(long)]
    release: bool,
}

/// Builds the program and prints where it is.
pub fn command(args: &HsmArgs) -> Result<()> {
    println!("{}", build(&repo::root()?, args.release)?.display());
    Ok(())
}

/// Builds the program and answers where it is.
pub fn build(root: &Path, release: bool) -> Result<PathBuf> {
    let mut command = cargo(root, &["build", "--quiet", "--locked", "--message-format", "json-render-diagnostics"])?;
    command.args(release.then_some("--release")).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "sealock-hsm does not build");
    executable(&String::from_utf8(output.stdout)?).map(PathBuf::from).context("cargo built no sealock-hsm")
}

/// Runs cargo on the package and fails where cargo does.
pub fn run(root: &Path, args: &[&str]) -> Result<()> {
    let status = cargo(root, args)?.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo {} failed in hsm/", args.join(" "));
    Ok(())
}

fn cargo(root: &Path, args: &[&str]) -> Result<Command> {
    let target = environment::variable("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (subcommand, rest) = args.split_first().context("no subcommand of cargo")?;
    let mut command = Command::new("cargo");
    command.arg(subcommand).arg("--manifest-path").arg(root.join("hsm/Cargo.toml")).args(rest).current_dir(root);
    command.env("CARGO_TARGET_DIR", target.join("hsm")).env("CARGO_ENCODED_RUSTFLAGS", "");
    Ok(command)
}
