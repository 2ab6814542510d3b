//! What is told while a plan is carried out: one line for each thing that happened.

use std::time::Duration;

use sealock_cluster::execute::Progress;
use sealock_cluster::plan::Task;
use sealock_node::EventKind;

use crate::ui::{Ui, took};

/// Tells one event.
pub fn tell(ui: &Ui, progress: &Progress<'_>) {
    match progress {
        Progress::TaskStarted { task } => ui.note(format_args!("  {}: begins", task.id)),
        Progress::TaskFound { task } => ui.note(format_args!("  {}: runs already, following it", task.id)),
        Progress::Reconnecting { host } => {
            ui.warn(format_args!("the connection to {host} was lost; the host goes on, connecting again"));
        }
        Progress::TaskDone { task, changed } => ui.note(format_args!("  {}: done, {changed} changed", task.id)),
        Progress::Event { task, event } => tell_event(ui, task, &event.what),
    }
}

fn tell_event(ui: &Ui, task: &Task, event: &EventKind) {
    let host = &task.host;
    match event {
        EventKind::StepDone { step, changed: true, duration_ms } => {
            let duration = took(Duration::from_millis(*duration_ms));
            ui.done(format_args!("{host}: {} ({duration})", describe(task, step)));
        }
        EventKind::StepDone { step, changed: false, .. } => {
            ui.detail(format_args!("= {host}: {}", describe(task, step)));
        }
        EventKind::StepStarted { step } => ui.detail(format_args!("… {host}: {}", describe(task, step))),
        EventKind::StepUndone { step } => ui.note(format_args!("↶ {host}: {}", describe(task, step))),
        EventKind::StepFailed { step, .. } => ui.note(format_args!("✗ {host}: {}", describe(task, step))),
        EventKind::Progress { message, .. } => ui.note(format_args!("  {host}: {message}")),
        EventKind::RunStarted { .. } | EventKind::StepProbed { .. } | EventKind::RunEnded { .. } => {}
    }
}

/// The step in words, or its id where the plan does not have it.
fn describe(task: &Task, id: &str) -> String {
    let step = task.steps.iter().find(|step| step.id == id);
    step.map_or_else(|| id.to_owned(), ToString::to_string)
}
