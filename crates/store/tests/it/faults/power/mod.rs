//! The power is cut: what was recorded of a work is turned into every kind of disk that it may leave, and each is opened again.
//!
//! `strace` records what a process asks of the kernel. For each moment of that, [`disk`] makes states in which all is lost that was
//! not synced, in which nothing is, and some between, by dice that fall the same way each time; `SEALOCK_CRASH_SAMPLES` says how many.

mod dice;
mod disk;
mod record;
mod trace;

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dice::Dice;
use disk::{Cut, Luck, State};
use record::{Event, Recording, Way, What, record};

use super::inject::{quietly, steps};
use super::invariants::{HELD, hold};
use super::place::{Place, scratch};
use super::side_by_side;
use super::told::Told;
use super::work::{self, Start};

/// What is recorded where nobody asks for more.
const USUAL: [&str; 9] = [
    "import",
    "release rollback",
    "release retire",
    "resume after a cut",
    "push in one piece",
    "push in chunks",
    "push a manifest",
    "delete",
    "collect",
];

/// Of so many states, one is gone on with until the work is done.
const GO_ON: usize = 8;

/// A work, and what was recorded of it.
struct Recorded {
    start: Start,
    recording: Recording,
}

/// How many states are made by dice for each moment, and whether somebody asked for as many.
#[expect(clippy::disallowed_methods, reason = "`make crash` asks for more")]
fn samples() -> (usize, bool) {
    let asked = std::env::var("SEALOCK_CRASH_SAMPLES").ok();
    (asked.as_ref().map_or(1, |count| count.parse().unwrap()), asked.is_some())
}

fn works() -> Vec<work::Work> {
    let is_wanted = |work: &work::Work| work.full.is_none() && (samples().1 || USUAL.contains(&work.name));
    let works: Vec<_> = work::all().into_iter().filter(is_wanted).collect();
    assert!(works.len() >= USUAL.len());
    works
}

fn recorded(work: work::Work, ways: &[Way]) -> Recorded {
    let start = Start::of(work);
    let folder = start.copy();
    let recording = record(work, folder.path(), ways);
    Recorded { start, recording }
}

