//! Which files of a station are in a backup, and how they are called there.

use std::path::{Component, Path};

/// What lies below the state folder is called this and its path there.
pub(super) const STATE: &str = "state";
/// What lies in the folder of settings is called this and its path there.
pub(super) const SETTINGS: &str = "settings";

/// The parts of the state folder that are in a backup, in the order in which they are put in place: the station is one when `trust` is there.
///
/// Of the store there is what no bundle brings again. Blobs, holds, uploads and what a collector or a scrubber has noted are made anew.
pub(super) const PARTS: [&str; 8] = ["store", "registry", "receipts", "evidence", "clusters", "tls", "keys", "trust"];

/// What of the store is in a backup.
pub(super) const OF_STORE: [&str; 6] =
    ["format", "releases", "current", "operations.log", "pushed/epoch", "pushed/log"];

/// Folders of the store that are in a backup without what is in them: they keep their owner and mode.
pub(super) const FOLDERS_OF_STORE: [&str; 8] =
    ["pushed", "blobs", "blobs/sha256", "blobs/sha512", "staging", "holds", "uploads", "quarantine"];

/// Whether a folder of this name may be in a backup of a station.
pub(super) fn may_be_folder(path: &str) -> bool {
    let is_of_store = |below: &str| FOLDERS_OF_STORE.contains(&below);
    matches!(path, STATE | SETTINGS | "state/store")
        || path.strip_prefix("state/store/").is_some_and(is_of_store)
        || may_be_in(path)
}

/// Whether the file of this path is a lock, or in the making.
pub(super) fn is_passed_over(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_of_state = path.starts_with("state/") && (name == "lock" || name.ends_with(".tmp"));
    is_of_state || name.starts_with('.') && name.ends_with(".new")
}

/// Whether a file of this name may be in a backup of a station.
pub(super) fn may_be_in(path: &str) -> bool {
    if path.len() > 1024 || path.contains(char::is_control) {
        return false;
    }
    let mut parts = Path::new(path).components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let is_as_written = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match (is_as_written, parts.next(), parts.next()) {
        (true, Some(Some(STATE)), Some(Some(part))) => PARTS.contains(&part) && (part != "store" || is_of_store(path)),
        (true, Some(Some(SETTINGS)), Some(Some(_))) => true,
        _ => false,
    }
}

fn is_of_store(path: &str) -> bool {
    let below = path.strip_prefix("state/store/").unwrap_or_default();
    OF_STORE.iter().any(|part| below.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_backup_takes_may_be_in_one() {
        for path in [
            "state/trust/state.json",
            "state/keys/site.pem",
            "state/store/current",
            "state/store/releases/1.json",
            "state/store/pushed/log/1.log",
            "settings/config.yaml",
            "settings/tls/key.pem",
        ] {
            assert!(may_be_in(path), "{path}");
        }
        for path in [
            "",
            "state",
            "settings",
            "state/../settings/x",
            "/state/trust/x",
            "state//trust/x",
            "state/./trust/x",
            "state/trust/../../x",
            "state/trust/",
            "state/other/x",
            "state/store/blobs/sha256/00",
            "state/store/currently",
            "etc/passwd",
            "state/trust/a\nb",
        ] {
            assert!(!may_be_in(path), "{path}");
        }
    }
}
