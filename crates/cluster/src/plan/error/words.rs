//! What errors say of several things.

use crate::adoption::Mismatch;
use crate::plan::GateFailure;

pub(super) fn lines(failures: &[GateFailure]) -> String {
    failures.iter().map(|failure| format!("\n  {failure}")).collect()
}

pub(super) fn mismatches(all: &[Mismatch]) -> String {
    all.iter().map(|one| format!("\n  {one}")).collect()
}

pub(super) fn things(number: usize) -> String {
    if number == 1 { "1 thing is".to_owned() } else { format!("{number} things are") }
}

pub(super) fn raised(runs: &Option<String>) -> String {
    match runs {
        Some(runs) => format!(
            "every member of etcd that answers runs {runs} or newer, by which etcd has raised the version of the cluster"
        ),
        None => "no member of etcd answers to show that etcd has not raised the version of the cluster".to_owned(),
    }
}

pub(super) fn told(lost: &Option<String>) -> String {
    lost.as_ref().map_or_else(String::new, |lost| format!("; {lost}"))
}

pub(super) fn count(number: usize) -> String {
    if number == 1 { "1 artifact".to_owned() } else { format!("{number} artifacts") }
}