impl Recorded {
    /// The moments in which something had just been done.
    fn moments(&self) -> Vec<usize> {
        let mut moments: Vec<usize> = self.recording.events.iter().map(|event| event.ended + 1).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// The moments in which somebody had just been told, and the end.
    fn told_moments(&self) -> Vec<usize> {
        let is_told = |event: &&Event| matches!(event.what, What::Told(_));
        let told = self.recording.events.iter().filter(is_told).map(|event| event.ended + 1);
        told.chain(self.moments().pop()).collect()
    }

    fn told(&self, cut: &Cut<'_>) -> Told {
        Told::of(&format!("{}{}", self.start.told, cut.told()))
    }

    /// Opens the store in that state; and goes on with the work where that is wanted.
    fn open(&self, state: &State, told: &Told, goes_on: bool) -> Result<(), String> {
        quietly(self.start.work.name, || {
            let folder = scratch();
            state.put(&self.recording, folder.path());
            let place = Place::new(folder.path());
            hold(&place, told);
            if goes_on {
                let mut told = told.clone();
                self.start.do_again(&place, &mut told);
                hold(&place, &told);
            }
        })
    }
}

#[test]
fn after_a_power_cut_at_any_moment_all_that_was_acknowledged_is_there() {
    let works = works();
    let all = Mutex::new(Vec::new());
    side_by_side(&works, |work| {
        let recorded = recorded(*work, &[Way::Whole]);
        all.lock().unwrap().push(recorded);
    });
    let mut all = all.into_inner().unwrap();
    all.sort_by_key(|recorded| recorded.start.work.name);
    let moments: Vec<(&Recorded, usize)> =
        all.iter().flat_map(|recorded| recorded.moments().into_iter().map(move |at| (recorded, at))).collect();
    let table = Mutex::new(BTreeMap::<&str, (usize, usize)>::new());
    let (seen, failures, states) = (Mutex::new(HashSet::new()), Mutex::new(Vec::new()), AtomicUsize::new(0));
    side_by_side(&moments, |(recorded, at)| {
        let name = recorded.start.work.name;
        let mut here = 0;
        for (luck, state, told) in states_at(recorded, *at) {
            let fingerprint = (name, state.fingerprint(&recorded.recording), format!("{told:?}"));
            if !seen.lock().unwrap().insert(fingerprint) {
                continue;
            }
            here += 1;
            let goes_on = states.fetch_add(1, Ordering::SeqCst) % GO_ON == 0;
            if let Err(failure) = recorded.open(&state, &told, goes_on) {
                failures.lock().unwrap().push(format!("{failure}\n  cut at line {at}, with {luck:?}"));
            }
        }
        let mut table = table.lock().unwrap();
        let row = table.entry(name).or_default();
        *row = (row.0 + 1, row.1 + here);
    });
    let failures = failures.into_inner().unwrap();
    println!("\n{:<22}  {:>7}  {:>7}  {:<8}  invariants", "power cut during", "moments", "states", "verdict");
    for (name, (moments, states)) in table.into_inner().unwrap() {
        let broken = failures.iter().filter(|failure| failure.starts_with(&format!("{name}: "))).count();
        let verdict = if broken == 0 { "hold".to_owned() } else { format!("{broken} BROKEN") };
        println!("{name:<22}  {moments:>7}  {states:>7}  {verdict:<8}  {HELD}");
    }
    assert!(failures.is_empty(), "{} states do not hold:\n{}", failures.len(), failures.join("\n"));
}

/// The states that are looked at for one moment, with what had been told by then.
fn states_at(recorded: &Recorded, at: usize) -> Vec<(Luck, State, Told)> {
    let cut = Cut::at(&recorded.recording, at);
    let mut dice = Dice::seeded(at as u64);
    let by_dice = std::iter::repeat_n(Luck::Some, samples().0);
    let lucks = Luck::EXTREMES.into_iter().chain(by_dice);
    lucks.map(|luck| (luck, cut.state(luck, &mut dice), recorded.told(&cut))).collect()
}

/// Without this sync, which the name tells, something that was acknowledged is lost.
const NEEDED: [(&str, &str); 10] = [
    ("push in one piece", "/store/blobs/sha256/[DIGEST]"),
    ("push in one piece", "/store/blobs/sha256"),
    ("push in one piece", "/store/pushed/log/00000000000000000001.log"),
    ("push in chunks", "/store/uploads/[ID]"),
    ("push a manifest", "/store/blobs/sha256"),
    ("delete", "/store/pushed/log/00000000000000000001.log"),
    ("release rollback", "/store/releases/3.json"),
    ("release rollback", "/store/releases"),
    ("release rollback", "/store"),
    ("release retire", "/store/operations.log"),
];

#[test]
fn a_sync_that_is_left_out_is_noticed() {
    let mut works: Vec<&str> = NEEDED.iter().map(|(work, _)| *work).collect();
    works.dedup();
    let (table, caught) = (Mutex::new(BTreeMap::new()), Mutex::new(HashSet::new()));
    side_by_side(&works, |name| {
        let whole = recorded(work::named(name), &[Way::Whole]);
        let names = whole.recording.names();
        for (number, event) in whole.recording.events.iter().enumerate() {
            let What::Sync { node, .. } = &event.what else { continue };
            let synced = steady(&names[node]);
            let less = Recorded { start: Start::of(whole.start.work), recording: whole.recording.without(number) };
            let is_caught = less.losses(&whole.start.told).any(|loss| loss.contains("I1: "));
            if is_caught {
                caught.lock().unwrap().insert(((*name).to_owned(), synced.clone()));
            }
            let mut table = table.lock().unwrap();
            let row: &mut (usize, usize) = table.entry((*name, synced)).or_default();
            *row = (row.0 + 1, row.1 + usize::from(is_caught));
        }
    });
    println!("\n{:<18}  {:<48}  {:>5}  {:>7}", "left out of", "the sync of", "times", "noticed");
    for ((work, synced), (times, noticed)) in table.into_inner().unwrap() {
        println!("{work:<18}  {synced:<48}  {times:>5}  {noticed:>7}");
    }
    let caught = caught.into_inner().unwrap();
    for (work, synced) in NEEDED {
        assert!(
            caught.contains(&(work.to_owned(), synced.to_owned())),
            "{work}: without the sync of {synced} all seems well"
        );
    }
}

impl Recorded {
    /// What does not hold in states without luck, whenever somebody had just been told.
    fn losses(&self, told_before: &str) -> impl Iterator<Item = String> {
        let without_luck = move |at| {
            let cut = Cut::at(&self.recording, at);
            let told = Told::of(&format!("{told_before}{}", cut.told()));
            [Luck::Nothing, Luck::Names, Luck::Bytes].map(|luck| {
                let state = cut.state(luck, &mut Dice::seeded(0));
                self.open(&state, &told, false).err()
            })
        };
        self.told_moments().into_iter().flat_map(without_luck).flatten()
    }
}

/// A name without what differs from run to run.
fn steady(name: &str) -> String {
    let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = name.split('/').map(|part| match part {
        part if is_hex(part, 64) => "[DIGEST]",
        part if is_hex(part, 32) => "[ID]",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// What is cut off, or fails, at a sync in these works where nobody asks for more.
const FAILING: [&str; 4] = ["import", "release retire", "push in chunks", "push a manifest"];

fn failing() -> Vec<&'static str> {
    if samples().1 { works().iter().map(|work| work.name).collect() } else { FAILING.to_vec() }
}

/// The kernel says once that bytes did not reach the disk, and then forgets them: whoever syncs again is told that all is well.
#[test]
fn a_sync_that_failed_is_never_taken_for_one_that_worked_later() {
    let calls = ["fsync", "fdatasync"];
    let cases: Vec<_> = failing().into_iter().flat_map(|name| calls.map(|call| (name, call))).collect();
    let (table, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    side_by_side(&cases, |(name, call)| {
        for number in 1.. {
            let inject = Way::Inject(format!("{call}:error=EIO:when={number}"));
            let recorded = recorded(work::named(name), &[inject, Way::Whole]);
            let failed = |event: &&Event| matches!(event.what, What::Sync { worked: false, .. });
            let Some(Event { what: What::Sync { node, .. }, .. }) = recorded.recording.events.iter().find(failed)
            else {
                // There are not so many.
                break;
            };
            let synced = steady(&recorded.recording.names()[node]);
            if let Some(failure) = recorded.losses(&recorded.start.told).next() {
                let failure = format!("{name}: {call} {number}, of {synced}, failed: {failure}");
                failures.lock().unwrap().push(failure);
            }
            *table.lock().unwrap().entry((*name, *call)).or_insert(0) += 1;
        }
    });
    println!("\n{}", shown("EIO during", &table.into_inner().unwrap()));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whoever comes after a killed process finds what that one has not synced, and must not build on it.
#[test]
fn what_a_killed_process_did_not_sync_the_next_one_does() {
    let names = failing();
    let starts: Vec<Start> = names.iter().map(|name| Start::of(work::named(name))).collect();
    let steps_of = |start| steps(start).into_iter().enumerate().filter(|(_, step)| step.starts_with("sync"));
    let cases: Vec<_> =
        starts.iter().flat_map(|start| steps_of(start).map(move |(step, at)| (start.work.name, step, at))).collect();
    let (table, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    side_by_side(&cases, |(name, step, at)| {
        let recorded = recorded(work::named(name), &[Way::Killed(*step), Way::Whole]);
        if let Some(failure) = recorded.losses(&recorded.start.told).next() {
            failures.lock().unwrap().push(format!("{name}: killed at step {step}, {at}: {failure}"));
        }
        *table.lock().unwrap().entry((*name, *at)).or_insert(0) += 1;
    });
    println!("\n{}", shown("killed, then cut", &table.into_inner().unwrap()));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn shown(title: &str, table: &BTreeMap<(&str, &str), usize>) -> String {
    let mut shown = format!("{title:<22}  {:<16}  {:>5}  verdict   invariants\n", "at", "times");
    for ((name, at), times) in table {
        shown.push_str(&format!("{name:<22}  {at:<16}  {times:>5}  hold      {HELD}\n"));
    }
    shown
}
