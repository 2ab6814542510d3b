//! A station's own binary is replaced by one out of the current release, and by nothing else.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use sealock_bundle::binary::Description;
use sealock_bundle::update::{Installed, Offer, PREVIOUS, Present, UpdateError, Updater, choose};
use sealock_store::operations::Operation;
use sealock_store::{Store, failpoint};
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use sealock_trust::{Digest, SiteRoot, TrustDirectory};

use crate::crash::{die_at, died, durable_site, import_sealed, open_site, variable};
use crate::support::{Cargo, Publisher, Site, noise, now, time};

const DIE_AT: &str = "SEALOCK_TEST_UPDATE_DIES_AT";
const FOLDER: &str = "SEALOCK_TEST_UPDATE_FOLDER";

/// What a binary begins with, and the line by which it says what it is. The real ones are updated in the tests of the command.
fn binary(version: &str, build: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
    bytes.extend(noise(version.len() as u64 + u64::from(version.as_bytes()[2]), (1 << 20) + 17));
    bytes.extend(format!("sealock-identity/1 {version} {build}\n").bytes());
    bytes
}

fn describe(version: &str, build: &str) -> Description {
    Description::of(&binary(version, build)).unwrap()
}

/// A bundle that brings these versions.
fn bringing(sequence: u64, versions: &[&str]) -> Cargo {
    let mut cargo = Cargo::of_files("base", sequence, &[("own", sequence.to_le_bytes().to_vec())]);
    for version in versions {
        cargo.add_binary(&describe(version, "inside"), &binary(version, "inside"));
    }
    cargo
}

/// A station with an installed binary.
struct Scene {
    site: Site,
    publisher: Publisher,
    path: PathBuf,
}

impl Scene {
    fn with(versions: &[&str]) -> Self {
        let publisher = Publisher::new();
        let site = Site::new(&publisher);
        let path = site.folder.path().join("sealock");
        fs::write(&path, binary("0.1.0", "inside")).unwrap();
        let scene = Self { site, publisher, path };
        scene.accept(&bringing(1, versions));
        scene
    }

    fn accept(&self, cargo: &Cargo) {
        let folder = tempfile::tempdir().unwrap();
        self.site.import(&cargo.build(folder.path(), &self.publisher)).unwrap();
    }

    fn updater(&self) -> Updater<'_> {
        Updater { store: &self.site.store, trust: &self.site.trust, site: self.site.keys.root() }
    }

    fn installed(&self) -> String {
        Present::at(&self.path).unwrap().description.version.to_string()
    }

    fn offers(&self) -> Result<Vec<Offer>, UpdateError> {
        self.updater().offers("amd64")
    }

    fn install(&self, offer: &Offer) -> Result<Installed, UpdateError> {
        let lock = self.site.store.lock().unwrap();
        self.updater().install((&lock, now()), offer, &self.path, &mut |_| Ok(()))
    }

    fn roll_back(&self) -> Result<Installed, UpdateError> {
        let lock = self.site.store.lock().unwrap();
        self.updater().roll_back((&lock, now()), &self.path, &mut |_| Ok(()))
    }

    /// The name with `ending` behind it.
    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}{ending}", self.path.display()))
    }

    /// The reason code of the refusal, which has changed nothing.
    fn refusal(&self, outcome: Result<Installed, UpdateError>) -> String {
        let error = outcome.expect_err("it should have been refused");
        assert!(error.is_refusal() && !error.is_environment(), "{error}");
        assert_eq!(self.installed(), "0.1.0");
        assert!(!self.beside(".new").exists() && !self.beside(PREVIOUS).exists(), "{error}");
        error.code().unwrap().to_string()
    }
}

