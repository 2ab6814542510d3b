//! What several targets share.

use std::cell::RefCell;
use std::path::Path;

use sealock_trust::dsse::Envelope;
use tempfile::TempDir;

/// The envelope around `payload`, without a signature: else the fuzzer would have to find base64 that is JSON.
///
/// # Panics
/// Where an envelope cannot be written.
pub fn envelope(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    Envelope::sign(payload_type, payload, &[]).expect("nobody signs").to_json().expect("JSON")
}

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir_in("/dev/shm").expect("memory"));
}

/// A folder in memory, the same one each time.
pub fn in_memory<T>(work: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with_borrow(|folder| work(folder.path()))
}
