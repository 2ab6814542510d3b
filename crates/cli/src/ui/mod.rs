//! Talking to a person or a program: results to standard output, everything else to standard error.

mod ask;
mod live;
mod progress;
mod table;
mod units;

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::{Format, Global};
use crate::error::{CommandError, Result};

pub use live::Live;
pub use progress::Progress;
pub use table::{Table, facts};
pub use units::{age, bytes, count, patches_in_words, short, took};

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const DONE: Style = AnsiColor::Green.on_default().bold();

/// How this command talks.
#[derive(Clone, Debug)]
pub struct Ui {
    format: Format,
    quiet: bool,
    verbose: bool,
    yes: bool,
    /// Standard error is a terminal: somebody may be watching.
    watched: bool,
    /// Somebody watches and can be asked.
    terminal: bool,
}

impl Ui {
    pub fn new(global: &Global) -> Self {
        let watched = std::io::stderr().is_terminal();
        Self {
            format: global.output,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            yes: global.yes,
            watched,
            terminal: watched && std::io::stdin().is_terminal(),
        }
    }

    /// Writes the result: `value` as JSON, or `text` for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn result<T: Serialize + ?Sized>(&self, value: &T, text: impl Display) -> Result<()> {
        match self.format {
            Format::Json => self.json(value),
            Format::Table => self.text(text),
        }
    }

    /// Writes `value` as indented JSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|error| CommandError::internal(format!("the result cannot be written: {error}")))?;
        write(&mut std::io::stdout().lock(), &text)
    }

    /// Writes `text` and a line end to standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn text(&self, text: impl Display) -> Result<()> {
        write(&mut anstream::stdout().lock(), text.to_string().trim_end_matches('\n'))
    }

    /// Says what goes on, unless asked to be quiet.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            say(text);
        }
    }

    /// Says what only somebody looking closely wants to know.
    pub fn detail(&self, text: impl Display) {
        if self.verbose {
            say(text);
        }
    }

    /// Says that something was done.
    pub fn done(&self, text: impl Display) {
        self.note(format_args!("{DONE}✓{DONE:#} {text}"));
    }

    /// Says what the person should know though nothing failed. Quiet does not silence it.
    pub fn warn(&self, text: impl Display) {
        say(format_args!("{WARNING}warning{WARNING:#}: {text}"));
    }

    /// Whether a person reads what is about to happen: on a terminal, or since no answer was given beforehand.
    pub fn is_reviewed(&self) -> bool {
        self.watched || !self.yes
    }

    /// Whether every question was answered beforehand with yes.
    pub fn is_answered(&self) -> bool {
        self.yes
    }

    /// Shows what a question is about to be asked of. Quiet does not silence it.
    pub fn review(&self, text: impl Display) {
        if self.is_reviewed() {
            say(text);
        }
    }

    /// A view of several that work at once.
    pub fn live(&self) -> Live<'_> {
        Live::new(self, self.watched && !self.quiet)
    }

    /// A progress display for one command: bars on a terminal, else plain lines.
    pub fn progress(&self) -> Progress {
        Progress::new(self.watched && !self.quiet, self.quiet)
    }
}

fn write(out: &mut dyn Write, text: &str) -> Result<()> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CommandError::output)
}

fn say(text: impl Display) {
    // Where standard error is gone there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