#[test]
fn the_newest_of_the_current_release_takes_the_place_and_the_old_one_stays_beside_it() {
    let scene = Scene::with(&["0.2.0", "0.10.0"]);
    let offers = scene.offers().unwrap();
    let versions: Vec<String> = offers.iter().map(|offer| offer.description.version.to_string()).collect();
    assert_eq!(versions, ["0.10.0", "0.2.0"]);
    let installed = scene.install(&offers[0]).unwrap();
    assert!(installed.changed);
    assert_eq!(fs::read(&scene.path).unwrap(), binary("0.10.0", "inside"));
    assert_eq!(fs::metadata(&scene.path).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(scene.beside(PREVIOUS)).unwrap(), binary("0.1.0", "inside"));
    assert!(!scene.install(&offers[0]).unwrap().changed, "a second time there is nothing to do");
    let told: Vec<String> =
        scene.site.store.operations().unwrap().iter().map(|one| operation(&one.operation)).collect();
    assert_eq!(told, ["publish", "published", "update 0.10.0", "updated"]);

    assert_eq!(scene.roll_back().unwrap().now.version.to_string(), "0.1.0");
    assert_eq!(scene.installed(), "0.1.0");
    assert_eq!(scene.roll_back().unwrap().now.version.to_string(), "0.10.0", "back and forth");
}

fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Update { version, .. } => format!("update {version}"),
        Operation::Updated { .. } => "updated".to_owned(),
        Operation::Publish { .. } => "publish".to_owned(),
        other => format!("{other:?}").split(' ').next().unwrap().to_lowercase(),
    }
}

#[test]
fn only_the_current_release_is_a_source() {
    let scene = Scene::with(&["0.2.0"]);
    let old = scene.offers().unwrap();
    scene.accept(&bringing(2, &["0.3.0"]));
    let versions: Vec<String> =
        scene.offers().unwrap().iter().map(|offer| offer.description.version.to_string()).collect();
    assert_eq!(versions, ["0.3.0"]);
    assert_eq!(old[0].release, 1);
    scene.accept(&bringing(3, &[]));
    assert!(scene.offers().unwrap().is_empty());
    assert!(scene.updater().offers("arm64").unwrap().is_empty());
}

#[test]
fn an_older_one_has_to_be_allowed() {
    let scene = Scene::with(&["0.0.9", "0.1.0-rc.1"]);
    let offers = scene.offers().unwrap();
    let installed = "0.1.0".parse().unwrap();
    let error = choose(&offers, None, &installed, false).unwrap_err();
    insta::assert_snapshot!(error, @"Sealock 0.1.0 is installed, and 0.1.0-rc.1 is older");
    assert_eq!(error.code().unwrap().to_string(), "ROLLBACK");
    let older = choose(&offers, Some(&"0.0.9".parse().unwrap()), &installed, true).unwrap().unwrap();
    assert_eq!(scene.install(older).unwrap().now.version.to_string(), "0.0.9");
    let error = choose(&offers, Some(&"0.5.0".parse().unwrap()), &installed, true).unwrap_err();
    insta::assert_snapshot!(error, @"the current release has no Sealock 0.5.0 for this machine, only 0.1.0-rc.1, 0.0.9");
}

#[test]
fn a_damaged_blob_never_gets_its_place() {
    let scene = Scene::with(&["0.2.0"]);
    let offer = scene.offers().unwrap().remove(0);
    let blob = scene.site.store.blob_path(&offer.digest);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    assert_eq!(scene.refusal(scene.install(&offer)), "DIGEST");
    fs::remove_file(&blob).unwrap();
    assert_eq!(scene.refusal(scene.install(&offer)), "DIGEST");
}

