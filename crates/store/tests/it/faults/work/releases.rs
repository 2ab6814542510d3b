//! What is done to releases.

use std::fs::OpenOptions;
use std::io::Write;

use sealock_store::{Release, failpoint};

use super::{Outcome, PLAIN, Work};
use crate::faults::place::Place;
use crate::faults::told::{Client, NOTHING};
use crate::site::at;

pub(super) const WORKS: &[Work] = &[
    Work { name: "first import", run: |place, client| Ok(place.import(1, client)?), ..PLAIN },
    Work { name: "import", prepare: one, run: |place, client| Ok(place.import(2, client)?), ..PLAIN },
    Work { name: "settle an import", prepare: cut_off, run: settle, ..PLAIN },
    Work { name: "release rollback", prepare: two, run: rollback, ..PLAIN },
    Work { name: "release unhold", prepare: rolled_back, run: unhold, ..PLAIN },
    Work { name: "release retire", prepare: two, run: retire, ..PLAIN },
    Work { name: "retire after a cut", prepare: torn, run: retire, ..PLAIN },
    Work { name: "release pin", prepare: two, run: |place, client| pin(place, true, client), ..PLAIN },
    Work { name: "release unpin", prepare: pinned, run: |place, client| pin(place, false, client), ..PLAIN },
];

fn one(place: &Place, client: &mut Client<'_>) {
    place.import(1, client).unwrap();
}

pub(super) fn two(place: &Place, client: &mut Client<'_>) {
    one(place, client);
    place.import(2, client).unwrap();
}

fn rolled_back(place: &Place, client: &mut Client<'_>) {
    two(place, client);
    rollback(place, client).unwrap();
}

fn pinned(place: &Place, client: &mut Client<'_>) {
    two(place, client);
    pin(place, true, client).unwrap();
}

/// With half a line in the log, as a power loss leaves it.
fn torn(place: &Place, client: &mut Client<'_>) {
    two(place, client);
    let log = place.site.store.join("operations.log");
    let half = b"{\"at\":\"2026-09-21T14:13:20Z\",\"operation\":\"pin\"";
    OpenOptions::new().append(true).open(log).unwrap().write_all(half).unwrap();
}

/// An import that ended right before its release became current, with a file half written.
fn cut_off(place: &Place, client: &mut Client<'_>) {
    one(place, client);
    failpoint::set(|step| if step == "symlink" { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) });
    place.import(2, &mut Client::new(&mut |_| {})).unwrap_err();
    failpoint::set(|_| Ok(()));
    std::fs::write(place.site.store.join("releases/2.json.tmp"), "half").unwrap();
}

/// Whoever takes the lock settles it; then the import is done once more, so that the end is the same each time.
fn settle(place: &Place, client: &mut Client<'_>) -> Outcome {
    drop(place.store().lock()?);
    Ok(place.import(2, client)?)
}

fn rollback(place: &Place, client: &mut Client<'_>) -> Outcome {
    let store = place.store();
    let lock = store.lock()?;
    let (current, first) =
        (store.release(store.current_number()?.unwrap(), &place.site.keys())?, place.release(1).unwrap());
    if current.release.number == 2 {
        client.changes("current");
        store.check_whole(&first.release)?;
        let published = lock.publish(Release::back_to(&current, &first.release, at(10)), None, &place.site.key)?;
        place.tell(&published, client);
    }
    Ok(())
}

fn unhold(place: &Place, client: &mut Client<'_>) -> Outcome {
    let (store, keys) = (place.store(), place.site.keys());
    let lock = store.lock()?;
    let current = store.current_release(&keys)?.unwrap();
    if current.release.number == 3 {
        client.changes("current");
        let (from, selection) = store.newest_of_stream("base", &keys)?.unwrap();
        let next = Release::without_hold(&current, &from.release, &selection, at(11))?;
        store.check_whole(&next)?;
        place.tell(&lock.publish(next, None, &place.site.key)?, client);
    }
    Ok(())
}

fn retire(place: &Place, client: &mut Client<'_>) -> Outcome {
    client.changes("retired 1");
    place.store().lock()?.retire(1, at(10))?;
    client.knows("retired 1", "yes");
    Ok(())
}

fn pin(place: &Place, pinned: bool, client: &mut Client<'_>) -> Outcome {
    client.changes("pinned 1");
    place.store().lock()?.pin(1, pinned, at(10))?;
    client.knows("pinned 1", if pinned { "yes" } else { NOTHING });
    Ok(())
}
