//! The guard under a scheduler that tries out orders of threads: pushes, mounts, HEADs, deletes of manifests, and the collector.

use std::collections::BTreeSet;
use std::sync::Arc;

use sealock_trust::Digest;
use shuttle::Runner;
use shuttle::scheduler::PctScheduler;
use shuttle::sync::Mutex;
use shuttle::thread;

use super::guard::{Guard, Run};
use super::protocol::Terms;

/// Time stands still, so that no promise ever ends.
const NOW: u64 = 100;

/// Orders of threads that are tried out.
const SCHEDULES: usize = 3_000;

/// Where the orders begin that look for a known fault.
const SEED: u64 = 7;

/// Leases that outlast the test; the condemned wait for nothing.
const TERMS: Terms = Terms { lease: 10, grace: 0 };

/// A store of blobs, and the manifests that need them.
struct Scene {
    guard: Guard,
    blobs: Mutex<BTreeSet<Digest>>,
    edges: Mutex<BTreeSet<Digest>>,
    /// What somebody was told.
    promised: Mutex<BTreeSet<Digest>>,
}

/// How the collector deletes.
#[derive(Clone, Copy, PartialEq)]
enum Deleting {
    AsItShould,
    /// Looks whether the blob may go, lets the stripe go, and removes the blob then.
    LooksBefore,
}

/// How a reply is made.
#[derive(Clone, Copy, PartialEq)]
enum Replying {
    AsItShould,
    /// Sees the blob, and promises it later.
    LooksBefore,
}

impl Scene {
    fn new() -> Arc<Self> {
        // A process that began a lease ago, so that it knows every promise.
        let guard = Guard::new(TERMS, NOW - TERMS.lease);
        let blobs = Mutex::new([blob(1), blob(2)].into());
        Arc::new(Self { guard, blobs, edges: Mutex::new(BTreeSet::new()), promised: Mutex::new(BTreeSet::new()) })
    }

    fn has(&self, digest: &Digest) -> Option<()> {
        self.blobs.lock().unwrap().contains(digest).then_some(())
    }

    fn head(&self, digest: &Digest, replying: Replying) -> bool {
        let found = match replying {
            Replying::AsItShould => self.guard.promise(digest, NOW, || self.has(digest)).is_some(),
            Replying::LooksBefore => {
                self.has(digest).is_some() && self.guard.promise(digest, NOW, || Some(())).is_some()
            }
        };
        if found {
            self.promised.lock().unwrap().insert(digest.clone());
        }
        found
    }

    fn upload(&self, digest: &Digest) {
        let finish = || {
            self.blobs.lock().unwrap().insert(digest.clone());
            Some(())
        };
        self.guard.promise(digest, NOW, finish);
        self.promised.lock().unwrap().insert(digest.clone());
    }

    /// Whether the manifest was taken: its child must be there.
    fn put_manifest(&self, child: &Digest) -> bool {
        let Some(((), pin)) = self.guard.pin(child, || self.has(child)) else { return false };
        thread::yield_now();
        self.edges.lock().unwrap().insert(child.clone());
        self.guard.unpin(pin, NOW);
        true
    }

    fn collect(&self, deleting: Deleting) {
        let epoch = self.guard.begin();
        let run = Run { epoch, now: NOW, grace: TERMS.grace };
        let marked = self.edges.lock().unwrap().clone();
        let garbage: Vec<_> =
            self.blobs.lock().unwrap().iter().filter(|blob| !marked.contains(blob)).cloned().collect();
        self.guard.pardon(|blob| marked.contains(blob), NOW);
        for digest in &garbage {
            let unlink = || {
                self.blobs.lock().unwrap().remove(digest);
                Ok::<(), ()>(())
            };
            match deleting {
                Deleting::AsItShould => {
                    self.guard.delete(digest, run, unlink).unwrap();
                }
                Deleting::LooksBefore if self.guard.may_delete(digest, run) => unlink().unwrap(),
                Deleting::LooksBefore => {}
            }
            self.guard.condemn(digest, epoch, NOW);
        }
    }

    fn check(&self) {
        let blobs = self.blobs.lock().unwrap();
        for digest in self.promised.lock().unwrap().iter() {
            assert!(blobs.contains(digest), "a blob that was promised is gone");
        }
        for digest in self.edges.lock().unwrap().iter() {
            assert!(blobs.contains(digest), "a blob that a manifest needs is gone");
        }
    }
}

fn blob(number: u8) -> Digest {
    Digest::sha256(&[number])
}

/// One push beside the collector, or two: with few threads the scheduler comes upon more orders.
fn race(deleting: Deleting, replying: Replying, with_others: bool) {
    let scene = Scene::new();
    let run = |work: fn(&Scene, Replying)| {
        let scene = scene.clone();
        thread::spawn(move || work(&scene, replying))
    };
    let mut threads = vec![run(|scene, replying| {
        scene.head(&blob(1), replying);
    })];
    if with_others {
        threads.push(run(|scene, replying| {
            if scene.head(&blob(2), replying) {
                assert!(scene.put_manifest(&blob(2)), "blob unknown after a 200");
                scene.edges.lock().unwrap().remove(&blob(2));
            }
            scene.upload(&blob(2));
            assert!(scene.put_manifest(&blob(2)), "blob unknown after a 201");
        }));
    }
    let collector = {
        let scene = scene.clone();
        thread::spawn(move || (0..3).for_each(|_| scene.collect(deleting)))
    };
    for thread in threads.into_iter().chain([collector]) {
        thread.join().unwrap();
    }
    scene.check();
}

#[test]
fn no_order_of_threads_deletes_what_was_promised() {
    for with_others in [false, true] {
        shuttle::check_random(move || race(Deleting::AsItShould, Replying::AsItShould, with_others), SCHEDULES);
        shuttle::check_pct(move || race(Deleting::AsItShould, Replying::AsItShould, with_others), SCHEDULES, 3);
    }
}

#[test]
#[should_panic(expected = "is gone")]
fn the_scheduler_notices_a_collector_that_looks_before_it_locks() {
    look_for_it(|| race(Deleting::LooksBefore, Replying::AsItShould, false));
}

#[test]
#[should_panic(expected = "is gone")]
fn the_scheduler_notices_a_reply_that_looks_before_it_locks() {
    look_for_it(|| race(Deleting::AsItShould, Replying::LooksBefore, false));
}

/// Until it is found; the same orders each time, so that luck is no part of it.
fn look_for_it(race: impl Fn() + Send + Sync + 'static) {
    let scheduler = PctScheduler::new_from_seed(SEED, 3, 20 * SCHEDULES);
    Runner::new(scheduler, shuttle::Config::new()).run(race);
}

/// What nobody was promised goes, whatever the order.
#[test]
fn two_runs_delete_what_nobody_wants() {
    let quiet = || {
        let scene = Scene::new();
        let pusher = {
            let scene = scene.clone();
            thread::spawn(move || scene.upload(&blob(2)))
        };
        let collector = {
            let scene = scene.clone();
            thread::spawn(move || (0..2).for_each(|_| scene.collect(Deleting::AsItShould)))
        };
        pusher.join().unwrap();
        collector.join().unwrap();
        assert!(scene.has(&blob(1)).is_none() && scene.has(&blob(2)).is_some());
    };
    shuttle::check_random(quiet, SCHEDULES);
}
