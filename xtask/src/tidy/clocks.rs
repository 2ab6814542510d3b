//! Who reads the clock on the wall, which somebody may set at any moment, where hosts are changed: whoever dates something, and nobody who waits.
//! Deadlines, leases and what comes first go by [`std::time::Instant`], or by what is counted.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::repo;

const CRATES: [&str; 2] = ["crates/node/src/", "crates/cluster/src/"];
const READS: [&str; 2] = ["Timestamp::now", "SystemTime::now"];
/// Where the tests of a file begin that has its own.
const TESTS: &str = "#[cfg(test)]\nmod tests {";
/// What each does with it.
const KNOWN: &[(&str, &str)] = &[
    ("crates/cluster/src/backup/drill/mod.rs", "dates a drill; how long it takes goes by another"),
    ("crates/cluster/src/etcd/machine/execute.rs", "dates records of the journal"),
    ("crates/cluster/src/etcd/machine/observe.rs", "dates a certificate"),
    ("crates/cluster/src/etcd/restore.rs", "dates certificates"),
    ("crates/cluster/src/execute/observe.rs", "compares it with a host's, and notices that it is set meanwhile"),
    ("crates/cluster/src/journal.rs", "dates records of the journal"),
    ("crates/cluster/src/operator/adoption.rs", "looks how long certificates are valid"),
    ("crates/cluster/src/operator/backup.rs", "dates a backup"),
    ("crates/cluster/src/operator/external.rs", "looks whether a certificate has ended"),
    ("crates/cluster/src/operator/requests.rs", "looks whether what was signed is valid"),
    ("crates/cluster/src/operator/supplied.rs", "looks how long authorities are valid"),
    ("crates/node/src/facts/mod.rs", "tells it to the station"),
    ("crates/node/src/gap/mod.rs", "dates a report"),
    ("crates/node/src/runner.rs", "dates records of the journal, and events"),
    ("crates/node/src/step/authorities/made.rs", "dates a certificate"),
    ("crates/node/src/step/etcd/certificates.rs", "dates certificates, and looks how long they are valid"),
    ("crates/node/src/step/kubelet_certificate.rs", "looks how long a certificate is valid"),
    (
        "crates/node/src/step/node_ready.rs",
        "compares it with a lease, on which nothing hangs but whether it is waited for the next",
    ),
    ("crates/node/src/step/requests/kubelet.rs", "names a file"),
    ("crates/node/src/step/upgrade/snapshot.rs", "dates a snapshot, and takes another where it is not of this hour"),
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut readers = Vec::new();
    for file in repo::files(root)? {
        let place = file.to_string_lossy().into_owned();
        let is_judged = CRATES.iter().any(|folder| place.starts_with(folder)) && !place.ends_with("/tests.rs");
        if is_judged && place.ends_with(".rs") && reads(&fs::read_to_string(root.join(&file))?) {
            readers.push(place);
        }
    }
    for reader in readers.iter().filter(|reader| KNOWN.iter().all(|(known, _)| known != reader)) {
        let what = "reads the clock on the wall: wait by an `Instant`; where it dates something, say so in xtask/src/tidy/clocks.rs";
        findings.push(Finding::new(reader, what));
    }
    for (known, _) in KNOWN.iter().filter(|(known, _)| !readers.iter().any(|reader| reader == known)) {
        findings
            .push(Finding::new(*known, "reads no clock on the wall any more: take it out of xtask/src/tidy/clocks.rs"));
    }
    Ok(findings)
}

/// Whether what is no test does.
fn reads(text: &str) -> bool {
    let own = text.split(TESTS).next().unwrap_or_default();
    READS.iter().any(|read| own.contains(read))
}

#[cfg(test)]
mod tests {
    use super::reads;

    #[test]
    fn whoever_reads_it_is_found_and_a_test_may() {
        assert!(reads("let at = jiff::Timestamp::now();") && reads("x.map(SystemTime::now)"));
        assert!(!reads("let begun = Instant::now();"));
        assert!(!reads("fn a() {}\n#[cfg(test)]\nmod tests { fn b() { Timestamp::now(); } }"));
    }
}
