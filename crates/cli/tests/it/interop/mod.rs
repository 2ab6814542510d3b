//! Other people's programs against what we make: the bundle file, the site registry, the trust metadata. `make interop` prints
//! the table.
//!
//! `SEALOCK_INTEROP=ci` runs what comes from packages or is built in a minute, `all` also what takes long to build;
//! `cargo xtask interop` brings the programs and sets it. Where a program is missing, its row fails.

mod file;
mod metadata;
mod registry;
mod scene;
mod version;

use scene::Scene;

/// How dear a program is to have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Level {
    /// From Debian or PyPI, or built in a minute: runs in CI.
    Ci,
    /// Built for many minutes: runs on demand.
    All,
}

/// One program doing one thing.
struct Row {
    tool: &'static str,
    level: Level,
    /// What it does, as a sentence that is true where the row passes.
    what: &'static str,
    /// Does it; what it says where it does not work.
    run: fn(&Scene) -> Result<(), String>,
}

fn rows() -> Vec<&'static Row> {
    [file::ROWS, registry::ROWS, metadata::ROWS].into_iter().flatten().collect()
}

#[expect(clippy::disallowed_methods, reason = "a person chooses which programs are there")]
fn wanted() -> Option<Level> {
    match std::env::var("SEALOCK_INTEROP").as_deref() {
        Ok("ci") => Some(Level::Ci),
        Ok("all") => Some(Level::All),
        Ok(other) => panic!("SEALOCK_INTEROP is {other:?}: it may be `ci` or `all`"),
        Err(_) => None,
    }
}

#[test]
fn every_program_reads_and_believes_what_we_make() {
    let Some(level) = wanted() else {
        println!("NOT RUN: `make interop` brings the programs, and sets SEALOCK_INTEROP");
        return;
    };
    let scene = Scene::new();
    let mut table = format!("{:<11} {:<14} {:<72} verdict\n", "tool", "version", "what it did");
    let (mut failures, mut left_out) = (Vec::new(), 0);
    for row in rows() {
        if row.level > level {
            left_out += 1;
            continue;
        }
        let outcome = (row.run)(&scene);
        let verdict = if outcome.is_ok() { "works" } else { "FAILS" };
        table.push_str(&format!("{:<11} {:<14} {:<72} {verdict}\n", row.tool, version::of(&scene, row.tool), row.what));
        failures.extend(outcome.err().map(|said| format!("{} {}:\n{said}", row.tool, row.what)));
    }
    println!("{table}");
    if left_out > 0 {
        println!("{left_out} rows need programs that take long to build: `make interop` runs them");
    }
    assert!(failures.is_empty(), "{table}\n{}", failures.join("\n\n"));
}
