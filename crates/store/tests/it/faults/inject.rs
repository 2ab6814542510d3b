//! The faults that a failpoint can bring: the process ends there, or the step fails.

use std::cell::Cell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

use sealock_store::failpoint;
use sealock_store::pushed::PushError;

use super::invariants::{hold, leaves_nothing};
use super::place::Place;
use super::told::{Client, Told};
use super::work::{self, Start, Work};
use crate::dying::came_to_its_end;

const WORK: &str = "SEALOCK_TEST_WORK";
const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const STEP: &str = "SEALOCK_TEST_STEP";

/// The file in which a process leaves what it was told.
pub(crate) const TOLD: &str = "told";

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The process ends before the step, as by SIGKILL.
    Kill,
    /// No room is left.
    DiskFull,
    /// The disk fails.
    Eio,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::DiskFull, Self::Eio];

    fn error(self) -> io::Error {
        let errno = if self == Self::Eio { rustix::io::Errno::IO } else { rustix::io::Errno::NOSPC };
        errno.into()
    }
}

/// What a hook says to the step of that name, which is the how-manieth of all.
type Say = Box<dyn Fn(&'static str, usize) -> io::Result<()> + Send + Sync>;

/// Installs `say` for every step of this thread, and what the work's disk does in any case.
fn at_each_step(work: Work, say: Say) {
    let (all, of_its_name) = (AtomicUsize::new(0), AtomicUsize::new(0));
    failpoint::set_shared(Arc::new(move |step| {
        say(step, all.fetch_add(1, Ordering::SeqCst))?;
        match work.full {
            Some((name, before)) if name == step && of_its_name.fetch_add(1, Ordering::SeqCst) == before => {
                Err(Fault::DiskFull.error())
            }
            _ => Ok(()),
        }
    }));
}

fn without_faults() {
    failpoint::set_shared(Arc::new(|_| Ok(())));
}

/// The name of each step of the work, in order.
pub(crate) fn steps(start: &Start) -> Vec<&'static str> {
    let folder = start.copy();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    let note = move |step, _| {
        seen.lock().unwrap().push(step);
        Ok(())
    };
    at_each_step(start.work, Box::new(note));
    let result = (start.work.run)(&Place::new(folder.path()), &mut Client::new(&mut |_| {}));
    without_faults();
    assert!(result.is_ok() || start.work.full.is_some(), "{}: {result:?}", start.work.name);
    let steps = steps.lock().unwrap();
    steps.clone()
}

/// Brings `fault` at a step of the work, and answers what does not hold.
pub(crate) fn bring(start: &Start, (fault, step, name): (Fault, usize, &str), shape: &[String]) -> Result<(), String> {
    let folder = start.copy();
    let at = format!("{}: {fault:?} at step {step}, {name}", start.work.name);
    quietly(&at, || {
        let place = Place::new(folder.path());
        let mut told = start.told();
        match fault {
            Fault::Kill => kill(start.work, &place, step, &mut told),
            Fault::DiskFull | Fault::Eio => fail(start.work, &place, (fault, step, name), &mut told),
        }
        hold(&place, &told);
        start.do_again(&place, &mut told);
        hold(&place, &told);
        leaves_nothing(&place);
        assert_eq!(place.shape(), shape, "I5: something is missing, or left over");
    })
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does something, and answers how it panicked; says nothing of it, for it may have been meant to.
pub(crate) fn quietly(at: &str, act: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                usual(panic);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    IS_QUIET.set(false);
    without_faults();
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("{at}: {}", text.unwrap_or_default())
    })
}

fn kill(work: Work, place: &Place, step: usize, told: &mut Told) {
    let finished = came_to_its_end("faults::inject::in_a_process", &variables(work, &place.folder, step));
    assert!(!finished, "there is no such step");
    let heard = std::fs::read_to_string(place.folder.join(TOLD)).unwrap();
    heard.lines().for_each(|line| told.hear(line));
}

fn fail(work: Work, place: &Place, (fault, step, name): (Fault, usize, &str), told: &mut Told) {
    let hit = Arc::new(AtomicBool::new(false));
    let seen = hit.clone();
    let say = move |_: &str, number| {
        if number != step {
            return Ok(());
        }
        seen.store(true, Ordering::SeqCst);
        Err(fault.error())
    };
    at_each_step(work, Box::new(say));
    let mut hear = |line: &str| told.hear(line);
    let result = (work.run)(place, &mut Client::new(&mut hear));
    without_faults();
    assert!(hit.load(Ordering::SeqCst), "there is no such step");
    match result {
        Err(error) => assert_is_of_the_disk(&error),
        // Steps that only tidy up, and the index, may fail without a word, and where room is kept, all is written anew there. What
        // makes durable may not fail.
        Ok(()) => assert!(
            fault == Fault::DiskFull || !name.starts_with("sync"),
            "a sync failed, and the work was acknowledged"
        ),
    }
}

fn assert_is_of_the_disk(error: &PushError) {
    assert!(error.is_environment() && !error.is_refusal(), "{error:?}");
}

/// The variables by which another process does a work, and ends at a step.
pub(crate) fn variables(work: Work, folder: &Path, step: usize) -> [(&'static str, String); 3] {
    [(WORK, work.name.to_owned()), (FOLDER, folder.to_str().unwrap().to_owned()), (STEP, step.to_string())]
}

#[test]
#[ignore = "started in a process of its own by those who end it, or watch it"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn in_a_process() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let (work, at_step): (_, usize) = (work::named(&variable(WORK)), variable(STEP).parse().unwrap());
    let place = Place::new(Path::new(&variable(FOLDER)));
    let mut told = std::fs::File::create(place.folder.join(TOLD)).unwrap();
    let mut hear = |line: &str| told.write_all(format!("{line}\n").as_bytes()).unwrap();
    let say = move |_: &str, number| {
        if number == at_step {
            // Like SIGKILL: no destructor runs.
            std::process::abort();
        }
        Ok(())
    };
    at_each_step(work, Box::new(say));
    let mut client = Client::new(&mut hear);
    let result = (work.run)(&place, &mut client);
    // A client asks again; where the disk fails again, too, it has been told of nothing.
    if result.is_err() {
        without_faults();
        (work.run)(&place, &mut client).unwrap_or_else(|error| assert_is_of_the_disk(&error));
    }
}
