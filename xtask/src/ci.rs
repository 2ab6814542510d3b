//! `cargo xtask ci`: everything that `make test` and CI check, each stage with its time beside its share of the hour.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::Judges;
use crate::{conformance, e2e, hsm, interop, repo, soak, tidy, tools};

/// What a whole run may take with cold caches.
const BUDGET: Duration = Duration::from_secs(60 * 60);

struct Stage {
    name: &'static str,
    /// Minutes of the hour that this stage may take on a cold machine.
    share: u64,
    run: fn(&Path) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage { name: "format", share: 1, run: format },
    Stage { name: "clippy", share: 8, run: clippy },
    Stage { name: "tidy", share: 5, run: |_| tidy::command() },
    Stage { name: "deny", share: 6, run: deny },
    Stage { name: "tests", share: 10, run: tests },
    Stage { name: "conformance", share: 3, run: conformance },
    Stage { name: "end to end", share: 25, run: |_| e2e::command(&e2e::Selection::for_ci()) },
];

/// Runs every stage in order and stops at the first that fails.
pub fn command() -> Result<()> {
    let root = repo::root()?;
    let start = Instant::now();
    let mut done = Vec::new();
    for stage in STAGES {
        println!("==> {}", stage.name);
        let begun = Instant::now();
        let outcome = (stage.run)(&root);
        done.push((stage, begun.elapsed()));
        if let Err(error) = outcome {
            report(&done, start.elapsed());
            return Err(error.context(format!("stage `{}` failed", stage.name)));
        }
    }
    report(&done, start.elapsed());
    println!("{} passed, 0 failed", done.len());
    Ok(())
}

fn report(done: &[(&Stage, Duration)], total: Duration) {
    println!("\nstage        took   share of the hour");
    for (stage, took) in done {
        println!("{:<11} {:>4} s   {:>4} s", stage.name, took.as_secs(), stage.share * 60);
    }
    println!("{:<11} {:>4} s   {:>4} s", "all", total.as_secs(), BUDGET.as_secs());
}

fn format(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    hsm::run(root, &["fmt", "--check"])
}

fn clippy(root: &Path) -> Result<()> {
    cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(root, &["clippy", "-p", "sealock-cli", "--no-default-features", "--", "-D", "warnings"])?;
    hsm::run(root, &["clippy", "--locked", "--all-targets", "--", "-D", "warnings"])?;
    // Nobody would see for weeks that a fuzz target no longer builds.
    cargo(root, &["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"])?;
    // Nor that this one's lock file is not the product's.
    cargo(root, &["fetch", "--locked", "--manifest-path", "bench/layer-delta/Cargo.toml"])
}

/// The official suite in both profiles, and pushes beside the collector for a few seconds.
fn conformance(_: &Path) -> Result<()> {
    conformance::command(&conformance::ConformanceArgs::default())?;
    soak::command(&soak::SoakArgs::short())
}

fn deny(root: &Path) -> Result<()> {
    let deny = tools::cargo_deny(root)?;
    for manifest in ["Cargo.toml", "hsm/Cargo.toml"] {
        let status = Command::new(&deny)
            .args(["--offline", "--config", "deny.toml", "--manifest-path", manifest])
            .args(["check", "licenses", "bans", "sources"])
            .current_dir(root)
            .status()
            .with_context(|| format!("cannot run {}", deny.display()))?;
        if !status.success() {
            bail!("cargo deny found something below {manifest}: see above");
        }
    }
    Ok(())
}

fn tests(root: &Path) -> Result<()> {
    hsm::run(root, &["test", "--locked"])?;
    let mut command = Command::new("cargo");
    interop::prepare(command.args(["test", "--workspace"]).current_dir(root), root, Judges::Ci)?;
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo test --workspace failed");
    }
    Ok(())
}

fn cargo(root: &Path, args: &[&str]) -> Result<()> {
    let status = Command::new("cargo").args(args).current_dir(root).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}
