//! Sending and repairing that dies, or finds the disk full, at every durable step: no file of a final name is ever less
//! than whole, and the same call finishes the work.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use sealock_bundle::volumes::{Target, Verdict, VolumeSet, repair, scan};
use sealock_store::failpoint;

use crate::crash::{die_at, died, variable};
use crate::support::{Cargo, Publisher, noise};
use crate::volumes::send_to;

const DIE_AT: &str = "SEALOCK_TEST_VOLUMES_DIE_AT";
const FOLDER: &str = "SEALOCK_TEST_VOLUMES_FOLDER";
const WORK: &str = "SEALOCK_TEST_VOLUMES_WORK";

/// Three data volumes of 2 MiB and their parity.
fn small() -> Cargo {
    Cargo::of_files("base", 1, &[("large", noise(7, (4 << 20) + 17))])
}

fn publisher_in(folder: &Path) -> Publisher {
    Publisher { root: fs::read(folder.join("root.json")).unwrap(), ..Publisher::new() }
}

fn do_work(work: &str, folder: &Path) {
    let media = [folder.join("media")];
    let repair_to = |target: Target<'_>| {
        repair(&VolumeSet::find(&media).unwrap(), target, &mut |_| {}).unwrap();
    };
    match work {
        "send" => {
            send_to(&folder.join("base-1.sealock"), &publisher_in(folder), &media, ("2MiB", "50%")).unwrap();
        }
        "join" => repair_to(Target::File(&folder.join("joined"))),
        "in place" => repair_to(Target::InPlace),
        other => panic!("{other}"),
    }
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let (Some(step), Some(folder), Some(work)) = (variable(DIE_AT), variable(FOLDER), variable(WORK)) else { return };
    die_at(&step);
    do_work(&work, Path::new(&folder));
}

fn child_dies(work: &str, step: u32, folder: &Path) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "volumes_crash::child", "--nocapture"]);
    child.env(DIE_AT, step.to_string()).env(FOLDER, folder).env(WORK, work);
    died(&mut child)
}

struct Start {
    folder: tempfile::TempDir,
    whole: Vec<(PathBuf, Vec<u8>)>,
}

impl Start {
    /// A bundle, and its volumes if `sent`; `harm` is done to them.
    fn new(sent: bool, harm: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (start, publisher) = (folder.path().join("start"), Publisher::new());
        fs::create_dir_all(start.join("media")).unwrap();
        fs::write(start.join("root.json"), &publisher.root).unwrap();
        small().build(&start, &publisher);
        do_work("send", &start);
        let files = fs::read_dir(start.join("media")).unwrap().map(|entry| entry.unwrap().path());
        let whole = files.map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap())).collect();
        if !sent {
            fs::remove_dir_all(start.join("media")).unwrap();
            fs::create_dir(start.join("media")).unwrap();
        }
        harm(&start.join("media"));
        Self { folder, whole }
    }

    fn copy(&self, name: &str) -> PathBuf {
        let here = self.folder.path().join(name);
        assert!(
            Command::new("cp").arg("-a").arg(self.folder.path().join("start")).arg(&here).status().unwrap().success()
        );
        here
    }

    fn assert_nothing_half(&self, here: &Path) {
        for (name, content) in &self.whole {
            if let Ok(found) = fs::read(here.join("media").join(name)) {
                assert!(found == *content, "{} is not whole", name.display());
            }
        }
    }

    fn assert_all(&self, here: &Path) {
        let found: Vec<PathBuf> =
            fs::read_dir(here.join("media")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(found.len(), self.whole.len(), "{found:?}");
        self.assert_nothing_half(here);
        let set = VolumeSet::find(&[here.join("media")]).unwrap();
        assert_eq!(scan(&set, 0, &mut |_| {}).verdict(), &Verdict::Whole);
    }
}

fn damage(media: &Path) {
    let second = media.join("base-1.sealock.002");
    let mut bytes = fs::read(&second).unwrap();
    bytes[77] ^= 1;
    fs::write(&second, bytes).unwrap();
    fs::remove_file(media.join("base-1.sealock.003")).unwrap();
}

