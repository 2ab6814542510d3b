//! The table: the server's processor time for each unit first, as it is what a busy machine changes least.

use std::time::Duration;

use super::rows::{Row, Unit};
use crate::bench::load::Measured;

/// What is said after the rows.
#[derive(Default)]
pub struct Table {
    begun: bool,
    notes: Vec<String>,
}

impl Table {
    /// Prints the lines of one row.
    pub fn row(&mut self, row: &Row, names: &[&str], measured: &[Vec<Measured>]) {
        if !self.begun {
            println!(
                "\n{:<24} {:>12} {:>12} {:>7} {:>12} {:>9} {:>9}",
                "", "CPU, median", "CPU, least", "bound", "rate", "p50 ms", "p99 ms"
            );
            self.begun = true;
        }
        println!("\n{}", row.name);
        for (name, rounds) in names.iter().zip(measured) {
            let cpu = sorted(rounds.iter().map(|round| cost(round, row.unit)));
            let rate = sorted(rounds.iter().map(|round| rate(round, row.unit)));
            let (p50, p99) = (latency(rounds, 0.5), latency(rounds, 0.99));
            let (unit, per) = match row.unit {
                Unit::Request => ("µs", "/s"),
                Unit::Gigabyte => ("s/GB", "MB/s"),
            };
            let bound = row.bound.map_or_else(String::new, |bound| format!("{bound}"));
            println!(
                "  {name:<22} {:>7.2} {unit:<4} {:>7.2} {unit:<4} {bound:>7} {:>7.0} {per:<4} {p50:>9.2} {p99:>9.2}",
                median(&cpu),
                cpu.first().copied().unwrap_or_default(),
                median(&rate),
            );
        }
    }

    /// The tail of a pull alone, and beside a collector.
    pub fn beside(&mut self, name: &str, what: &str, idle: &Measured, busy: &Measured) {
        let (idle, busy) = (idle.quantile(0.99) * 1e3, busy.quantile(0.99) * 1e3);
        self.notes.push(format!(
            "{name}: manifest GET, p99 {busy:.2} ms during {what}, {idle:.2} ms without: {:.1}× (bound: 2×)",
            busy / idle.max(1e-6)
        ));
    }

    /// Resident memory, in bytes.
    pub fn memory(&mut self, name: &str, idle: u64, peak: u64, after: u64) {
        self.notes.push(format!(
            "{name}: resident {} MiB idle (bound: 50), {} MiB at most under load (bound: 256), {} MiB after it",
            idle >> 20,
            peak >> 20,
            after >> 20
        ));
    }

    /// The time from a kill to the next answer.
    pub fn restart(&mut self, name: &str, held: &str, took: Duration) {
        self.notes.push(format!("{name}: answers {:.0} ms after kill -9, with {held}", took.as_secs_f64() * 1e3));
    }

    /// Something to know.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Prints what is no row.
    pub fn print_notes(&self) {
        println!();
        for note in &self.notes {
            println!("{note}");
        }
    }
}

/// Processor time of the server for one unit.
fn cost(round: &Measured, unit: Unit) -> f64 {
    match unit {
        Unit::Request => round.cpu * 1e6 / round.done.max(1) as f64,
        Unit::Gigabyte => round.cpu * 1e9 / round.bytes.max(1) as f64,
    }
}

fn rate(round: &Measured, unit: Unit) -> f64 {
    match unit {
        Unit::Request => round.done as f64 / round.wall,
        Unit::Gigabyte => round.bytes as f64 / 1e6 / round.wall,
    }
}

/// The median over the rounds of a quantile of latency, in milliseconds.
fn latency(rounds: &[Measured], share: f64) -> f64 {
    median(&sorted(rounds.iter().map(|round| round.quantile(share) * 1e3)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of values in ascending order.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
