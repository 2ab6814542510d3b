//! Tells the story: what each step does, how long it took, and a report of it all.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::environment;

/// Says what happens and keeps what happened.
pub struct Teller {
    started: Instant,
    total: usize,
    colour: bool,
    report: Report,
}

/// `target/demo/report.json`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What was done, in order.
    pub steps: Vec<StepReport>,
    /// Nodes of the cluster, as `kubectl get nodes -o json` has them, in short.
    pub nodes: Vec<serde_json::Value>,
    /// Every pod and its phase.
    pub pods: Vec<serde_json::Value>,
    /// Every image on every node, by digest, and where the release has it.
    pub images: Vec<serde_json::Value>,
    /// Every probe of `gap check`.
    pub probes: Vec<serde_json::Value>,
}

/// One step and its time.
#[derive(Debug, Serialize)]
pub struct StepReport {
    name: String,
    what: String,
    seconds: f64,
}

impl Teller {
    /// A teller of a story in `total` steps.
    pub fn new(total: usize) -> Self {
        let colour = std::io::stdout().is_terminal() && crate::environment::variable("NO_COLOR").is_none();
        Self { started: Instant::now(), total, colour, report: Report::default() }
    }

    /// Runs one step, says what it does and how long it took.
    pub fn step<T>(&mut self, name: &str, what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.report.steps.len() + 1;
        let title = format!("{number:>2}/{} {name}", self.total);
        println!("\n{} — {what}", if self.colour { format!("\x1b[1m{title}\x1b[0m") } else { title });
        let begun = Instant::now();
        let outcome = run().with_context(|| format!("step {number} ({name}) failed"))?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("      done in {seconds:.1} s");
        self.report.steps.push(StepReport { name: name.into(), what: what.into(), seconds });
        Ok(outcome)
    }

    /// What the report holds so far.
    pub fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// Writes the report and says the whole time.
    pub fn finish(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
            environment::give_to_caller(folder)?;
        }
        let text = serde_json::to_string_pretty(&self.report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        environment::give_to_caller(path)?;
        println!("\nall in {:.1} s; the report is {}", self.started.elapsed().as_secs_f64(), path.display());
        Ok(())
    }
}
