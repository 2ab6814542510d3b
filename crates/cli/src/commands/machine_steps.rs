//! What is told of the steps on this machine while they run.

use std::fmt::Display;
use std::time::Duration;

use sealock_node::EventKind;

use crate::ui::{Live, took};

const MACHINE: &str = "machine";

/// Tells `event`; `words` are what a person calls a step, by its id.
pub fn tell<W: Display>(live: &Live<'_>, words: impl Fn(&str) -> W, event: &EventKind) {
    match event {
        EventKind::StepStarted { step } => live.begin(MACHINE, &words(step).to_string()),
        EventKind::StepDone { step, changed: true, duration_ms } => {
            live.rest(MACHINE);
            live.done(format_args!("{} ({})", words(step), took(Duration::from_millis(*duration_ms))));
        }
        EventKind::StepDone { step, changed: false, .. } => live.detail(format_args!("= {}", words(step))),
        EventKind::StepFailed { step, .. } => {
            live.rest(MACHINE);
            live.note(format_args!("✗ {}", words(step)));
        }
        EventKind::Progress { message, .. } => live.says(MACHINE, message),
        _ => {}
    }
}
