//! Imports that die at every durable step of the store, and on a broken disk: the site serves the old release or the
//! new one, and the same import finishes the work.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use sealock_bundle::Archive;
use sealock_bundle::delta::{Baseline, Bases, Shelf};
use sealock_bundle::import::{ImportError, ImportOutcome, Terms, import};
use sealock_store::{Store, failpoint};
use sealock_trust::directory::Candidate;
use sealock_trust::{FileKey, Scheme, SiteKeys, SiteRoot, TrustDirectory};

use crate::support::{Cargo, Publisher, Site, noise, now};

/// Set for the child process that is to die: which step, and where everything is.
const DIE_AT: &str = "SEALOCK_TEST_DIE_AT";
const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const DIED: i32 = 77;

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "how this test talks to its own child process")]
    std::env::var(name).ok()
}

/// One blob of every shape, and no more: each blob is several steps, and each step a whole import.
fn few_blobs(sequence: u64) -> Cargo {
    let files = [("aligned", noise(3, (1 << 20) + 17)), ("own", sequence.to_le_bytes().to_vec())];
    Cargo::of_files("base", sequence, &files)
}

/// A site whose key lies in a file, so that another process can open it.
pub(crate) fn durable_site(folder: &Path, publisher: &Publisher) -> SiteKeys {
    let key = FileKey::generate(Scheme::Ed25519).unwrap();
    key.save(&folder.join("site.key"), None).unwrap();
    let keys = crate::support::site_keys("plant-7", key);
    std::fs::write(folder.join("site-root.json"), keys.root().as_bytes()).unwrap();
    Store::init(&folder.join("store")).unwrap();
    let trust = TrustDirectory::open(&folder.join("trust")).unwrap();
    let fingerprint = sealock_trust::Digest::sha256(&publisher.root);
    let prefix = "*".parse().unwrap();
    let (root, fingerprint) = (publisher.root.as_slice(), &fingerprint);
    trust.enroll(&Candidate { root, fingerprint, prefix: &prefix, from_sequence: None, names: &[] }, None).unwrap();
    keys
}

pub(crate) fn open_site(folder: &Path) -> (Store, TrustDirectory, SiteKeys) {
    let root = SiteRoot::open(&std::fs::read(folder.join("site-root.json")).unwrap()).unwrap();
    let key = FileKey::load(&folder.join("site.key"), None).unwrap();
    let store = Store::open(&folder.join("store")).unwrap();
    let trust = TrustDirectory::open(&folder.join("trust")).unwrap();
    (store, trust, SiteKeys::new(root, Box::new(key)).unwrap())
}

pub(crate) fn import_sealed(folder: &Path, bundle: &str) -> Result<ImportOutcome, ImportError> {
    let (store, trust, keys) = open_site(folder);
    let station = sealock_bundle::Station { store: &store, trust: &trust, site: &keys };
    import(&folder.join(bundle), station, &Terms::at(now()), &mut |_| {})
}

/// Ends this process at the failpoint of that number, without a destructor, as `kill -9` does.
pub(crate) fn die_at(step: &str) {
    let mut left: u32 = step.parse().unwrap();
    failpoint::set(move |_| {
        if left == 0 {
            std::process::exit(DIED);
        }
        left -= 1;
        Ok(())
    });
}

/// Whether the process ended at a failpoint; it must end there or well.
pub(crate) fn died(child: &mut Command) -> bool {
    let output = child.output().unwrap();
    let code = output.status.code();
    assert!(code == Some(DIED) || code == Some(0), "{code:?}: {}", String::from_utf8_lossy(&output.stdout));
    code == Some(DIED)
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let (Some(step), Some(folder)) = (variable(DIE_AT), variable(FOLDER)) else { return };
    die_at(&step);
    import_sealed(Path::new(&folder), "base-2.sealock").unwrap();
}

fn child_dies(step: u32, folder: &Path) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "crash::child", "--nocapture"]).env(DIE_AT, step.to_string()).env(FOLDER, folder);
    died(&mut child)
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn killed_at_every_step() {
    every_step_may_be_the_last(&few_blobs(1), &|start, _, publisher| {
        few_blobs(2).build(start, publisher);
    });
}