#[test]
fn a_file_that_is_not_what_it_is_declared_as_is_refused() {
    let publisher = Publisher::new();
    for (declared, real) in [
        (describe("0.2.0", "inside"), binary("0.0.1", "inside")),
        (describe("0.2.0", "inside"), binary("0.2.0", "outside")),
        (describe("0.2.0", "inside"), b"\x7fELF but not Sealock".to_vec()),
    ] {
        let scene = Scene::with(&[]);
        let mut cargo = Cargo::of_files("base", 2, &[]);
        cargo.add_binary(&declared, &real);
        scene.accept(&cargo);
        let offer = scene.offers().unwrap().remove(0);
        assert_eq!(scene.refusal(scene.install(&offer)), "TYPE_MISMATCH");
    }
    let scene = Scene::with(&[]);
    let mut cargo = Cargo::of_files("base", 2, &[]);
    cargo.add_binary(&describe("0.2.0", "outside"), &binary("0.2.0", "outside"));
    scene.accept(&cargo);
    assert_eq!(scene.offers().unwrap_err().code().unwrap().to_string(), "TYPE_MISMATCH");
    drop(publisher);
}

#[test]
fn what_is_revoked_is_not_offered() {
    let revoked = |what: &dyn Fn(&Scene) -> Digest| {
        let scene = Scene::with(&["0.2.0"]);
        let subject = Subject::Digest(what(&scene));
        let entry = Entry { subject, reason: "stolen".parse().unwrap(), revoked: now() };
        let terms = ListTerms { issued: now(), expires: time("2028-01-01T00:00:00Z") };
        let none = std::collections::BTreeSet::new();
        let mut list = RevocationList::make(&scene.publisher.root, None, &terms, [entry], &none).unwrap();
        list.add_signatures(&[&scene.publisher.revoker]).unwrap();
        scene.site.trust.keep_revocations(&list.to_bytes().unwrap(), now(), Some(&scene.site.keys)).unwrap();
        scene.offers().map(|_| String::new()).unwrap_err().code().unwrap().to_string()
    };
    let current = |scene: &Scene| scene.site.store.current_release(scene.site.keys.key_set()).unwrap().unwrap().release;
    assert_eq!(revoked(&|scene| scene.offers().unwrap()[0].digest.clone()), "REVOKED");
    assert_eq!(revoked(&|scene| current(scene).streams[0].manifest.clone()), "REVOKED");
    assert_eq!(revoked(&|scene| current(scene).references[1].digest.clone()), "REVOKED");
}

#[test]
fn what_does_not_start_here_never_gets_its_place() {
    let scene = Scene::with(&["0.2.0"]);
    let offer = scene.offers().unwrap().remove(0);
    let lock = scene.site.store.lock().unwrap();
    let mut refuses = |new: &Path| {
        assert_eq!(fs::read(new).unwrap(), binary("0.2.0", "inside"), "it is whole when it is tried out");
        Err("exec format error".to_owned())
    };
    let error = scene.updater().install((&lock, now()), &offer, &scene.path, &mut refuses).unwrap_err();
    insta::assert_snapshot!(error, @"the new binary does not work here: exec format error");
    assert_eq!(scene.installed(), "0.1.0");
    assert!(!scene.beside(".new").exists());
}

#[test]
fn something_else_is_not_overwritten() {
    let scene = Scene::with(&["0.2.0"]);
    let offer = scene.offers().unwrap().remove(0);
    fs::write(&scene.path, "#!/bin/sh\n").unwrap();
    let error = scene.install(&offer).unwrap_err();
    assert_eq!(error.code().unwrap().to_string(), "FOREIGN");
    assert_eq!(fs::read(&scene.path).unwrap(), b"#!/bin/sh\n");
}

#[test]
fn only_what_the_log_names_is_put_back() {
    let scene = Scene::with(&["0.2.0"]);
    assert!(matches!(scene.roll_back(), Err(UpdateError::NoPrevious { .. })));
    scene.install(&scene.offers().unwrap()[0]).unwrap();
    fs::write(scene.beside(PREVIOUS), binary("0.6.6", "inside")).unwrap();
    assert_eq!(scene.roll_back().unwrap_err().code().unwrap().to_string(), "DIGEST");
    assert_eq!(scene.installed(), "0.2.0");
    fs::remove_file(scene.beside(PREVIOUS)).unwrap();
    assert!(matches!(scene.roll_back(), Err(UpdateError::NoPrevious { .. })));
}

