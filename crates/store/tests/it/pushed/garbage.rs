//! The garbage collector where something was pushed: what is held stays, what nobody came for goes.

use std::cell::Cell;
use std::sync::Arc;

use sealock_store::Bound;
use sealock_store::gc::{Collector, Guard, Offline, Outcome, Request};
use sealock_store::pushed::{Moment, Pushed};
use sealock_trust::{FileKey, KeySet, Scheme, Signer};

use super::support::*;

/// A server's part: one guard for promises and for the collector, and its clock.
struct Keeper {
    world: World,
    guard: Arc<Guard>,
    pushed: Pushed,
    keys: KeySet,
    now: Cell<u64>,
}

impl Keeper {
    fn new() -> Self {
        let (world, guard) = (World::new(), guard());
        let pushed = Pushed::open(&world.store(), &settings(), guard.clone(), moment()).unwrap();
        let key = FileKey::generate(Scheme::Ed25519).unwrap();
        Self { world, guard, pushed, keys: KeySet::new([key.public_key().clone()], 1).unwrap(), now: Cell::new(0) }
    }

    fn moment(&self) -> Moment {
        Moment { ticks: self.now.get(), ..moment() }
    }

    /// Lets go, and collects, so many seconds after the server began.
    fn collect_at(&self, seconds: u64) -> Outcome {
        self.now.set(seconds);
        self.pushed.let_go(self.moment()).unwrap();
        let bound = Bound::new();
        let snapshot = || self.pushed.snapshot();
        let request = Request { pushed: Some(&snapshot), ..Request::new(&self.keys, None, &bound) };
        let clock = || self.now.get();
        let store = self.world.store();
        let collector = Collector {
            store: &store,
            guard: &self.guard,
            clock: &clock,
            grace: 3600,
            at: moment().wall,
            stop: &|| false,
        };
        let outcome = collector.collect(&request).unwrap();
        assert!(outcome.plan.doubts.is_empty(), "{:?}", outcome.plan.doubts);
        outcome
    }
}

#[test]
fn a_blob_that_no_manifest_came_for_goes_after_its_promise_and_the_grace() {
    let keeper = Keeper::new();
    let (store, pushed) = (keeper.world.store(), &keeper.pushed);
    let used = blob(pushed, "a", b"layer").unwrap();
    let waiting = blob(pushed, "a", b"never used").unwrap();
    pushed.put_manifest(put("a", &manifest_of(&[b"layer"], None), &["1"]), WHO, moment()).unwrap();

    assert_eq!(keeper.collect_at(3599).condemned.blobs, 0, "it is promised");
    assert!(pushed.snapshot().repository("a").unwrap().blob(&waiting).is_some());
    assert_eq!(keeper.collect_at(3600).condemned.blobs, 1);
    assert!(pushed.snapshot().repository("a").unwrap().blob(&waiting).is_none(), "the repository let it go");
    assert_eq!(keeper.collect_at(7199).deleted.blobs, 0, "the grace");
    assert_eq!(keeper.collect_at(7200).deleted.blobs, 1);
    assert!(!store.has_blob(&waiting).unwrap() && store.has_blob(&used).unwrap());
    check(&store, &pushed.snapshot());
}

#[test]
fn what_is_promised_again_stays_and_a_mount_takes_a_condemnation_back() {
    let keeper = Keeper::new();
    let (store, pushed) = (keeper.world.store(), &keeper.pushed);
    let layer = blob(pushed, "a", b"layer").unwrap();
    keeper.now.set(3599);
    assert!(pushed.promise(&layer, keeper.moment(), || true).unwrap());
    assert_eq!(keeper.collect_at(7198).condemned.blobs, 0);
    assert_eq!(keeper.collect_at(7199).condemned.blobs, 1);
    assert!(!pushed.promise(&layer, keeper.moment(), || false).unwrap(), "no repository offers it");
    pushed.mount(("b", WHO), &layer, "a", keeper.moment()).unwrap();
    assert_eq!(keeper.collect_at(7199 + 3599).deleted.blobs, 0);
    assert!(store.has_blob(&layer).unwrap());
    pushed.put_manifest(put("b", &manifest_of(&[b"layer"], None), &["1"]), WHO, keeper.moment()).unwrap();
    for run in 1..=4 {
        assert_eq!(keeper.collect_at(7199 + run * 7200).deleted.blobs, 0);
    }
    check(&store, &pushed.snapshot());
}

#[test]
fn a_deleted_manifest_takes_along_what_only_it_led_to() {
    let keeper = Keeper::new();
    let (store, pushed) = (keeper.world.store(), &keeper.pushed);
    let layer = blob(pushed, "a", b"layer").unwrap();
    let bytes = manifest_of(&[b"layer"], None);
    let manifest = put("a", &bytes, &["1"]).manifest.digest.clone();
    pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    pushed.delete_manifest(("a", WHO), &manifest, moment()).unwrap();
    assert_eq!(keeper.collect_at(3600).condemned.blobs, 2);
    assert_eq!(keeper.collect_at(7200).deleted.blobs, 2);
    assert!(!store.has_blob(&layer).unwrap() && !store.has_blob(&manifest).unwrap());
}

#[test]
fn whoever_collects_without_a_server_reads_the_log() {
    let keeper = Keeper::new();
    let layer = blob(&keeper.pushed, "a", b"layer").unwrap();
    let bytes = manifest_of(&[b"layer"], None);
    keeper.pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    let Keeper { world, keys, pushed, .. } = keeper;
    drop(pushed);
    let (store, bound) = (world.store(), Bound::new());
    for seconds in [0, 10_000, 20_000] {
        let terms = guard().terms();
        let at = sealock_store::gc::Moment { boot: "0f".into(), seconds };
        let offline = Offline::begin(&store, terms, at).unwrap();
        let clock = || offline.now();
        let (at, stop) = (moment().wall, &|| false);
        let collector = Collector { store: &store, guard: offline.guard(), clock: &clock, grace: 3600, at, stop };
        let outcome = collector.collect(&Request::new(&keys, None, &bound)).unwrap();
        assert_eq!((outcome.condemned.blobs, outcome.plan.kept.blobs), (0, 2), "{:?}", outcome.plan);
        offline.save().unwrap();
    }
    assert!(store.has_blob(&layer).unwrap());
}
