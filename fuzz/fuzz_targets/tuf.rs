//! A bundle's trust metadata: files one after the other, each behind its name and length. Nothing a stranger writes verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::tuf::{MetadataSet, Verifier, walk_roots};

const ROOT: &[u8] = include_bytes!("../../crates/trust/testdata/attacks/genuine/trusted-root.json");
const MANIFEST: &[u8] = include_bytes!("../../crates/trust/testdata/attacks/genuine/manifest.json");
const NAMES: [&str; 7] =
    ["1.root.json", "2.root.json", "3.root.json", "snapshot.json", "targets.json", "timestamp.json", "acme.json"];

fuzz_target!(|bytes: &[u8]| {
    let parts = bytes.split(|byte| *byte == 0);
    let files = NAMES.iter().map(|name| (*name).to_owned()).zip(parts.map(<[u8]>::to_vec));
    let files = files.filter(|(_, bytes)| !bytes.is_empty());
    let Ok(set) = MetadataSet::from_files(files) else { return };
    let now = "2026-11-23T12:00:00Z".parse().expect("a time");
    let _ = walk_roots(ROOT, &set);
    let verifier = Verifier { trusted_root: ROOT, now, state: None, accept_gap: None, rules: Default::default() };
    let _ = verifier.verify_repository(&set, MANIFEST);
    if let Ok(verified) = verifier.verify(&set, MANIFEST) {
        // Only the genuine set, which is among the seeds.
        assert_eq!(verified.sequence(), 5);
    }
});
