//! Asks something over and over, from a machine, while other things happen.

use std::fmt;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use crate::story::{self, Desk};

/// Asks five times a second, and writes when and whether an answer came.
const ASK: &str = r#"rm -f "$2.end"
while [ ! -e "$2.end" ]; do
  if curl -sk -o /dev/null -m 2 -f "$1"; then said=yes; else said=no; fi
  echo "$(date +%s.%N) $said"
  sleep 0.2
done > "$2""#;

/// Seconds without an answer that are an outage: whoever asks tries again before that.
const OUTAGE: f64 = 15.0;

/// What is asked, and by whom.
pub(super) struct Watch {
    machine: &'static str,
    name: &'static str,
    file: String,
    child: Child,
}

/// What came back.
pub(super) struct Seen {
    name: &'static str,
    machine: &'static str,
    asked: usize,
    silent: usize,
    longest: f64,
}

impl Watch {
    pub(super) fn begin(desk: &Desk, machine: &'static str, name: &'static str, url: &str) -> Result<Self> {
        let file = format!("/run/watch-{name}");
        let mut command = desk.lab.exec(machine, &["sh", "-c", ASK, "sh", url, &file]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { machine, name, file, child })
    }

    pub(super) fn end(mut self, desk: &Desk) -> Result<Seen> {
        story::text(&mut desk.lab.exec(self.machine, &["touch", &format!("{}.end", self.file)]))?;
        self.child.wait()?;
        let lines = story::text(&mut desk.lab.exec(self.machine, &["cat", &self.file]))?;
        let seen = Seen::read(self.name, self.machine, &lines)?;
        ensure!(seen.asked > seen.silent, "{}: never an answer", self.name);
        Ok(seen)
    }
}

impl Seen {
    /// Prints what came back; nobody who asked again was without an answer.
    pub(super) fn ensure_answered(&self) -> Result<()> {
        self.within(OUTAGE)
    }

    /// The same for what may take `seconds`.
    pub(super) fn within(&self, seconds: f64) -> Result<()> {
        println!("      {self}");
        ensure!(self.longest <= seconds, "{self}, and not {seconds} s");
        Ok(())
    }

    fn read(name: &'static str, machine: &'static str, lines: &str) -> Result<Self> {
        let mut seen = Self { name, machine, asked: 0, silent: 0, longest: 0.0 };
        let mut last_answer: Option<f64> = None;
        for line in lines.lines() {
            let (at, said) = line.split_once(' ').context("a line without a time")?;
            let at: f64 = at.parse()?;
            seen.asked += 1;
            if said == "yes" {
                seen.longest = seen.longest.max(last_answer.map_or(0.0, |before| at - before));
                last_answer = Some(at);
            } else {
                seen.silent += 1;
            }
        }
        Ok(seen)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, machine, asked, silent, longest } = self;
        write!(
            f,
            "{name}, from {machine}: asked {asked} times, {silent} without an answer, at most {longest:.1} s between two answers"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn silence_is_counted_from_answer_to_answer() {
        let seen = Seen::read("api", "w1", "10.0 yes\n10.5 no\n12.5 no\n13.0 yes\n13.2 yes\n").unwrap();
        assert_eq!((seen.asked, seen.silent), (5, 2));
        assert!((seen.longest - 3.0).abs() < 1e-9);
    }
}
