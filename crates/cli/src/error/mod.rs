//! How a command goes wrong: what happened, what caused it, what to do, and the exit code.

mod kind;
mod library;
mod print;

use std::error::Error;

use sealock_trust::reason::Code;

pub use print::report;

/// The outcome of a command's parts.
pub type Result<T, E = CommandError> = std::result::Result<T, E>;

/// What kind of failure it is: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It did not work.
    Failed,
    /// It was asked for in the wrong way.
    Usage,
    /// What was given is untrusted or invalid: retrying does not help.
    Refused,
    /// The surroundings did not play along: retrying may help.
    Environment,
    /// A defect of Sealock.
    Internal,
    /// Nobody reads the output any more, as in `sealock … | head`.
    BrokenPipe,
}

impl Kind {
    /// The exit code (DESIGN §4).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Environment => 4,
            Self::Internal => 5,
        }
    }
}

/// Why a command ended without doing what it was asked to do.
#[derive(Debug)]
pub struct CommandError {
    kind: Kind,
    code: Option<Code>,
    head: Box<dyn Error + Send + Sync>,
    /// What was being done when it happened, outermost last.
    contexts: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    fn of(kind: Kind, head: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, code: None, head: head.into(), contexts: Vec::new(), hints: Vec::new() }
    }

    /// It did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::of(Kind::Failed, message.into())
    }

    /// It was asked for in the wrong way.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::of(Kind::Usage, message.into())
    }

    /// The surroundings did not play along.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::of(Kind::Environment, message.into())
    }

    /// What was given is refused, for the reason `code`.
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::of(Kind::Refused, message.into()) }
    }

    /// Standard output could not be written.
    pub fn output(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::of(Kind::BrokenPipe, error),
            _ => Self::from(error).context("writing to standard output"),
        }
    }

    /// What cannot happen, happened.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::of(Kind::Internal, message.into())
    }

    /// The failure a library reports: a refusal, or else what its causes say it is.
    pub fn from_library(error: impl Error + Send + Sync + 'static, refusal: bool, code: Option<Code>) -> Self {
        let kind = if refusal { Kind::Refused } else { kind::of(&error) };
        Self { code: code.filter(|_| refusal), ..Self::of(kind, error) }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts `message` in front: what was being done when this happened.
    pub fn context(mut self, message: impl Into<String>) -> Self {
        self.contexts.push(message.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn code(&self) -> Option<Code> {
        self.code
    }

    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// What happened, and below it each cause.
    pub fn chain(&self) -> Vec<String> {
        let mut chain: Vec<String> = self.contexts.iter().rev().cloned().collect();
        let mut next: Option<&dyn Error> = Some(self.head.as_ref());
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        chain
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::from_library(error, false, None)
    }
}
