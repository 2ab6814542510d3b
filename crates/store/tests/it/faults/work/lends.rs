//! What is done to bundles that lend their blobs.

use sealock_trust::Digest;

use super::upkeep::{ROTTEN, collect, collect_all, scrub};
use super::{Outcome, PLAIN, Work};
use crate::faults::place::Place;
use crate::faults::told::Client;
use crate::loan::{Loan, migrate};
use crate::shelf::{Image, TERMS};

pub(super) const WORKS: &[Work] = &[
    Work { name: "import in place", prepare: given, run: |place, client| take_in(place, &second(), client), ..PLAIN },
    Work { name: "migrate", prepare: lent, run: |place, _| Ok(migrate(&place.shelf()).map(drop)?), ..PLAIN },
    Work { name: "scrub what is lent", prepare: rotten, run: scrub, ..PLAIN },
    Work {
        name: "collect what is lent",
        prepare: condemned,
        run: |place, client| collect(place, TERMS.grace, client),
        finish: collect_all,
        ..PLAIN
    },
];

fn first() -> Loan {
    Loan::of(1, &["shared", "only in 1"])
}

fn second() -> Loan {
    Loan::of(2, &["shared", "only in 2"])
}

/// The second bundle stands beside the store.
fn given(place: &Place, client: &mut Client<'_>) {
    place.import(1, client).unwrap();
    second().file(&place.shelf());
}

fn lent(place: &Place, client: &mut Client<'_>) {
    given(place, client);
    take_in(place, &second(), client).unwrap();
}

/// What the second bundle lends has rotted in it.
fn rotten(place: &Place, client: &mut Client<'_>) {
    lent(place, client);
    let content = Image::of(ROTTEN).layer;
    second().bundle.rot(&second().taken(&place.shelf()), &content);
    client.changes(&format!("stored {}", Digest::sha256(&content)));
}

/// The first bundle lends, and what only it has is condemned.
fn condemned(place: &Place, client: &mut Client<'_>) {
    first().file(&place.shelf());
    take_in(place, &first(), client).unwrap();
    (2..=3).for_each(|sequence| place.import(sequence, client).unwrap());
    // Release 1 is not retained: what only it needs may be there or not.
    let [layer, config, manifest] = Image::of("only in 1").digests();
    for digest in [layer, config, manifest, first().digest()] {
        client.changes(&format!("stored {digest}"));
    }
    collect(place, 0, client).unwrap();
}

/// As often as it takes: once the store has the bundle, and nothing is left to do, it is gone from where it was given.
fn take_in(place: &Place, loan: &Loan, client: &mut Client<'_>) -> Outcome {
    let shelf = place.shelf();
    let path = shelf.site.store.with_file_name(format!("bundle-{}.tar", loan.sequence));
    if path.exists() {
        client.changes("current");
        place.tell(&loan.take_in(&shelf, &path)?, client);
    } else {
        place.tell(&place.store().current_release(&place.site.keys())?.unwrap(), client);
    }
    loan.bundle.lent().for_each(|blob| client.knows(&format!("stored {}", Digest::sha256(blob)), "yes"));
    Ok(())
}
