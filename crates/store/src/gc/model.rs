//! The protocol explored: every order of uploads, mounts, HEADs, manifests, deletes, runs of the collector and crashes.

use std::hash::Hash;

use stateright::{Checker, Model, Property};

use super::protocol::{Condemned, Protocol, Terms, Tick};

const TERMS: Terms = Terms { lease: 2, grace: 1 };

/// The model's clock stops here: long enough for a promise to be made, to end, and for garbage to go twice.
const LAST_TICK: Tick = 6;

/// The one blob that everything is about: all rules look at one blob at a time.
const BLOB: u8 = 0;

/// A rule that is left out, to see that the checker would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// None: the protocol as it is.
    None,
    /// Neither condemning nor deleting looks at leases and pins. Where one of them does, the other is a backstop.
    LooksAtNoPromise,
    /// Promises and pins take back no condemnation, and end before the mark's word is used.
    CondemnationStays,
    /// A start trusts that nobody was promised anything before it.
    StartWaitsForNothing,
    /// One mark is enough.
    OneMark,
    /// A manifest is recorded without pinning what it names.
    ManifestPinsNothing,
}

/// What a run of the collector is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    epoch: u64,
    /// What the mark found; an edge that is made later is not in it.
    reachable: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: Tick,
    /// On disk: the blob, and a manifest that needs it.
    exists: bool,
    edge: bool,
    /// In memory.
    protocol: Protocol<u8>,
    epoch: u64,
    run: Option<Run>,
    /// A manifest's upload has seen its child, and is being recorded.
    recording: bool,
    /// What a client was told, and nobody can take back: crashes do not change it.
    promised_until: Tick,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    FinishUpload,
    /// Answers 200, or mounts.
    Head,
    BeginManifest,
    RecordManifest,
    DeleteManifest,
    Begin,
    Mark,
    Condemn,
    Delete,
    Wait,
    Crash,
}

#[derive(Clone, Debug)]
struct Collector(Mutant);

impl Collector {
    fn promise(&self, state: &mut State) {
        self.rely(state, |protocol, now| protocol.promise(&BLOB, now, TERMS));
        state.promised_until = state.now + TERMS.lease;
    }

    fn rely(&self, state: &mut State, how: impl Fn(&mut Protocol<u8>, Tick)) {
        let condemned = state.protocol.condemned(&BLOB);
        how(&mut state.protocol, state.now);
        if let (Mutant::CondemnationStays, Some(condemned)) = (self.0, condemned) {
            state.protocol.recall(BLOB, condemned);
        }
    }

    fn may_delete(&self, state: &State, epoch: u64) -> bool {
        let condemned = state.protocol.condemned(&BLOB);
        let has_waited = condemned.is_some_and(|condemned| state.now >= condemned.since + TERMS.grace);
        let is_older = condemned.is_some_and(|condemned| condemned.epoch < epoch);
        match self.0 {
            Mutant::LooksAtNoPromise => has_waited && is_older,
            Mutant::OneMark => has_waited && !state.protocol.is_promised(&BLOB, state.now),
            _ => state.protocol.may_delete(&BLOB, epoch, state.now, TERMS),
        }
    }

    fn crash(&self, state: &mut State) {
        let started = match self.0 {
            Mutant::StartWaitsForNothing => 0,
            _ => state.now,
        };
        state.protocol = Protocol::new(started);
        (state.epoch, state.run, state.recording) = (0, None, false);
        state.crashes += 1;
    }

    /// What the collector does with the word of its mark.
    fn use_mark(&self, state: &mut State, is_second: bool) {
        let Some(run) = state.run.clone() else { return };
        match run.reachable {
            Some(true) => state.protocol.pardon(&BLOB),
            Some(false) if is_second && self.may_delete(state, run.epoch) => {
                state.exists = false;
                state.protocol.forget(&BLOB);
            }
            Some(false) if !is_second && self.0 == Mutant::LooksAtNoPromise => {
                let condemned = Condemned { epoch: run.epoch, since: state.now };
                state.protocol.recall(BLOB, state.protocol.condemned(&BLOB).unwrap_or(condemned));
            }
            Some(false) if !is_second => {
                state.protocol.condemn(&BLOB, run.epoch, state.now);
            }
            _ => {}
        }
    }

