//! Other implementations' verdicts: python-tuf, go-tuf and tough must believe what we sign and refuse what we refuse, and
//! what they write must verify here.
//!
//! Runs where `SEALOCK_ORACLES=1` is set, as `.ci/run` does; it needs in PATH `python3` with `tuf` and
//! `securesystemslib[crypto]` (PyPI), and `go_tuf`, built from `tests/oracle/go_tuf`. Where they are missing the test fails
//! and says what to install.

mod programs;
mod tough;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sealock_trust::tuf::{
    Delegations, MetadataSet, Rules, TargetFile, VendorPlan, Verifier, prepare, rotate_root, verify,
};
use sealock_trust::{Digest, FileKey, KeySet, RoleName, Signer as _};

use crate::world::{MANIFEST, Publisher, keys, now, root_spec, signers, terms};

/// Another implementation of TUF.
struct Oracle {
    name: &'static str,
    /// Gets the manifest from the repository in a folder, given the first root only.
    believes: fn(&Path) -> Result<(), String>,
    /// Gets the target of this name from it, wherever the search for it ends.
    finds: fn(&Path, &str) -> Result<(), String>,
    /// Writes a repository of sequence 7 that vouches for the manifest in a folder.
    makes: fn(&Path),
}

const ORACLES: &[Oracle] = &[
    Oracle {
        name: "python-tuf",
        believes: programs::python_believes,
        finds: programs::python_finds,
        makes: programs::python_makes,
    },
    Oracle { name: "go-tuf", believes: programs::go_believes, finds: programs::go_finds, makes: programs::go_makes },
    Oracle { name: "tough", believes: tough::believes, finds: tough::finds, makes: tough::makes },
];

#[expect(clippy::disallowed_methods, reason = "a person chooses whether the oracles run")]
fn oracles_run() -> bool {
    std::env::var_os("SEALOCK_ORACLES").is_some_and(|value| value == "1")
}

#[test]
fn others_come_to_the_same_verdict_on_what_we_sign() {
    if !oracles_run() {
        eprintln!("skipped: SEALOCK_ORACLES=1 runs it");
        return;
    }
    let mut publisher = Publisher::new();
    publisher.rotate();
    publisher.rotate();
    let set = publisher.sign(7);
    let stranger = Publisher::new();
    let cases = [
        ("another manifest", set.clone(), b"{}".as_slice()),
        ("foreign signatures", MetadataSet { roots: set.roots.clone(), ..stranger.sign(7) }, MANIFEST),
        ("mixed sequences", MetadataSet { timestamp: publisher.sign(6).timestamp, ..set.clone() }, MANIFEST),
        ("foreign root", usurped(&set), MANIFEST),
    ];
    // With the publisher's revocation list as a second target.
    let mut with_list = set.clone();
    with_list.promise_revocations(Some(b"a list")).unwrap();
    with_list.add_signatures(&signers(&publisher.keys)).unwrap();
    for oracle in ORACLES {
        for set in [&set, &with_list] {
            judge(oracle, &publisher, set, MANIFEST).unwrap_or_else(|said| panic!("{}: {said}", oracle.name));
        }
        for (name, set, manifest) in &cases {
            assert!(verify(publisher.first_root(), set, manifest, now(), None).is_err());
            assert!(judge(oracle, &publisher, set, manifest).is_err(), "{} believes {name}", oracle.name);
        }
    }
}

#[test]
fn what_others_write_verifies_here() {
    if !oracles_run() {
        eprintln!("skipped: SEALOCK_ORACLES=1 runs it");
        return;
    }
    for oracle in ORACLES {
        let folder = tempfile::tempdir().unwrap();
        make_folders(folder.path());
        fs::write(folder.path().join("targets/manifest.json"), MANIFEST).unwrap();
        (oracle.makes)(folder.path());
        let trusted_root = fs::read(folder.path().join("trusted-root.json")).unwrap();
        let set = read_set(folder.path());
        let verifier = Verifier {
            trusted_root: &trusted_root,
            now: now(),
            state: None,
            accept_gap: None,
            rules: Rules::default(),
        };
        let verified = verifier.verify_repository(&set, MANIFEST);
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error:?}", oracle.name));
        assert_eq!((verified.sequence(), verified.manifest()), (7, &Digest::sha256(MANIFEST)), "{}", oracle.name);
        assert!(verifier.verify_repository(&set, b"{}").is_err(), "{}", oracle.name);
    }
}

