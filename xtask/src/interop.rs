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
    let table = ["--package", "sealock-cli", "--test", "it", "interop::", "--", "--nocapture"];
    let read = run(&table, &root, judges)?;
    ensure!(read, "a program of others does not read what we make: see above");
    if judges == Judges::All {
        let made =
            run(&["--package", "sealock-fetch", "--test", "it", "sboms::syft", "--", "--ignored"], &root, judges)?;
        ensure!(made, "syft does not make what we carry: see above");
    }
    Ok(())
}

/// Whether the tests that `args` choose pass.
fn run(args: &[&str], root: &Path, judges: Judges) -> Result<bool> {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet"]).args(args).current_dir(root);
    prepare(&mut command, root, judges)?;
    Ok(command.status().context("cannot run cargo")?.success())
}

/// Lets the tests that `command` runs find the programs, and tells them which there are.
pub fn prepare(command: &mut Command, root: &Path, judges: Judges) -> Result<()> {
    command.env("PATH", tools::path_with(tools::judges(root, judges)?)?);
    command.env("SEALOCK_ORACLES", "1").env("SEALOCK_INTEROP", judges.name());
    Ok(())
}
