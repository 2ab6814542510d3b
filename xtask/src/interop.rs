//! `cargo xtask interop`: other people's programs against our bundles, registry and metadata.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tools::Judges;
use crate::{repo, tools};

/// Which programs judge.
#[derive(Debug, clap::Args)]
pub struct InteropArgs {
    /// Only those that CI asks: from packages, or built in a minute
    #[arg(long)]
    ci: bool,
}

/// Brings the programs, runs each against what we make, and prints the table.
pub fn command(args: &InteropArgs) -> Result<()> {
    let root = repo::root()?;
    let judges = if args.ci { Judges::Ci } else { Judges::All };
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--package", "sealock-cli", "--test", "it", "interop::", "--", "--nocapture"]);
    prepare(&mut command, &root, judges)?;
    let status = command.current_dir(&root).status().context("cannot run cargo")?;
    ensure!(status.success(), "a program of others does not read what we make: see above");
    Ok(())
}

/// Lets the tests that `command` runs find the programs, and tells them which there are.
pub fn prepare(command: &mut Command, root: &Path, judges: Judges) -> Result<()> {
    command.env("PATH", tools::path_with(tools::judges(root, judges)?)?);
    command.env("SEALOCK_ORACLES", "1").env("SEALOCK_INTEROP", judges.name());
    Ok(())
}