/// A vendor's artifact in the publisher's repository: whoever asks by its name gets it on the vendor's word alone.
#[test]
fn others_find_a_delegated_target_on_the_vendors_word() {
    if !oracles_run() {
        eprintln!("skipped: SEALOCK_ORACLES=1 runs it");
        return;
    }
    let (mut publisher, acme, stranger) = (Publisher::new(), keys(2), keys(2));
    publisher.rotate();
    let plan = delegating(&acme, APP, CONTENT);
    let signed_by = |plan: &VendorPlan, keys: &[FileKey]| {
        let mut set = prepare(&publisher.roots, MANIFEST, &terms(7), Some(plan)).unwrap();
        set.add_vendor_signatures(&acme_role(), &signers(keys)).unwrap();
        set.add_signatures(&signers(&publisher.keys)).unwrap();
        set
    };
    let genuine = signed_by(&plan, &acme);
    let by_strangers = signed_by(&delegating(&stranger, APP, CONTENT), &stranger);
    let cases = [
        ("one of two signatures", signed_by(&plan, &acme[..1]), CONTENT),
        ("other content", genuine.clone(), b"something else!!".as_slice()),
        ("strangers", MetadataSet { targets: genuine.targets.clone(), ..by_strangers }, CONTENT),
        ("a file left out", MetadataSet { delegated: BTreeMap::new(), ..genuine.clone() }, CONTENT),
    ];
    for oracle in ORACLES {
        let found = judge_target(oracle, &publisher, &genuine, APP, CONTENT);
        found.unwrap_or_else(|said| panic!("{}: {said}", oracle.name));
        for (name, set, content) in &cases {
            let believed = judge_target(oracle, &publisher, set, APP, content);
            assert!(believed.is_err(), "{} believes {name}", oracle.name);
        }
        // A name of nobody's is not found, and one outside of the delegation is not the vendor's to give.
        let outside = signed_by(&delegating_other(&acme), &acme);
        assert!(judge_target(oracle, &publisher, &outside, OUTSIDE, CONTENT).is_err(), "{}", oracle.name);
    }
}

const APP: &str = "quay.io/acme/team/app:v1";
const OUTSIDE: &str = "quay.io/bank/app:v1";
const CONTENT: &[u8] = b"an image's index";

fn acme_role() -> RoleName {
    "acme".parse().unwrap()
}

/// `quay.io/acme` delegated to `keys`, all needed, who vouch for `content` under `name`.
fn delegating(keys: &[FileKey], name: &str, content: &[u8]) -> VendorPlan {
    let threshold = u32::try_from(keys.len()).unwrap();
    let set = KeySet::new(keys.iter().map(|key| key.public_key().clone()), threshold).unwrap();
    let mut delegations = Delegations::default();
    delegations.delegate(&acme_role(), &set, &["quay.io/acme".parse().unwrap()]).unwrap();
    let hashes = BTreeMap::from([("sha256".to_owned(), Digest::sha256(content).hex().to_owned())]);
    let target = TargetFile { length: content.len() as u64, hashes, custom: None };
    let targets = BTreeMap::from([(acme_role(), BTreeMap::from([(name.to_owned(), target)]))]);
    VendorPlan { delegations, targets, ..VendorPlan::default() }
}

/// The same vendor, vouching for a name that is not its own.
fn delegating_other(keys: &[FileKey]) -> VendorPlan {
    delegating(keys, OUTSIDE, CONTENT)
}

fn judge_target(
    oracle: &Oracle,
    publisher: &Publisher,
    set: &MetadataSet,
    name: &str,
    content: &[u8],
) -> Result<(), String> {
    let folder = lay_out(publisher, set, MANIFEST);
    let path = folder.path().join("targets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    (oracle.finds)(folder.path(), name)
}

fn judge(oracle: &Oracle, publisher: &Publisher, set: &MetadataSet, manifest: &[u8]) -> Result<(), String> {
    (oracle.believes)(lay_out(publisher, set, manifest).path())
}

fn lay_out(publisher: &Publisher, set: &MetadataSet, manifest: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    make_folders(folder.path());
    fs::write(folder.path().join("trusted-root.json"), publisher.first_root()).unwrap();
    for (name, bytes) in set.files() {
        fs::write(folder.path().join("metadata").join(name), bytes).unwrap();
    }
    fs::write(folder.path().join("targets/manifest.json"), manifest).unwrap();
    fs::write(folder.path().join("targets/revocations.json"), b"a list").unwrap();
    folder
}

fn make_folders(folder: &Path) {
    for name in ["metadata", "targets"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
}

fn read_set(folder: &Path) -> MetadataSet {
    let files = fs::read_dir(folder.join("metadata")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    });
    MetadataSet::from_files(files).unwrap()
}

/// The chain with a second root that only its own keys signed.
fn usurped(set: &MetadataSet) -> MetadataSet {
    let root_keys = keys(2);
    let root = rotate_root(&set.roots[&1], &root_spec(&root_keys, &keys(2)), &signers(&root_keys)).unwrap();
    let mut set = set.clone();
    set.roots.insert(2, root);
    set
}
