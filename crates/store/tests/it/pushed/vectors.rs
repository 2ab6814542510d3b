//! A log and an epoch as they are written, for whoever writes a second implementation.

use std::fs;
use std::path::Path;

use sealock_trust::Digest;

use super::support::*;

#[test]
fn the_log_is_what_the_vectors_say() {
    let world = World::new();
    let pushed = world.open();
    let layer = blob(&pushed, "team/app", b"layer").unwrap();
    let bytes = manifest_of(&[b"layer"], None);
    pushed.put_manifest(put("team/app", &bytes, &["1", "latest"]), WHO, moment()).unwrap();
    pushed.mount(("team/other", WHO), &layer, "team/app", moment()).unwrap();
    pushed.delete_tag(("team/app", WHO), "latest", moment()).unwrap();
    pushed.delete_manifest(("team/app", WHO), &Digest::sha256(&bytes), moment()).unwrap();
    pushed.delete_blob(("team/other", WHO), &layer, moment()).unwrap();
    let facts = [("reason".to_owned(), "the password is wrong".to_owned())].into();
    pushed.audit(None, "refused", (Some("team/app"), facts), moment()).unwrap();
    drop(pushed);

    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors/pushed-log");
    for (written, vector) in [("log/00000000000000000001.log", "00000000000000000001.log"), ("epoch", "epoch")] {
        let written = fs::read_to_string(world.path().join("pushed").join(written)).unwrap();
        let vector = fs::read_to_string(vectors.join(vector)).unwrap_or_default();
        assert_eq!(written, vector);
    }
}