#[test]
fn sending_is_killed_at_every_step() {
    let start = Start::new(false, |_| {});
    for step in 0.. {
        let here = start.copy("here");
        let died = child_dies("send", step, &here);
        start.assert_nothing_half(&here);
        do_work("send", &here);
        start.assert_all(&here);
        fs::remove_dir_all(&here).unwrap();
        if !died {
            assert!(step > 20, "only {step} steps were found");
            break;
        }
    }
}

#[test]
fn repairing_is_killed_at_every_step() {
    let start = Start::new(true, damage);
    let bundle = fs::read(start.folder.path().join("start/base-1.sealock")).unwrap();
    for (work, least) in [("join", 5), ("in place", 4)] {
        for step in 0.. {
            let here = start.copy("here");
            let died = child_dies(work, step, &here);
            match (work, died) {
                ("join", true) => {
                    let is_there = here.join("joined").exists();
                    if !is_there {
                        do_work(work, &here);
                    }
                    assert!(fs::read(here.join("joined")).unwrap() == bundle, "step {step}");
                }
                ("join", false) => assert!(fs::read(here.join("joined")).unwrap() == bundle),
                _ => {
                    do_work(work, &here);
                    start.assert_all(&here);
                }
            }
            fs::remove_dir_all(&here).unwrap();
            if !died {
                assert!(step > least, "only {step} steps were found");
                break;
            }
        }
    }
}

#[test]
fn the_disk_is_full_at_every_step_of_sending() {
    let start = Start::new(false, |_| {});
    for step in 0.. {
        let here = start.copy("here");
        let counter = Rc::new(Cell::new(0));
        failpoint::set(move |_| {
            counter.set(counter.get() + 1);
            if counter.get() > step { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        });
        let media = [here.join("media")];
        let outcome = send_to(&here.join("base-1.sealock"), &publisher_in(&here), &media, ("2MiB", "50%"));
        failpoint::set(|_| Ok(()));
        start.assert_nothing_half(&here);
        let is_done = outcome.is_ok();
        if let Err(error) = outcome {
            assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error}");
            do_work("send", &here);
        }
        start.assert_all(&here);
        fs::remove_dir_all(&here).unwrap();
        if is_done {
            assert!(step > 20, "only {step} steps were found");
            break;
        }
    }
}

const SMALL_DISK: &str = "SEALOCK_TEST_VOLUMES_DISK";

#[test]
fn a_medium_that_is_too_small_is_known_before_anything_is_written() {
    sealock_testkit::small_disk::run("volumes_crash::on_a_small_disk", "5m", SMALL_DISK);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
fn on_a_small_disk() {
    let disk = PathBuf::from(variable(SMALL_DISK).unwrap());
    let start = Start::new(true, damage);
    let here = start.folder.path().join("start");
    let bundle = here.join("base-1.sealock");
    let publisher = publisher_in(&here);
    let error = send_to(&bundle, &publisher, std::slice::from_ref(&disk), ("2MiB", "50%")).unwrap_err();
    assert!(error.is_environment() && error.to_string().contains("room"), "{error}");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    let set = VolumeSet::find(&[here.join("media")]).unwrap();
    let error = repair(&set, Target::File(&disk.join("joined")), &mut |_| {}).unwrap_err();
    assert!(error.is_environment() && error.to_string().contains("room"), "{error}");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    // New volumes in the place of the lost ones fit.
    repair(&set, Target::Folder(&disk), &mut |_| {}).unwrap();
    // Room that somebody else takes meanwhile.
    let filler = disk.join("filler");
    fs::remove_file(disk.join("base-1.sealock.002")).unwrap();
    let mut is_first = true;
    let outcome = repair(&set, Target::Folder(&disk), &mut |_| {
        if std::mem::take(&mut is_first) {
            let full = fs::write(&filler, vec![1; 4 << 20]).is_err();
            assert!(full || filler.exists());
        }
    });
    let error = outcome.unwrap_err();
    assert!(error.is_environment() && !disk.join("base-1.sealock.002").exists(), "{error}");
    fs::remove_file(&filler).unwrap();
    repair(&set, Target::Folder(&disk), &mut |_| {}).unwrap();
}