#[test]
fn a_delta_killed_at_every_step() {
    every_step_may_be_the_last(&few_blobs(1), &|start, keys, publisher| {
        let (_, trust, _) = open_site(start);
        let next = few_blobs(2);
        let mut bases = Bases::default();
        bases.add(Archive::open(&start.join("base-1.sealock")).unwrap().manifest_bytes()).unwrap();
        let receipt = trust.accepted(&next.lock.stream).unwrap().unwrap().receipt;
        let baseline = Baseline::open(&receipt, keys.root()).unwrap();
        let manifest = baseline.manifest(&next.lock, &bases, None).unwrap();
        assert!(manifest.base.as_ref().unwrap().bytes > 1 << 20);
        crate::delta::write(&next, &manifest, &start.join("base-2.sealock"), publisher);
    });
}

#[test]
fn a_delta_with_a_patch_killed_at_every_step() {
    use crate::patches::{BASE, Bench, GO, cargo};
    every_step_may_be_the_last(&cargo(1, BASE), &|start, keys, publisher| {
        let (_, trust, _) = open_site(start);
        let (next, first) = (cargo(2, GO), Archive::open(&start.join("base-1.sealock")).unwrap());
        let (mut bases, mut shelf) = (Bases::default(), Shelf::default());
        bases.add(first.manifest_bytes()).unwrap();
        shelf.add(first).unwrap();
        let receipt = trust.accepted(&next.lock.stream).unwrap().unwrap().receipt;
        let baseline = Baseline::open(&receipt, keys.root()).unwrap();
        let bundle = start.join("base-2.sealock");
        Bench { baseline, bases: &bases, next: &next, folder: start }.build(&shelf, None, &bundle, publisher);
        assert_eq!(Archive::open(&bundle).unwrap().unverified_manifest().unwrap().patched().count(), 1);
    });
}

fn every_step_may_be_the_last(first: &Cargo, build_second: &dyn Fn(&Path, &SiteKeys, &Publisher)) {
    let publisher = Publisher::new();
    let folder = tempfile::tempdir().unwrap();
    let start = folder.path().join("start");
    std::fs::create_dir(&start).unwrap();
    let keys = durable_site(&start, &publisher);
    let (store, trust, _) = open_site(&start);
    let station = sealock_bundle::Station { store: &store, trust: &trust, site: &keys };
    let first = first.build(&start, &publisher);
    import(&first, station, &Terms::at(now()), &mut |_| {}).unwrap();
    build_second(&start, &keys, &publisher);

    let mut step = 0;
    loop {
        let here = folder.path().join(format!("step-{step}"));
        copy_folder(&start, &here);
        let died = child_dies(step, &here);
        let (store, _, keys) = open_site(&here);
        let release = store.current_release(keys.key_set()).unwrap().unwrap().release.number;
        assert!([1, 2].contains(&release) && (died || release == 2), "release {release} after step {step}");
        import_sealed(&here, "base-2.sealock").unwrap();
        let release = store.current_release(keys.key_set()).unwrap().unwrap().release;
        assert_eq!((release.number, release.streams[0].sequence), (2, 2), "after step {step}");
        assert!(store.stagings().unwrap().is_empty(), "after step {step}");
        std::fs::remove_dir_all(&here).unwrap();
        if !died {
            break;
        }
        step += 1;
    }
    assert!(step > 10, "only {step} steps were found: are the store's failpoints built in?");
}

#[test]
fn the_disk_is_full_at_every_step() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = few_blobs(1).build(folder.path(), &publisher);
    for step in 0.. {
        let site = Site::new(&publisher);
        let counter = Rc::new(Cell::new(0));
        let count = Rc::clone(&counter);
        failpoint::set(move |_| {
            count.set(count.get() + 1);
            if count.get() > step { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        });
        let outcome = site.import(&bundle);
        failpoint::set(|_| Ok(()));
        let Err(error) = outcome else {
            assert!(step > 10, "only {step} steps were found");
            break;
        };
        assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error}");
        assert!(site.release().is_none_or(|release| release == 1), "step {step}");
        site.import(&bundle).unwrap_or_else(|error| panic!("after step {step}: {error}"));
        assert_eq!(site.release(), Some(1), "after step {step}");
    }
}
