//! Carries out one node's part of a plan.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::reason::Code;

use crate::admission::{self, AdmissionError};
use crate::context::Context;
use crate::error::StepError;
use crate::fence::{Fence, FenceError};
use crate::host::Host;
use crate::journal::{Journal, JournalError, RecordKind};
use crate::pull::{Client, PullError};
use crate::request::{Event, EventKind, Failure, RunRequest, Secrets};
use crate::source::{Source, StoreCopy};
use crate::step::{Probe, Step};

/// The node's own folder: journals and fence.
pub const FOLDER: &str = crate::changes::NODE_FOLDER;

/// What a run is given.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The steps.
    pub request: &'a RunRequest,
    /// The site root's file.
    pub site_root: &'a [u8],
    /// The signed release's file.
    pub release: &'a [u8],
    /// A copy of the site's store, to fetch from in the place of the registry.
    pub store: Option<&'a Path>,
    /// What the operator sent on standard input.
    pub secrets: &'a Secrets,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another operator, or another run.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The release is not believed.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The registry of the request is not one, or the copy of the store.
    #[error(transparent)]
    Registry(#[from] PullError),
    /// A request of another version.
    #[error("the request is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Two steps have one id.
    #[error("two steps are called {0}")]
    Ambiguous(String),
    /// A step failed.
    #[error("step {step} failed")]
    Step {
        /// Its id.
        step: String,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
}

impl RunError {
    /// True where trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Fence(error) => error.code(),
            Self::Journal(JournalError::Format { source, .. }) => Some(source.code()),
            Self::Journal(_) => None,
            Self::Admission(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Format(_) | Self::Ambiguous(_) => Some(Code::Format),
            Self::Step { source, .. } => source.code(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Fence(FenceError::Stale { .. }) => Some("Look at the cluster's state, and plan again."),
            Self::Fence(FenceError::Busy) => Some("Wait until it has ended, and run the command again."),
            Self::Journal(JournalError::Damaged { .. }) => Some(
                "Something other than Sealock changed the file. Look at the disk; with the file moved away, every step is looked at again.",
            ),
            Self::Admission(AdmissionError::OtherSiteRoot { .. }) => {
                Some("Is this host another site's? `sealock cluster reset` by that site's operator makes it free.")
            }
            Self::Registry(error) => error.hint(),
            Self::Step { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// The error as it is reported to the operator.
    pub fn failure(&self) -> Failure {
        // The step's name stands beside the failure already.
        let error: &dyn Error = if let Self::Step { source, .. } = self { source.as_ref() } else { self };
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Failure {
            message: error.to_string(),
            causes,
            hint: self.hint().map(str::to_owned),
            code: self.code().map(|code| code.as_str().to_owned()),
            retryable: !self.is_refusal(),
        }
    }
}

/// Looks at every step of `request`, and changes nothing.
pub fn probe(request: &RunRequest, host: &dyn Host, events: &dyn Fn(Event)) -> Result<(), RunError> {
    check(request)?;
    let nothing = BTreeSet::new();
    let secrets = Secrets::default();
    let context = Context { source: None, admitted: &nothing, secrets: &secrets, progress: &|_| {} };
    for step in &request.steps {
        let probe = step.probe(host, &context).map_err(failed(step))?;
        events(now(EventKind::StepProbed { step: step.id.clone(), probe }));
    }
    Ok(())
}

/// Like [`run`], on a machine by itself: no site sends a release, so no step may fetch anything.
pub fn run_alone(request: &RunRequest, host: &dyn Host, folder: &Path, events: &dyn Fn(Event)) -> Result<(), RunError> {
    let secrets = Secrets::default();
    events(now(EventKind::RunStarted { steps: request.steps.len() }));
    let begun = || {
        let mut begun = Begun::begin(request, folder)?;
        begun.steps(&request.steps, host, (&secrets, events))?;
        begun.finish()
    };
    let result = begun();
    events(now(EventKind::RunEnded { error: result.as_ref().err().map(RunError::failure) }));
    result
}

/// A run on a machine by itself that has begun. Until it is dropped the fence is held and the journal is open, so that something may be
/// asked of others between two steps: nobody else changes this machine meanwhile, and what was asked stands beside the steps.
#[derive(Debug)]
pub struct Begun {
    _fence: Fence,
    journal: Journal,
}

impl Begun {
    /// Takes the machine for `request`, and opens the journal of its plan in `folder`.
    ///
    /// # Errors
    /// Another run is under way; the journal is damaged.
    pub fn begin(request: &RunRequest, folder: &Path) -> Result<Self, RunError> {
        check(request)?;
        let fence = Fence::claim(folder, request.generation, &request.nonce)?;
        let (mut journal, _) = Journal::open(&folder.join("journal"), &request.plan)?;
        journal.append(Timestamp::now(), RecordKind::RunBegun { generation: request.generation })?;
        Ok(Self { _fence: fence, journal })
    }

    /// Carries out `steps` in order. None of them may fetch anything.
    ///
    /// # Errors
    /// The first that failed.
    pub fn steps(
        &mut self,
        steps: &[Step],
        host: &dyn Host,
        (secrets, events): (&Secrets, &dyn Fn(Event)),
    ) -> Result<(), RunError> {
        let admitted = BTreeSet::new();
        let mut run = Steps { host, source: None, admitted: &admitted, secrets, journal: &mut self.journal, events };
        steps.iter().try_for_each(|step| run.carry_out(step))
    }

    /// What is called `id` is about to be asked of others.
    ///
    /// # Errors
    /// The journal cannot take it: then it must not be asked.
    pub fn intend(&mut self, id: &str) -> Result<(), RunError> {
        Ok(self.journal.append(Timestamp::now(), RecordKind::Intent { step: id.to_owned() })?)
    }

    /// It was done and holds; or it failed, in these words.
    ///
    /// # Errors
    /// The journal cannot take it.
    pub fn asked(&mut self, id: &str, failed: Option<String>) -> Result<(), RunError> {
        let step = id.to_owned();
        let what = match failed {
            None => RecordKind::Done { step },
            Some(error) => RecordKind::Failed { step, error },
        };
        Ok(self.journal.append(Timestamp::now(), what)?)
    }

    /// What was done here by other plans is taken back, and their journals tell of nothing that is still there: they go, and this one stays.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn forget_earlier(&self) -> Result<(), RunError> {
        Ok(self.journal.forget_others()?)
    }

    /// All is done.
    ///
    /// # Errors
    /// The journal cannot take it.
    pub fn finish(mut self) -> Result<(), RunError> {
        Ok(self.journal.append(Timestamp::now(), RecordKind::RunFinished)?)
    }
}

/// Carries out the steps of `run` in order, under the fence and the journal in `folder`. The last event is
/// [`EventKind::RunEnded`], whatever happens.
pub fn run(run: Run<'_>, host: &dyn Host, folder: &Path, events: &dyn Fn(Event)) -> Result<(), RunError> {
    events(now(EventKind::RunStarted { steps: run.request.steps.len() }));
    let admit = || {
        let admitted = admission::admit(host, run.site_root, run.release)?;
        let source = match (run.store, &run.request.registry) {
            (Some(folder), _) => Some(Source::Store(StoreCopy::open(folder)?)),
            (None, Some(registry)) => Some(Source::Registry(Client::new(registry)?)),
            (None, None) => None,
        };
        Ok((admitted, source))
    };
    let result = carry_out((run.request, run.secrets), host, folder, events, admit);
    events(now(EventKind::RunEnded { error: result.as_ref().err().map(RunError::failure) }));
    result
}

fn carry_out(
    (request, secrets): (&RunRequest, &Secrets),
    host: &dyn Host,
    folder: &Path,
    events: &dyn Fn(Event),
    admit: impl FnOnce() -> Result<(BTreeSet<Digest>, Option<Source>), RunError>,
) -> Result<(), RunError> {
    let mut begun = Begun::begin(request, folder)?;
    let (admitted, source) = admit()?;
    let journal = &mut begun.journal;
    let mut steps = Steps { host, source: source.as_ref(), admitted: &admitted, secrets, journal, events };
    for step in &request.steps {
        steps.carry_out(step)?;
    }
    begun.finish()
}

struct Steps<'a> {
    host: &'a dyn Host,
    source: Option<&'a Source>,
    admitted: &'a BTreeSet<Digest>,
    secrets: &'a Secrets,
    journal: &'a mut Journal,
    events: &'a dyn Fn(Event),
}

impl Steps<'_> {
    fn carry_out(&mut self, step: &Step) -> Result<(), RunError> {
        let started = Instant::now();
        let changed = self.attempt(step);
        match changed {
            Ok(changed) => {
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.tell(EventKind::StepDone { step: step.id.clone(), changed, duration_ms });
                Ok(())
            }
            Err(error) => {
                self.tell(EventKind::StepFailed { step: step.id.clone(), error: error.failure() });
                let error_text = error.failure().message;
                // The error itself counts for more than that the journal could not take it.
                let _ = self
                    .journal
                    .append(Timestamp::now(), RecordKind::Failed { step: step.id.clone(), error: error_text });
                Err(error)
            }
        }
    }

    fn attempt(&mut self, step: &Step) -> Result<bool, RunError> {
        let events = self.events;
        let progress = |message: &str| {
            events(now(EventKind::Progress { step: step.id.clone(), message: message.to_owned() }));
        };
        let context =
            Context { source: self.source, admitted: self.admitted, secrets: self.secrets, progress: &progress };
        let probe = step.probe(self.host, &context).map_err(failed(step))?;
        self.tell(EventKind::StepProbed { step: step.id.clone(), probe: probe.clone() });
        match probe {
            Probe::Done => return Ok(false),
            Probe::NotDone { .. } => {}
            Probe::Foreign { found } => return Err(failed(step)(StepError::Foreign { found })),
            Probe::Unknown { because } => return Err(failed(step)(StepError::Unknown { because })),
        }
        self.journal.append(Timestamp::now(), RecordKind::Intent { step: step.id.clone() })?;
        self.tell(EventKind::StepStarted { step: step.id.clone() });
        step.apply(self.host, &context).map_err(failed(step))?;
        step.verify(self.host, &context).map_err(failed(step))?;
        self.journal.append(Timestamp::now(), RecordKind::Done { step: step.id.clone() })?;
        Ok(true)
    }

    fn tell(&self, what: EventKind) {
        (self.events)(now(what));
    }
}

fn check(request: &RunRequest) -> Result<(), RunError> {
    format::NODE_RUN.check(&request.format).map_err(RunError::Format)?;
    let mut ids = BTreeSet::new();
    match request.steps.iter().find(|step| !ids.insert(&step.id)) {
        Some(step) => Err(RunError::Ambiguous(step.id.clone())),
        None => Ok(()),
    }
}

fn failed(step: &Step) -> impl FnOnce(StepError) -> RunError {
    let step = step.id.clone();
    move |source| RunError::Step { step, source: Box::new(source) }
}

fn now(what: EventKind) -> Event {
    Event { at: Timestamp::now(), what }
}
