//! Faults at every durable step of every work: `make crash` prints the table.
//!
//! A work is done once to see its steps, and then once for each step and fault, in a copy of the same place. Then the place is
//! opened as a server would, [the invariants](invariants) are looked at, and the same work is done again, which must lead to
//! what it leads to without any fault. Power cuts are another matter, and have [a table of their own](power).

mod full;
mod inject;
mod invariants;
mod place;
mod power;
mod told;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use inject::{Fault, bring, steps};
use work::Start;

/// What came of one fault at one failpoint in one work.
#[derive(Default)]
struct Verdict {
    steps: usize,
    broken: usize,
}

#[derive(Default)]
struct Table {
    /// By failpoint, work and fault.
    rows: BTreeMap<(&'static str, &'static str), BTreeMap<Fault, Verdict>>,
    failures: Vec<String>,
}

/// One step of one work.
struct Case<'a> {
    start: &'a Start,
    shape: &'a [String],
    step: usize,
    name: &'static str,
    fault: Fault,
}

#[test]
fn every_fault_at_every_failpoint_leaves_the_store_whole() {
    let starts: Vec<Start> = work::all().into_iter().map(Start::of).collect();
    let prepared: Vec<_> = starts.iter().map(|start| (start, start.shape_in_the_end(), steps(start))).collect();
    let mut cases = Vec::new();
    for (start, shape, steps) in &prepared {
        for (step, name) in steps_to_look_at(steps) {
            cases.extend(Fault::ALL.map(|fault| Case { start, shape, step, name, fault }));
        }
    }
    let table = Mutex::new(Table::default());
    side_by_side(&cases, |case| {
        let result = bring(case.start, (case.fault, case.step, case.name), case.shape);
        table.lock().unwrap().add(case, result);
    });
    let table = table.into_inner().unwrap();
    println!("\n{table}");
    assert!(table.failures.is_empty(), "{}", table.failures.join("\n"));
    assert_eq!(table.reached(), failpoints(), "a failpoint that no work reaches, or that is no more");
}

/// All steps; of those that read, each name once: reading changes nothing.
fn steps_to_look_at(steps: &[&'static str]) -> Vec<(usize, &'static str)> {
    let mut seen = BTreeSet::new();
    let all = steps.iter().copied().enumerate();
    all.filter(|(_, name)| !name.starts_with("read ") || seen.insert(*name)).collect()
}

/// Looks at each of `all`, two at a time.
pub(crate) fn side_by_side<T: Sync>(all: &[T], look: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
                    look(one);
                }
            });
        }
    });
}

impl Table {
    fn add(&mut self, case: &Case<'_>, result: Result<(), String>) {
        let row = self.rows.entry((case.name, case.start.work.name)).or_default();
        let verdict = row.entry(case.fault).or_default();
        verdict.steps += 1;
        verdict.broken += usize::from(result.is_err());
        self.failures.extend(result.err());
    }

    fn reached(&self) -> BTreeSet<String> {
        self.rows.keys().map(|(failpoint, _)| (*failpoint).to_owned()).collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kill, full, eio) = ("kill -9", "disk full", "EIO");
        writeln!(f, "{:<20}  {:<22}  {:>5}  {kill:<9}  {full:<9}  {eio:<9}  invariants", "failpoint", "work", "steps")?;
        for ((failpoint, work), verdicts) in &self.rows {
            let verdict = |fault| match verdicts.get(&fault) {
                None => "-".to_owned(),
                Some(Verdict { broken: 0, .. }) => "hold".to_owned(),
                Some(Verdict { broken, .. }) => format!("{broken} BROKEN"),
            };
            let steps = verdicts.values().map(|verdict| verdict.steps).max().unwrap_or(0);
            let [kill, full, eio] = Fault::ALL.map(verdict);
            let held = invariants::HELD;
            writeln!(f, "{failpoint:<20}  {work:<22}  {steps:>5}  {kill:<9}  {full:<9}  {eio:<9}  {held}")?;
        }
        Ok(())
    }
}

/// Every failpoint that the crate has, by its source.
fn failpoints() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in crate::site::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = text.split("failpoint::hit(\"").skip(1);
        found.extend(calls.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(found.len() > 20, "only {found:?} were found");
    found
}
