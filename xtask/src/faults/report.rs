//! The table as a person reads it.

use std::fmt;
use std::time::Duration;

use super::fault::Fault;

/// What came of one fault.
pub(super) struct Line {
    name: &'static str,
    took: Duration,
    /// Why it did not end as it should.
    pub(super) problem: Option<String>,
}

impl Line {
    pub(super) fn new(fault: &Fault, took: Duration, problem: Option<anyhow::Error>) -> Self {
        Self { name: fault.name, took, problem: problem.map(|error| format!("{error:#}")) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        match &self.problem {
            None => write!(f, "ok     {} ({seconds:.1} s)", self.name),
            Some(problem) => write!(f, "FAILED {} ({seconds:.1} s): {problem}", self.name),
        }
    }
}

/// What there is, and where it is set.
pub(super) fn list(faults: &[&Fault]) {
    for fault in faults {
        println!("{} ({})\n  set:        {}\n  end:        {}", fault.name, fault.line, fault.place, fault.end);
        println!("  invariants: {}\n  shown by:   {}", numbers(fault), fault.proof);
    }
}

/// One line for each fault.
pub(super) fn print(faults: &[&Fault], lines: &[Line]) {
    println!("\n{:<7} {:>7}  {:<10}  {:<62} shown by", "", "seconds", "invariants", "fault");
    for fault in faults {
        let line = lines.iter().find(|line| line.name == fault.name);
        let (word, seconds) = match line {
            Some(line) if line.problem.is_none() => ("passed", format!("{:.1}", line.took.as_secs_f64())),
            Some(line) => ("FAILED", format!("{:.1}", line.took.as_secs_f64())),
            None => ("named", "-".to_owned()),
        };
        println!("{word:<7} {seconds:>7}  {:<10}  {:<62} {}", numbers(fault), fault.name, fault.proof);
    }
    for line in lines.iter().filter(|line| line.problem.is_some()) {
        println!("{line}");
    }
    let failed = lines.iter().filter(|line| line.problem.is_some()).count();
    println!("what is shown by `e2e …` has a lab of its own, and did not run here: `cargo xtask e2e SCENARIO` runs it");
    println!("faults: {} passed, {failed} failed", lines.len() - failed);
}

fn numbers(fault: &Fault) -> String {
    fault.invariants.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
