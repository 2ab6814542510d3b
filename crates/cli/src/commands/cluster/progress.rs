//! What is told while a plan is carried out: on a terminal what each host does now, everywhere what was done.

use std::time::Duration;

use sealock_cluster::execute::Progress;
use sealock_cluster::plan::Task;
use sealock_node::EventKind;

use crate::ui::{Live, took};

/// A host's own words are cut after this many characters.
const WORDS: usize = 300;

/// Tells one event.
pub fn tell(live: &Live<'_>, progress: &Progress<'_>) {
    match progress {
        Progress::TaskStarted { task } => live.note(format_args!("  {}: begins", task.id)),
        Progress::TaskFound { task } => live.note(format_args!("  {}: runs already, following it", task.id)),
        Progress::Occupied { host } => {
            live.note(format_args!("  {host}: what an earlier run has begun still runs there, waiting for it"));
        }
        Progress::Restarting { host } => {
            live.note(format_args!("  {host}: the machine is restarting, waiting until it answers again"));
        }
        Progress::Reconnecting { host } => {
            live.note(format_args!("  {host}: the connection was lost; the host goes on, connecting again"));
        }
        Progress::TaskDone { task, changed } => {
            live.rest(&task.host);
            live.note(format_args!("  {}: done, {changed} changed", task.id));
        }
        Progress::Event { task, event } => tell_event(live, task, &event.what),
    }
}

fn tell_event(live: &Live<'_>, task: &Task, event: &EventKind) {
    let host = &task.host;
    match event {
        EventKind::StepDone { step, changed: true, duration_ms } => {
            let duration = took(Duration::from_millis(*duration_ms));
            live.done(format_args!("{host}: {} ({duration})", describe(task, step)));
        }
        EventKind::StepDone { step, changed: false, .. } => {
            live.detail(format_args!("= {host}: {}", describe(task, step)));
        }
        EventKind::StepStarted { step } => live.begin(host, &describe(task, step)),
        EventKind::StepUndone { step } => live.note(format_args!("↶ {host}: {}", describe(task, step))),
        EventKind::StepFailed { step, .. } => {
            live.rest(host);
            live.note(format_args!("✗ {host}: {}", describe(task, step)));
        }
        EventKind::Progress { message, .. } => live.says(host, &harmless(message)),
        EventKind::RunStarted { .. } | EventKind::StepProbed { .. } | EventKind::RunEnded { .. } => {}
    }
}

/// The step in words, or its id where the plan does not have it.
fn describe(task: &Task, id: &str) -> String {
    let step = task.steps.iter().find(|step| step.id == id);
    step.map_or_else(|| harmless(id), ToString::to_string)
}

/// What a host says, on one line and without what a terminal would obey.
pub fn harmless(said: &str) -> String {
    said.chars().filter(|character| !character.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_does_not_command_the_terminal() {
        assert_eq!(harmless("pulled\x1b[2J\r\nall \u{9b}good"), "pulled[2Jall good");
        assert_eq!(harmless(&"é".repeat(1000)).chars().count(), WORDS);
    }
}
