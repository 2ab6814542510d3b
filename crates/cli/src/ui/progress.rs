//! Progress: bars on a terminal, else a plain line when a part begins, every few seconds, and when it ends.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{bytes, say, took};

/// How often a plain line tells how far a part is.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The progress display of one command. Clones show on the same display.
#[derive(Clone, Debug)]
pub struct Progress {
    terminal: bool,
    quiet: bool,
    current: Arc<Mutex<Option<Part>>>,
}

#[derive(Debug)]
struct Part {
    what: String,
    total: u64,
    done: u64,
    started: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(terminal: bool, quiet: bool) -> Self {
        Self { terminal, quiet, current: Arc::default() }
    }

    /// Begins a part of `total` bytes, or of unknown size where that is 0. Ends the part before it.
    pub fn begin(&self, what: &str, total: u64) {
        self.end();
        let bar = self.terminal.then(|| bar(what, total));
        if bar.is_none() && !self.quiet {
            say(format_args!("{what}{}", if total > 0 { format!(" ({})", bytes(total)) } else { String::new() }));
        }
        let now = Instant::now();
        let part = Part { what: what.to_owned(), total, done: 0, started: now, told: now, bar };
        if let Ok(mut current) = self.current.lock() {
            *current = Some(part);
        }
    }

    /// The current part is `done` bytes far.
    pub fn at(&self, done: u64) {
        self.move_to(|_| done);
    }

    /// The current part is `more` bytes further.
    #[cfg(feature = "outside")]
    pub fn advance(&self, more: u64) {
        self.move_to(|done| done + more);
    }

    /// `less` bytes of the current part have to come again.
    #[cfg(feature = "outside")]
    pub fn retreat(&self, less: u64) {
        self.move_to(|done| done.saturating_sub(less));
    }

    fn move_to(&self, position: impl FnOnce(u64) -> u64) {
        let Ok(mut current) = self.current.lock() else { return };
        let Some(part) = current.as_mut() else { return };
        part.done = position(part.done);
        match &part.bar {
            Some(bar) => bar.set_position(part.done),
            None if !self.quiet && part.total > 0 && part.told.elapsed() >= PLAIN_INTERVAL => part.tell(),
            None => {}
        }
    }

    /// Says something without disturbing the bar.
    #[cfg(feature = "outside")]
    pub fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        let current = self.current.lock();
        let bar = current.as_ref().ok().and_then(|current| current.as_ref()?.bar.as_ref());
        match bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Ends the current part.
    pub fn end(&self) {
        let Ok(mut current) = self.current.lock() else { return };
        let Some(part) = current.take() else { return };
        if let Some(bar) = part.bar {
            bar.finish_and_clear();
        }
        if !self.quiet && part.started.elapsed() >= Duration::from_secs(1) {
            say(format_args!("{}: done in {}", part.what, took(part.started.elapsed())));
        }
    }
}

impl Part {
    fn tell(&mut self) {
        self.told = Instant::now();
        let percent = self.done.saturating_mul(100).checked_div(self.total).unwrap_or(0);
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64();
        say(format_args!(
            "{}: {} of {} ({percent} %, {}/s)",
            self.what,
            bytes(self.done),
            bytes(self.total),
            bytes(rate as u64)
        ));
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let (bar, template) = if total > 0 {
        let template = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        (ProgressBar::new(total), template)
    } else {
        (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}")
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▌░"));
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
