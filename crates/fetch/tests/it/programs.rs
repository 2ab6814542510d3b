//! Other people's programs that judge or make what is read here: they are looked for in the PATH.
#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a test is run by a person or by CI")]

use std::path::PathBuf;

/// Where they are; none where `SEALOCK_ORACLES=1` does not ask for them, as CI does.
pub(crate) fn oracles() -> Option<Vec<PathBuf>> {
    if std::env::var_os("SEALOCK_ORACLES").is_some_and(|value| value == "1") {
        return Some(folders());
    }
    eprintln!("skipped: SEALOCK_ORACLES=1 runs it");
    None
}

/// The folders of the PATH.
pub(crate) fn folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect()
}
