//! Roots that are to be enrolled: the publisher's and the site's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::{SiteRoot, tuf};

fuzz_target!(|bytes: &[u8]| {
    let _ = tuf::open_root(bytes);
    if let Ok(root) = SiteRoot::open(bytes) {
        assert_eq!(root.as_bytes(), bytes);
    }
});
