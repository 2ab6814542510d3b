//! A live view of several that work at once: one line each on a terminal, with what is done scrolling above; elsewhere
//! plain lines.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Ui;

/// The lines of all that work at once. They go away with this.
#[derive(Debug)]
pub struct Live<'a> {
    ui: &'a Ui,
    screen: Option<MultiProgress>,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl<'a> Live<'a> {
    pub(super) fn new(ui: &'a Ui, terminal: bool) -> Self {
        Self { ui, screen: terminal.then(MultiProgress::new), lines: Mutex::default() }
    }

    /// Whether a person watches lines that move.
    pub fn is_watched(&self) -> bool {
        self.screen.is_some()
    }

    /// `who` begins with `what`; its time counts from here.
    pub fn begin(&self, who: &str, what: &str) {
        let Some(screen) = &self.screen else { return self.ui.detail(format_args!("… {who}: {what}")) };
        let mut lines = self.lines();
        let line = lines.entry(who.to_owned()).or_insert_with(|| line(screen, who));
        line.reset_elapsed();
        line.set_message(what.to_owned());
    }

    /// What `who` says while it works.
    pub fn says(&self, who: &str, what: &str) {
        match self.lines().get(who) {
            Some(line) => line.set_message(what.to_owned()),
            None => self.ui.note(format_args!("  {who}: {what}")),
        }
    }

    /// `who` has nothing more to do for now.
    pub fn rest(&self, who: &str) {
        if let Some(line) = self.lines().remove(who) {
            line.finish_and_clear();
        }
    }

    /// Says what goes on, above the lines.
    pub fn note(&self, text: impl Display) {
        self.above(|| self.ui.note(text));
    }

    /// Says that something was done, above the lines.
    pub fn done(&self, text: impl Display) {
        self.above(|| self.ui.done(text));
    }

    /// Says what only somebody looking closely wants to know, above the lines.
    pub fn detail(&self, text: impl Display) {
        self.above(|| self.ui.detail(text));
    }

    fn above(&self, say: impl FnOnce()) {
        match &self.screen {
            Some(screen) => screen.suspend(say),
            None => say(),
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<String, ProgressBar>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        for line in self.lines().values() {
            line.finish_and_clear();
        }
    }
}

fn line(screen: &MultiProgress, who: &str) -> ProgressBar {
    // On the screen before it moves, or its first frame would stay where nobody clears it.
    let line = screen.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed:>4} {wide_msg}") {
        line.set_style(style);
    }
    line.set_prefix(who.to_owned());
    line.enable_steady_tick(Duration::from_millis(120));
    line
}
