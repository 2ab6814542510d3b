//! Revocation lists. Nobody but the root's and the revoker's keys can make one that counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_fuzz::envelope;
use sealock_trust::revocation::{PAYLOAD_TYPE, RevocationList};
use sealock_trust::tuf;

const ROOT: &[u8] = include_bytes!("../../crates/trust/testdata/vectors/tuf/1.root.json");

fuzz_target!(|bytes: &[u8]| {
    let root = tuf::open_root(ROOT).expect("our own vector");
    for (bytes, is_whole) in [(bytes.to_vec(), true), (envelope(PAYLOAD_TYPE, bytes), false)] {
        let Ok(list) = RevocationList::read(&bytes) else { continue };
        let _ = (list.keys(), list.entries().len());
        assert_eq!(list.to_bytes().expect("what was read can be written"), bytes);
        assert!(list.verify(&root).is_err() || is_whole, "a list that nobody signed");
    }
});
