//! What travels between keyholders, and the publisher's delegations: what is read is what is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::request::{RootDraft, SignatureFile, SigningRequest};
use sealock_trust::tuf::Delegations;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = SigningRequest::from_bytes(bytes) {
        assert_eq!(request.to_bytes().expect("canonical"), bytes);
        let _ = sealock_bundle::sign::manifest_of(&request);
    }
    if let Ok(file) = SignatureFile::from_bytes(bytes) {
        assert_eq!(file.to_bytes().expect("canonical"), bytes);
    }
    if let Ok(draft) = RootDraft::from_bytes(bytes) {
        RootDraft::from_bytes(&draft.to_bytes().expect("what was read can be written")).expect("and read again");
        let _ = (draft.tally(), draft.finished());
    }
    if let Ok(delegations) = Delegations::from_bytes(bytes) {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        assert_eq!(delegations.to_bytes().expect("canonical").strip_suffix(b"\n"), Some(text));
    }
});
