//! The values of a YAML text in which a placeholder stands, and where.

use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use crate::document::{self, Place};
use crate::plain::Plain;

/// How a placeholder begins.
pub(super) const OPENING: &str = "$(parameters.";

/// One step from the root of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Item(usize),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Place,
    pub(super) problem: document::Problem,
}

impl Problem {
    pub(super) fn at(place: Place, problem: impl Into<String>) -> Self {
        Self { place, problem: document::Problem::Other(problem.into()) }
    }
}

/// A scalar as it is met on the way through a text.
pub(super) struct Met<'a> {
    pub(super) path: &'a [Step],
    pub(super) place: Place,
    /// The bytes that it takes, its quotes included.
    pub(super) span: Range<usize>,
    pub(super) text: &'a str,
    pub(super) is_plain: bool,
    pub(super) is_key: bool,
}

/// Goes through every scalar of `text`, keys included, without recursion.
pub(super) fn scalars(text: &str, visit: &mut dyn FnMut(&Met<'_>) -> Result<(), Problem>) -> Result<(), Problem> {
    let mut parser = Parser::new_from_str(text);
    let mut trail = Trail::default();
    while let Some(next) = parser.next_event() {
        let no_yaml = |error: &ScanError| format!("this is no YAML: {}", Plain::of(error.info()));
        let (event, span) = next.map_err(|error| Problem::at(place(error.marker()), no_yaml(&error)))?;
        match event {
            Event::Scalar(value, style, ..) => {
                let (Some(start), Some(end)) = (span.start.byte_offset(), span.end.byte_offset()) else {
                    return Err(Problem::at(place(&span.start), "its place in the file is unknown"));
                };
                let is_key = trail.enter(Some(&value));
                visit(&Met {
                    path: &trail.steps,
                    place: place(&span.start),
                    span: whole(text, start..end, style),
                    text: &value,
                    is_plain: style == ScalarStyle::Plain,
                    is_key,
                })?;
                trail.leave(is_key);
            }
            Event::Alias(_) => {
                let is_key = trail.enter(None);
                trail.leave(is_key);
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if trail.is_at_key() => {
                return Err(Problem::at(place(&span.start), "a key has to be a single value"));
            }
            Event::SequenceStart(..) => trail.open(Frame::List(0)),
            Event::MappingStart(..) => trail.open(Frame::Map { at_key: true }),
            Event::SequenceEnd | Event::MappingEnd => trail.close(),
            Event::DocumentStart(..) => trail = Trail::default(),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a scalar. Of a block scalar the scanner gives the content, without its header, and with the indentation of
/// what comes next; what is taken wrongly here is found when the outcome is compared.
fn whole(text: &str, content: Range<usize>, style: ScalarStyle) -> Range<usize> {
    if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return content;
    }
    let inner = text.get(content.clone()).unwrap_or_default();
    let last = inner.rfind('\n').map_or(0, |at| at + 1);
    let is_indent = last > 0 && inner.get(last..).unwrap_or_default().bytes().all(|byte| byte == b' ');
    let end = if is_indent { content.start + last } else { content.end };
    header(text.get(..content.start).unwrap_or_default()).unwrap_or(content.start)..end
}

/// Where `|` or `>` stands, on the last line of `before` that is not blank (YAML 1.2.2, production 162 `c-b-block-header`).
fn header(before: &str) -> Option<usize> {
    let before = before.trim_end();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let header = before.get(line..)?;
    let header = header.find(" #").map_or(header, |comment| header.get(..comment).unwrap_or_default()).trim_end();
    let header = header.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    header.ends_with(['|', '>']).then(|| line + header.len() - 1)
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1) as u64, column: marker.col() as u64 + 1 }
}

/// The way from the root to where the parser is.
#[derive(Default)]
struct Trail {
    /// One step for each frame whose value is being read.
    steps: Vec<Step>,
    frames: Vec<Frame>,
}

enum Frame {
    List(usize),
    Map { at_key: bool },
}

impl Trail {
    /// Goes to the next node, and says whether it is a key. `key` is its text, where it has one.
    fn enter(&mut self, key: Option<&str>) -> bool {
        match self.frames.last_mut() {
            None => false,
            Some(Frame::List(at)) => {
                let step = Step::Item(*at);
                *at += 1;
                self.steps.push(step);
                false
            }
            Some(Frame::Map { at_key: true }) => {
                self.steps.push(Step::Key(key.unwrap_or_default().to_owned()));
                true
            }
            Some(Frame::Map { at_key: false }) => false,
        }
    }

    /// Done with the node that was entered.
    fn leave(&mut self, is_key: bool) {
        match self.frames.last_mut() {
            None => {}
            Some(Frame::List(_)) => drop(self.steps.pop()),
            Some(Frame::Map { at_key }) if is_key => *at_key = false,
            Some(Frame::Map { at_key }) => {
                *at_key = true;
                self.steps.pop();
            }
        }
    }

    fn is_at_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Map { at_key: true }))
    }

    fn open(&mut self, frame: Frame) {
        self.enter(None);
        self.frames.push(frame);
    }

    fn close(&mut self) {
        self.frames.pop();
        self.leave(false);
    }
}
