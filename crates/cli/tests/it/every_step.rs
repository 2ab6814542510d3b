//! `build`, `verify`, `import` and `repair`, killed at every call that changes the disk, and told at every such call that
//! the disk is full: nothing that looks finished is less than whole, and the same command finishes the work.
//!
//! The calls are taken from a run of the command under `strace`, so a step that the code takes tomorrow is covered tomorrow.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sealock_trust::Digest;

use crate::import::believe;
use crate::packager::{Packager, json};
use crate::sandbox::Sandbox;
use crate::strace::{self, Call, Fault};

const BUNDLE: &str = "plant/plant-1.tar";

/// One command, and what must hold around it.
struct Work<'a> {
    args: &'a [&'a str],
    /// Fewer calls than this would mean that the command did not do its work.
    at_least: usize,
    /// Holds wherever the command was cut off.
    never_broken: &'a dyn Fn(&Sandbox),
    /// Holds when the command is through.
    done: &'a dyn Fn(&Sandbox),
    /// The file that the command takes away when it is done.
    consumes: Option<&'a str>,
}

/// Runs the command, in a copy of `start`, with each fault at each call, and then once more without.
#[expect(clippy::print_stdout, reason = "a person wants to know how many steps there were")]
fn at_every_step(start: &Sandbox, work: &Work<'_>) {
    let first = start.copy();
    let calls = strace::changes(&first, work.args);
    (work.done)(&first);
    let mut met = BTreeSet::new();
    for fault in [Fault::Killed, Fault::DiskFull] {
        for call in calls.iter().filter(|call| fault == Fault::Killed || takes_room(call)) {
            if meets(start, work, fault, call) {
                met.insert((fault == Fault::Killed, call.clone()));
            }
        }
    }
    let kills = met.iter().filter(|(killed, _)| *killed).count();
    println!("{}: {} calls, {kills} kills, {} full disks", work.args[0], calls.len(), met.len() - kills);
    assert!(calls.len() >= work.at_least, "only {} calls change the disk: {calls:?}", calls.len());
    // Threads share the work in another way each time, so a call may not come up again: how many do hangs on the machine. Most
    // of what was to be there at least does on every one.
    assert!(kills * 2 >= work.at_least, "only {kills} of {} calls were met", calls.len());
}

/// Whether a full disk can fail it: a file system may need room for anything but giving room back.
fn takes_room(call: &Call) -> bool {
    !["unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat"].contains(&call.name.as_str())
}

/// Answers whether the fault came up.
fn meets(start: &Sandbox, work: &Work<'_>, fault: Fault, call: &Call) -> bool {
    let here = start.copy();
    let (output, is_on_a_file) = strace::meet(&here, fault, call, work.args);
    let place = format!("{fault:?} at {} number {}\n{}", call.name, call.number, here.seen_whatever(&output));
    let came_up = match fault {
        Fault::Killed => strace::was_killed(&output),
        Fault::DiskFull => output.status.code() == Some(4),
    };
    assert!(came_up || !is_on_a_file || output.status.success(), "{place}");
    if fault == Fault::DiskFull && came_up && is_on_a_file {
        assert!(place.contains("error: ") && !place.contains("panicked"), "{place}");
    }
    (work.never_broken)(&here);
    if work.consumes.is_none_or(|file| here.join(file).exists()) {
        let again = here.run(work.args);
        assert!(again.status.success(), "{place}\nand then: {}", here.seen(&again));
    }
    (work.done)(&here);
    came_up
}

/// A packager whose bundle is three files' worth of work, locked.
fn small() -> Packager {
    let packager = Packager::new();
    let spec = "apiVersion: sealock/v1alpha1\nkind: Bundle\nmetadata: {name: plant, stream: base}\nspec:\n  \
        audience: {sites: [plant-7]}\n  images: [{ref: 'docker.io/library/web:2', verify: {unsigned: 'a test'}}]\n";
    packager.sandbox.write("plant/sealock.yaml", spec);
    packager.lock();
    packager
}

fn read(sandbox: &Sandbox, name: &str) -> Vec<u8> {
    fs::read(sandbox.join(name)).expect("a file")
}

/// A temporary file that a killed process leaves has a name that nothing looks for, and that no other run takes.
fn is_orphan(name: &str) -> bool {
    name.starts_with(".tmp") && name.len() == 10
}

fn names_in(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(sandbox.join(folder)).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !is_orphan(name));
    names.sort();
    names
}

#[test]
fn build_may_end_at_every_step() {
    let packager = small();
    let start = &packager.sandbox;
    let whole = start.copy();
    whole.must(&["build", "--lock", "plant/sealock.lock"]);
    let (bundle, names) = (read(&whole, BUNDLE), names_in(&whole, "plant"));
    let work = Work {
        args: &["build", "--lock", "plant/sealock.lock"],
        at_least: 30,
        never_broken: &|here| {
            // What has the bundle's name has all of its content; it may still want its signature.
            if here.join(BUNDLE).exists() {
                assert!(read(here, BUNDLE)[1 << 20..] == bundle[1 << 20..], "a bundle that is not whole");
            }
        },
        done: &|here| {
            assert!(read(here, BUNDLE) == bundle, "another bundle");
            assert_eq!(names_in(here, "plant"), names);
        },
        consumes: None,
    };
    at_every_step(start, &work);
}

