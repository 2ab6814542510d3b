//! Faults that a test of a crate sets: that test is run, and its line is looked for.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::fault::{Fault, Proof, Test};
use super::report::Line;
use crate::tools::Judges;
use crate::{interop, repo};

/// Runs every test of a crate that is named in `faults`. Cases of scenarios take labs of their own, and run with those.
pub(super) fn run(faults: &[&'static Fault]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for fault in faults {
        let Proof::Tests(tests) = fault.proof else { continue };
        let (mut took, mut problem, mut ran) = (Duration::ZERO, None, false);
        for test in tests {
            let Test::Crate { package, file, name } = *test else { continue };
            let begun = Instant::now();
            let outcome = run_test(package, file, name);
            took += begun.elapsed();
            ran = true;
            problem = problem.or(outcome.err());
        }
        if ran {
            let line = Line::new(fault, took, problem);
            println!("{line}");
            lines.push(line);
        }
    }
    Ok(lines)
}

fn run_test(package: &str, file: &str, name: &str) -> Result<()> {
    let root = repo::root()?;
    let target: &[&str] = if file.contains("/tests/it/") { &["--test", "it"] } else { &["--lib"] };
    let mut command = Command::new("cargo");
    command.args(["test", "--package", package]).args(target).args(["--", name]).current_dir(&root);
    interop::prepare(&mut command, &root, Judges::Ci)?;
    let output = command.output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && passed(&said, name) {
        return Ok(());
    }
    Err(anyhow!("{package}: {name} did not pass:\n{said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Whether the test itself is among those that passed: that a filter finds nothing is a success to cargo.
fn passed(said: &str, name: &str) -> bool {
    let own = |line: &str| {
        let path = line.strip_prefix("test ")?.strip_suffix(" ... ok")?.trim_end_matches(" - should panic");
        Some(path.rsplit("::").next() == Some(name))
    };
    said.lines().any(|line| own(line) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn a_filter_that_finds_nothing_passes_for_nothing() {
        let said = "running 1 test\ntest run::a_run_is_cut_off ... ok\n\ntest result: ok. 1 passed";
        assert!(passed(said, "a_run_is_cut_off"));
        assert!(!passed(said, "a_run"));
        assert!(!passed("running 0 tests\n\ntest result: ok. 0 passed", "a_run_is_cut_off"));
        assert!(!passed("test run::a_run_is_cut_off ... FAILED", "a_run_is_cut_off"));
    }
}
