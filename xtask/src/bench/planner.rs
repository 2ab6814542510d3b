//! A plan for a thousand hosts: how long it takes, without any of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The test says on one line what it took.
const TEST: [&str; 9] =
    ["test", "--quiet", "--release", "--package", "sealock-cluster", "--test", "it", "a_thousand_hosts", "--"];

pub(super) fn run(root: &Path) -> Result<()> {
    let output = Command::new("cargo").args(TEST).arg("--nocapture").current_dir(root).output()?;
    ensure!(
        output.status.success(),
        "the plan for a thousand hosts failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let line =
        said.lines().find(|line| line.contains("planned in")).context("the test says nothing of what it took")?;
    println!("\nplanner, 1,000 hosts (bound: 1 s): {line}");
    Ok(())
}
