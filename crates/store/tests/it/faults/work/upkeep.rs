//! What keeps a store in order: garbage goes, rot is taken out and healed.

use std::ops::ControlFlow;

use sealock_store::StoreError;
use sealock_store::scrub::Scrub;
use sealock_trust::Digest;

use super::{Outcome, PLAIN, Work};
use crate::faults::place::{Place, bundle_manifest};
use crate::faults::told::{Client, NOTHING};
use crate::shelf::{Image, TERMS};
use crate::site::at;

pub(super) const WORKS: &[Work] = &[
    Work {
        name: "condemn",
        prepare: three,
        run: |place, client| collect(place, 0, client),
        finish: collect_all,
        ..PLAIN
    },
    Work {
        name: "collect",
        prepare: condemned,
        run: |place, client| collect(place, TERMS.grace, client),
        finish: collect_all,
        ..PLAIN
    },
    Work { name: "scrub", prepare: rotten, run: scrub, ..PLAIN },
    Work { name: "heal", prepare: quarantined, run: heal, ..PLAIN },
];

/// The content of the layer that rots.
pub(super) const ROTTEN: &str = "only in 2";

fn three(place: &Place, client: &mut Client<'_>) {
    (1..=3).for_each(|sequence| place.import(sequence, client).unwrap());
    // Release 1 is not retained: what only it needs may be there or not.
    let [layer, config, manifest] = Image::of("only in 1").digests();
    for digest in [layer, config, manifest, Digest::sha256(&bundle_manifest(1))] {
        client.changes(&format!("stored {digest}"));
    }
}

fn condemned(place: &Place, client: &mut Client<'_>) {
    three(place, client);
    collect(place, 0, client).unwrap();
}

pub(super) fn collect(place: &Place, seconds: u64, client: &mut Client<'_>) -> Outcome {
    client.changes("retired 1");
    let outcome = place.shelf().collect(Some(1), seconds)?;
    if outcome.plan.doubts.is_empty() {
        client.knows("retired 1", "yes");
    } else {
        assert_eq!((outcome.deleted.blobs, outcome.condemned.blobs), (0, 0), "in doubt nothing goes");
    }
    Ok(())
}

/// Until there is nothing to do.
pub(super) fn collect_all(place: &Place) {
    for runs in 1..=3 {
        place.shelf().collect(Some(1), runs * TERMS.grace).unwrap();
    }
    let gone = Digest::sha256(&Image::of("only in 1").layer);
    assert!(!place.store().has_blob(&gone).unwrap(), "garbage stays");
}

fn rotten(place: &Place, client: &mut Client<'_>) {
    super::releases::two(place, client);
    let layer = Digest::sha256(&Image::of(ROTTEN).layer);
    place.shelf().damage(&place.store().blob_path(&layer), |bytes| bytes[7] ^= 4);
    client.changes(&format!("stored {layer}"));
}

fn quarantined(place: &Place, client: &mut Client<'_>) {
    rotten(place, client);
    scrub(place, client).unwrap();
}

pub(super) fn scrub(place: &Place, client: &mut Client<'_>) -> Outcome {
    let layer = Digest::sha256(&Image::of(ROTTEN).layer);
    let (store, clock) = (place.store(), || at(10));
    let pace = &mut |_| ControlFlow::Continue(());
    let scrubbed = Scrub { store: &store, guard: None, clock: &clock, before: None, pace }.run()?;
    assert!(scrubbed.rotten.iter().all(|one| one.digest == layer), "{scrubbed:?}");
    if !scrubbed.rotten.is_empty() {
        client.knows(&format!("quarantined {layer}"), "yes");
    }
    Ok(())
}

fn heal(place: &Place, client: &mut Client<'_>) -> Outcome {
    let content = Image::of(ROTTEN).layer;
    let layer = Digest::sha256(&content);
    client.changes(&format!("quarantined {layer}"));
    let lock = place.store().lock()?;
    let mut staging = lock.healing()?;
    let write = |writer: Result<sealock_store::BlobWriter<'_>, StoreError>| {
        let mut writer = writer?;
        writer.push(&content)?;
        writer.finish()
    };
    write(staging.write_blob(&layer, content.len() as u64))?;
    lock.heal(staging, at(11))?;
    client.knows(&format!("quarantined {layer}"), NOTHING);
    client.knows(&format!("stored {layer}"), "yes");
    Ok(())
}