fn update_in(folder: &Path) -> Result<Installed, UpdateError> {
    let (store, trust, keys): (Store, TrustDirectory, _) = open_site(folder);
    let root: &SiteRoot = keys.root();
    let updater = Updater { store: &store, trust: &trust, site: root };
    let lock = store.lock().unwrap();
    let offer = updater.offers("amd64").unwrap().remove(0);
    updater.install((&lock, now()), &offer, &folder.join("sealock"), &mut |_| Ok(()))
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let (Some(step), Some(folder)) = (variable(DIE_AT), variable(FOLDER)) else { return };
    die_at(&step);
    update_in(Path::new(&folder)).unwrap();
}

#[test]
fn killed_at_every_step_either_the_old_one_or_the_new_one_is_there() {
    let publisher = Publisher::new();
    let folder = tempfile::tempdir().unwrap();
    let start = folder.path().join("start");
    fs::create_dir(&start).unwrap();
    durable_site(&start, &publisher);
    bringing(1, &["0.2.0"]).build(&start, &publisher);
    import_sealed(&start, "base-1.sealock").unwrap();
    let (old, new) = (binary("0.1.0", "inside"), binary("0.2.0", "inside"));
    fs::write(start.join("sealock"), &old).unwrap();
    let (mut saw_old, mut saw_new) = (0, 0);
    for step in 0.. {
        let here = folder.path().join(format!("step-{step}"));
        assert!(Command::new("cp").arg("-a").arg(&start).arg(&here).status().unwrap().success());
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "update::child", "--nocapture"]).env(DIE_AT, step.to_string()).env(FOLDER, &here);
        let died = died(&mut child);
        let there = fs::read(here.join("sealock")).unwrap();
        assert!(there == old || there == new, "neither the old nor the new one after step {step}");
        assert!(died || there == new, "it ended well, and the old one is there");
        *if there == old { &mut saw_old } else { &mut saw_new } += 1;
        update_in(&here).unwrap();
        assert_eq!(fs::read(here.join("sealock")).unwrap(), new, "after step {step}");
        assert_eq!(fs::read(here.join("sealock.previous")).unwrap(), old, "after step {step}");
        let names = fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> = names.filter(|name| name.ends_with(".new") || name.ends_with(".old")).collect();
        assert!(left.is_empty(), "{left:?} after step {step}");
        let (store, ..) = open_site(&here);
        let last = store.operations().unwrap().pop().unwrap().operation;
        assert!(matches!(last, Operation::Updated { .. }), "{last:?} after step {step}");
        fs::remove_dir_all(&here).unwrap();
        if !died {
            break;
        }
    }
    assert!(saw_old > 8 && saw_new > 2, "only {saw_old} and {saw_new} steps were found");
}

#[test]
fn a_full_disk_at_every_step_leaves_a_binary_that_works() {
    for step in 0.. {
        let scene = Scene::with(&["0.2.0"]);
        let offer = scene.offers().unwrap().remove(0);
        let counter = Rc::new(Cell::new(0));
        let count = Rc::clone(&counter);
        failpoint::set(move |_| {
            count.set(count.get() + 1);
            if count.get() > step { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        });
        let outcome = scene.install(&offer);
        failpoint::set(|_| Ok(()));
        let Err(error) = outcome else {
            assert!(step > 8, "only {step} steps were found");
            break;
        };
        assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error}");
        assert!(["0.1.0", "0.2.0"].contains(&scene.installed().as_str()), "step {step}");
        scene.install(&offer).unwrap_or_else(|error| panic!("after step {step}: {error}"));
        assert_eq!(fs::read(scene.beside(PREVIOUS)).unwrap(), binary("0.1.0", "inside"), "after step {step}");
    }
}
