//! What `ansible-inventory --list` prints, or something else: hosts that come out of it can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_cluster::ansible::{Draft, Listing, Wanted, find, to_yaml};

fuzz_target!(|bytes: &[u8]| {
    let Ok(listing) = Listing::from_json(bytes) else { return };
    let groups = |name: &str| vec![name.to_owned()];
    let wanted = Wanted { control_planes: groups("control"), workers: groups("workers"), ..Wanted::default() };
    let Ok(found) = find(&listing, &wanted) else { return };
    let with_its_key = |draft: Draft| {
        let key = draft.host_key.clone()?;
        Some(draft.into_host(key))
    };
    let hosts: Vec<_> = found.hosts.into_iter().filter_map(with_its_key).collect();
    to_yaml(&hosts).expect("what was read can be written");
});
