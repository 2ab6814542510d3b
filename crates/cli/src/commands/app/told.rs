//! What happens while an application is changed, for a person.

use std::sync::Mutex;

use sealock_cluster::apps::Progress;

use crate::ui::Ui;

/// Says what has changed since it was said last.
#[derive(Default)]
pub struct Told(Mutex<Vec<String>>);

impl Told {
    pub fn tell(&self, ui: &Ui, progress: &Progress<'_>) {
        match progress {
            Progress::Hook { pod } => ui.note(format_args!("  a hook runs: pod {pod}")),
            Progress::Chart { name, tests } => {
                ui.done(format_args!("chart {name} is installed"));
                if *tests > 0 {
                    let s = if *tests == 1 { "" } else { "s" };
                    ui.note(format_args!("  its {tests} test{s} did not run: `helm test` runs them"));
                }
            }
            Progress::Restored { name, revision } => {
                ui.done(format_args!("chart {name} is what Helm's revision {revision} was"));
            }
            Progress::Manifests { name } => ui.done(format_args!("{name} is applied")),
            Progress::Pruned { what } => ui.done(format_args!("{what} is gone")),
            Progress::Stays { object } => {
                ui.note(format_args!("  {object} stays: with it would go what others put there"));
            }
            Progress::Waiting { ready, total, pending } => self.waiting(ui, *ready, *total, pending),
        }
    }

    fn waiting(&self, ui: &Ui, ready: usize, total: usize, pending: &[String]) {
        let Ok(mut before) = self.0.lock() else { return };
        if *before == pending {
            return;
        }
        ui.note(format_args!("  {ready} of {total} ready"));
        for reason in pending {
            ui.note(format_args!("    waiting for {reason}"));
        }
        *before = pending.to_vec();
    }
}
