//! What archives of Debian packages say: `Packages`, `Release`, dependencies, versions; and the index of a set.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::os_packages::{
    Packaged, ReleaseFile, StanzaLimits, Stanzas, Version, dependencies, index_of, packages_of, provided,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = ReleaseFile::from_bytes(bytes);
    let mut packages = Vec::new();
    for stanza in Stanzas::new(bytes, StanzaLimits { stanza: 1 << 16, total: 1 << 20, fields: 50 }) {
        let Ok(stanza) = stanza else { break };
        if let Ok(package) = Packaged::of(&stanza) {
            packages.push(package);
        }
        for (name, value) in stanza.fields() {
            let _ = (dependencies(value), provided(value));
            if let (Ok(a), Ok(b)) = (name.parse::<Version>(), value.parse::<Version>()) {
                assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            }
        }
    }
    // What is written is read as the same.
    if let Ok(index) = index_of(&mut packages) {
        let mut read = packages_of(&index).expect("an index of ours is read");
        assert_eq!(index_of(&mut read).expect("and written again"), index);
    }
    let _ = packages_of(bytes);
});