#[test]
fn import_may_end_at_every_step() {
    let packager = small();
    let start = &packager.sandbox;
    start.must(&["build", "--lock", "plant/sealock.lock"]);
    believe(start, "plant-7");
    let work = Work {
        args: &["import", BUNDLE],
        at_least: 60,
        never_broken: &|here| {
            let listed = json(&here.must(&["release", "list", "-o", "json"]));
            assert!(listed.as_array().is_some_and(|releases| releases.len() <= 1), "{listed}");
            assert_blobs_are_whole(here);
        },
        done: &|here| {
            let shown = json(&here.must(&["release", "show", "-o", "json"]));
            assert_eq!(shown["number"], 1, "{shown}");
            assert_blobs_are_whole(here);
            assert_eq!(names_in(here, "state/store/staging"), Vec::<String>::new());
            assert_eq!(names_in(here, "state/store/releases"), ["1.json"]);
        },
        consumes: None,
    };
    at_every_step(start, &work);
}

/// What has a blob's name has its digest.
fn assert_blobs_are_whole(sandbox: &Sandbox) {
    let folder = sandbox.join("state/store/blobs/sha256");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(Digest::sha256(&fs::read(&path).expect("a blob")).hex(), name);
    }
}

/// Two data volumes and one of parity on a medium, of which one is lost.
fn damaged() -> Packager {
    let packager = small();
    let sandbox = &packager.sandbox;
    sandbox.must(&["build", "--lock", "plant/sealock.lock"]);
    believe(sandbox, "plant-7");
    fs::create_dir(sandbox.join("medium")).expect("a folder");
    sandbox.must(&["send", BUNDLE, "--to", "medium", "--volume-size", "1MiB", "--parity", "50%"]);
    fs::create_dir(sandbox.join("whole")).expect("a folder");
    for name in names_in(sandbox, "medium") {
        fs::copy(sandbox.join("medium").join(&name), sandbox.join("whole").join(&name)).expect("a copy");
    }
    fs::remove_file(sandbox.join("medium/plant-1.tar.002")).expect("a volume");
    packager
}

/// The release is published before the file is gone from where it was given.
#[test]
fn import_in_place_may_end_at_every_step() {
    let packager = small();
    let start = &packager.sandbox;
    start.must(&["build", "--lock", "plant/sealock.lock"]);
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(start.join(BUNDLE), mode).expect("permissions");
    believe(start, "plant-7");
    let work = Work {
        args: &["import", BUNDLE, "--in-place"],
        at_least: 30,
        never_broken: &|here| {
            let listed = json(&here.must(&["release", "list", "-o", "json"]));
            let published = listed.as_array().map(Vec::len);
            assert!(published == Some(1) || (published == Some(0) && here.join(BUNDLE).exists()), "{listed}");
        },
        done: &|here| {
            let shown = json(&here.must(&["release", "show", "-o", "json"]));
            assert_eq!(shown["number"], 1, "{shown}");
            assert!(!here.join(BUNDLE).exists(), "it has the bundle in two places");
            here.must(&["store", "check", "--deep"]);
            assert_eq!(names_in(here, "state/store/staging"), Vec::<String>::new());
            assert_eq!(names_in(here, "state/store/lent").len(), 1);
        },
        consumes: Some(BUNDLE),
    };
    at_every_step(start, &work);
}

#[test]
fn repair_into_a_file_may_end_at_every_step() {
    let packager = damaged();
    let bundle = read(&packager.sandbox, BUNDLE);
    let work = Work {
        args: &["repair", "medium", "--to", "joined.tar"],
        at_least: 5,
        never_broken: &|here| {
            // Run again where it is there already, the command refuses to write over it; so that is done here.
            let path = here.join("joined.tar");
            if path.exists() {
                assert!(read(here, "joined.tar") == bundle, "a bundle that is not whole");
                fs::remove_file(path).expect("a file");
            }
        },
        done: &|here| assert!(read(here, "joined.tar") == bundle, "another bundle"),
        consumes: None,
    };
    at_every_step(&packager.sandbox, &work);
}

#[test]
fn repair_in_place_may_end_at_every_step() {
    let packager = damaged();
    let whole = names_in(&packager.sandbox, "whole");
    let is_whole =
        |here: &Sandbox, name: &String| read(here, &format!("medium/{name}")) == read(here, &format!("whole/{name}"));
    let work = Work {
        args: &["repair", "medium", "--in-place"],
        at_least: 5,
        never_broken: &|here| {
            let there = names_in(here, "medium");
            assert!(there.iter().filter(|name| whole.contains(name)).all(|name| is_whole(here, name)), "{there:?}");
        },
        done: &|here| {
            assert_eq!(names_in(here, "medium"), whole);
            assert!(whole.iter().all(|name| is_whole(here, name)), "a volume is not what was sent");
        },
        consumes: None,
    };
    at_every_step(&packager.sandbox, &work);
}

#[test]
fn verify_changes_nothing_on_the_disk() {
    let packager = damaged();
    let verify = ["verify", BUNDLE];
    let calls = strace::changes(&packager.sandbox, &verify);
    assert_eq!(calls, Vec::<Call>::new(), "there is no step at which it could be cut off");
}
