//! What holds of every store, whatever happened to its writers (research/registry.md §8).
//!
//! - I1: what was acknowledged is there. I3: what a tag or a release names is there, whole.
//! - I5: what was not finished is not to be seen, and leaves nothing behind once it is given up.
//! - I8: the index is what the log leads to. I9: the logs are chains without a gap, and a tag's generation is the one that was told.

use std::ops::ControlFlow;

use sealock_store::Bound;
use sealock_store::gc::Request;
use sealock_store::pushed::{Pushed, Record};

use super::place::Place;
use super::told::Told;
use crate::pushed::support::{check, later, listing};

/// As the table says it.
pub(crate) const HELD: &str = "I1 I3 I5 I8 I9";

/// Opens what is in the folder of `place` as a server would, and panics where something does not hold.
pub(crate) fn hold(place: &Place, told: &Told) {
    if !place.site.store.join("format").exists() {
        assert!(told.is_nothing(), "I1: the store is gone");
        return;
    }
    // Whoever takes the lock settles what was cut off.
    drop(place.store().lock().unwrap_or_else(|error| panic!("I1: the store does not open: {error:?}")));
    let is_pushed = place.site.store.join("pushed").exists() || told.is_pushed();
    let pushed = is_pushed.then(|| open(place));
    told.check(place, pushed.as_ref());
    releases(place, told);
    if let Some(pushed) = pushed {
        check_pushed(place, pushed);
    }
}

fn open(place: &Place) -> Pushed {
    place.open().unwrap_or_else(|error| panic!("I1: pushed content does not open: {error:?}"))
}

/// I3, and I8 and I9 of the operation log.
fn releases(place: &Place, told: &Told) {
    let (store, keys, bound) = (place.store(), place.site.keys(), Bound::new());
    let plan = store.plan(&Request::new(&keys, None, &bound)).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    let mut findings = store.check(&keys, &plan, Some(&mut go_on)).unwrap().findings;
    // What was made to rot, or is to be, may be missing.
    findings.retain(|finding| !told.about_blobs().any(|digest| finding.contains(digest) && told.may_lack(digest)));
    assert_eq!(findings, [] as [String; 0], "I3, I8, I9");
    store.operations().unwrap_or_else(|error| panic!("I9: {error:?}"));
}

/// I3, I8 and I9 of what was pushed: with the index as it is, and without it.
fn check_pushed(place: &Place, pushed: Pushed) {
    check(&place.store(), &pushed.snapshot());
    let with_index = listing(&pushed.snapshot());
    drop(pushed);
    let mut number = 0;
    let each = |record: Record| {
        number += 1;
        assert_eq!(record.number, number, "I9");
    };
    place.store().pushed_records(each).unwrap_or_else(|error| panic!("I9: {error:?}"));
    place.store().forget_pushed_index().unwrap();
    assert_eq!(listing(&open(place).snapshot()), with_index, "I8: the index was not what the log leads to");
}

/// I5: what was not finished was not to be seen, and is gone once it is given up.
pub(crate) fn leaves_nothing(place: &Place) {
    if !place.site.store.join("pushed").exists() {
        return;
    }
    let pushed = open(place);
    let before = listing(&pushed.snapshot());
    pushed.expire_uploads(later(48)).unwrap();
    assert_eq!(listing(&pushed.snapshot()), before, "I5: an upload that was not finished was seen");
    assert_eq!(pushed.open_uploads(), 0, "I5");
}