    /// Whether the blob goes once everybody leaves it alone: two runs, each a lease and a grace after the other.
    fn garbage_goes(&self, state: &State) -> bool {
        let mut state = state.clone();
        if state.recording {
            state.protocol.unpin(&BLOB, state.now, TERMS);
        }
        for _ in 0..3 {
            state.now += TERMS.lease + TERMS.grace;
            state.epoch += 1;
            state.run = Some(Run { epoch: state.epoch, reachable: Some(state.edge) });
            self.use_mark(&mut state, false);
            self.use_mark(&mut state, true);
        }
        !state.exists
    }
}

impl Model for Collector {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let protocol = Protocol::new(0);
        vec![State {
            now: 0,
            exists: false,
            edge: false,
            protocol,
            epoch: 0,
            run: None,
            recording: false,
            promised_until: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let marked = state.run.as_ref().is_some_and(|run| run.reachable.is_some());
        let possible = [
            (Action::FinishUpload, true),
            (Action::Head, state.exists),
            (Action::BeginManifest, state.exists && !state.recording && !state.edge),
            (Action::RecordManifest, state.recording),
            (Action::DeleteManifest, state.edge),
            (Action::Begin, state.epoch < 4),
            (Action::Mark, state.run.is_some() && !marked),
            (Action::Condemn, marked && state.exists),
            (Action::Delete, marked && state.exists),
            (Action::Wait, state.now < LAST_TICK),
            (Action::Crash, state.crashes < 2),
        ];
        actions.extend(possible.into_iter().filter(|(_, is)| *is).map(|(action, _)| action));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::FinishUpload => {
                state.exists = true;
                self.promise(&mut state);
            }
            Action::Head => self.promise(&mut state),
            Action::BeginManifest => {
                state.recording = true;
                if self.0 != Mutant::ManifestPinsNothing {
                    self.rely(&mut state, |protocol, _| protocol.pin(&BLOB));
                }
            }
            Action::RecordManifest => {
                (state.recording, state.edge) = (false, true);
                if self.0 != Mutant::ManifestPinsNothing {
                    self.rely(&mut state, |protocol, now| protocol.unpin(&BLOB, now, TERMS));
                }
            }
            Action::DeleteManifest => state.edge = false,
            Action::Begin => {
                state.epoch += 1;
                state.run = Some(Run { epoch: state.epoch, reachable: None });
            }
            Action::Mark => state.run = state.run.map(|run| Run { reachable: Some(state.edge), ..run }),
            Action::Condemn => self.use_mark(&mut state, false),
            Action::Delete => self.use_mark(&mut state, true),
            Action::Wait => state.now += 1,
            Action::Crash => self.crash(&mut state),
        }
        state.protocol.tidy(state.now);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what a reply promised is there", |_: &Self, state: &State| {
                state.exists || state.now >= state.promised_until
            }),
            Property::always("what a manifest needs is there", |_: &Self, state: &State| state.exists || !state.edge),
            Property::always("garbage goes in the end", |model: &Self, state: &State| {
                state.edge || model.garbage_goes(state)
            }),
            Property::sometimes("a blob is deleted", |_: &Self, state: &State| !state.exists && state.epoch > 1),
            Property::sometimes("a condemned blob is saved", |_: &Self, state: &State| {
                state.edge && state.protocol.condemned(&BLOB).is_none() && state.epoch > 1
            }),
        ]
    }
}

fn explore(mutant: Mutant) -> impl Checker<Collector> {
    Collector(mutant).checker().spawn_bfs().join()
}

#[test]
fn nothing_that_was_promised_or_is_needed_is_deleted_and_garbage_goes() {
    let checker = explore(Mutant::None);
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "only {} states", checker.unique_state_count());
}

#[test]
fn the_checker_notices_each_rule_that_is_left_out() {
    let broken = [
        (Mutant::LooksAtNoPromise, "what a manifest needs is there"),
        (Mutant::CondemnationStays, "what a manifest needs is there"),
        (Mutant::StartWaitsForNothing, "what a reply promised is there"),
        (Mutant::OneMark, "what a manifest needs is there"),
        (Mutant::ManifestPinsNothing, "what a manifest needs is there"),
    ];
    for (mutant, property) in broken {
        let checker = explore(mutant);
        assert!(checker.discovery(property).is_some(), "{mutant:?} was not noticed");
    }
}
