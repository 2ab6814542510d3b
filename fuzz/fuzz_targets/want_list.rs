//! Want-lists that come out of a site: what is read is read alike from its own text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::delta::WantList;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = WantList::from_bytes(bytes) {
        let _ = list.size();
        let written = list.to_bytes().expect("what was read can be written");
        let again = WantList::from_bytes(&written).expect("what was written can be read");
        assert_eq!(again.to_bytes().expect("again"), written);
    }
});
