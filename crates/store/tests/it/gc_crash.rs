//! Cut off, or failed, at every durable step, a run of the collector loses nothing that is needed, and the next run finishes it.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use sealock_store::operations::Operation;
use sealock_store::{StoreError, failpoint};
use sealock_trust::Digest;

use crate::dying::came_to_its_end;
use crate::shelf::{Shelf, TERMS};
use crate::site::{at, files, fill_up};

const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const STEP: &str = "SEALOCK_TEST_STEP";
const SECONDS: &str = "SEALOCK_TEST_SECONDS";
const SMALL_DISK: &str = "SEALOCK_TEST_SMALL_DISK";

/// More steps than this would mean that the count never ends.
const MOST_STEPS: usize = 200;

/// Two runs: the first condemns, the second deletes.
fn runs() -> [u64; 2] {
    [0, TERMS.grace]
}

/// The blobs that are left when nothing goes wrong.
fn blobs_in_the_end() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::of_four(folder.path());
    for seconds in runs() {
        shelf.collect(Some(1), seconds).unwrap();
    }
    names(&shelf)
}

fn names(shelf: &Shelf) -> Vec<String> {
    let blobs = files(&shelf.site.store.join("blobs"));
    blobs.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn check(shelf: &Shelf) {
    let plan = shelf.plan(None, 0);
    assert_eq!((plan.doubts, plan.missing), (vec![], vec![]));
    shelf.store().operations().unwrap();
}

/// Runs the collector until it has nothing to do, and looks at what is left.
fn finish(shelf: &Shelf, expected: &[String], step: usize) {
    for seconds in [TERMS.grace, 2 * TERMS.grace, 3 * TERMS.grace] {
        shelf.collect(Some(1), seconds).unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
    }
    assert_eq!(names(shelf), expected, "after step {step}");
    check(shelf);
}

#[test]
fn killed_at_every_step_the_next_run_finishes_it() {
    let expected = blobs_in_the_end();
    for (index, seconds) in runs().into_iter().enumerate() {
        let mut seen = 0;
        for step in 0..MOST_STEPS {
            let folder = tempfile::tempdir().unwrap();
            let shelf = Shelf::of_four(folder.path());
            for earlier in runs().into_iter().take(index) {
                shelf.collect(Some(1), earlier).unwrap();
            }
            let finished = collect_in_another_process(folder.path(), seconds, step);
            check(&shelf);
            finish(&shelf, &expected, step);
            if finished {
                seen = step;
                break;
            }
        }
        assert!(seen > 8, "only {seen} steps were seen in run {index}");
    }
}

/// Whether the run came to its end before the step at which it was to be killed.
fn collect_in_another_process(folder: &Path, seconds: u64, step: usize) -> bool {
    let folder = folder.to_str().unwrap().to_owned();
    let variables = [(FOLDER, folder), (STEP, step.to_string()), (SECONDS, seconds.to_string())];
    came_to_its_end("gc_crash::collect_and_die", &variables)
}

#[test]
#[ignore = "started by killed_at_every_step_the_next_run_finishes_it in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn collect_and_die() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let shelf = Shelf::new(Path::new(&variable(FOLDER)));
    let at_step: usize = variable(STEP).parse().unwrap();
    let mut step = 0;
    failpoint::set(move |name| {
        // Reading changes nothing.
        if name == "read manifest" {
            return Ok(());
        }
        if step == at_step {
            // Like SIGKILL: no destructor runs.
            std::process::abort();
        }
        step += 1;
        Ok(())
    });
    shelf.collect(Some(1), variable(SECONDS).parse().unwrap()).unwrap();
}

#[test]
fn an_error_of_the_disk_at_any_step_loses_nothing() {
    let expected = blobs_in_the_end();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let mut seen = 0;
        for step in 0..MOST_STEPS {
            let folder = tempfile::tempdir().unwrap();
            let shelf = Shelf::of_four(folder.path());
            shelf.collect(Some(1), 0).unwrap();
            let hit = fail_once(step, kind);
            let result = shelf.collect(Some(1), TERMS.grace);
            failpoint::set(|_| Ok(()));
            if let Err(error) = &result {
                assert!(hit.get() && error.is_environment() && !error.is_refusal(), "step {step}: {error:?}");
            }
            check(&shelf);
            finish(&shelf, &expected, step);
            if !hit.get() {
                seen = step;
                break;
            }
        }
        assert!(seen > 8, "only {seen} steps were seen");
    }
}

fn fail_once(at_step: usize, kind: io::ErrorKind) -> Rc<Cell<bool>> {
    let hit = Rc::new(Cell::new(false));
    let seen = hit.clone();
    let mut step = 0;
    failpoint::set(move |name| {
        if name == "read manifest" {
            return Ok(());
        }
        step += 1;
        if step == at_step + 1 {
            seen.set(true);
            return Err(kind.into());
        }
        Ok(())
    });
    hit
}

#[test]
fn on_a_full_disk_garbage_goes() {
    sealock_testkit::small_disk::run("gc_crash::collect_on_a_full_disk", "2m", SMALL_DISK);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn collect_on_a_full_disk() {
    let folder = std::env::var(SMALL_DISK).unwrap();
    let folder = Path::new(&folder);
    let shelf = Shelf::of_four(folder);
    let before = names(&shelf);
    let reserve = shelf.site.store.join("reserve");
    assert!(std::fs::metadata(&reserve).unwrap().len() > 0);

    // The proof that room is needed at all: without any, nothing happens.
    let kept = std::fs::read(&reserve).unwrap();
    fill_last_page_of_log(&shelf);
    std::fs::remove_file(&reserve).unwrap();
    fill_up(&folder.join("filler"));
    assert!(matches!(shelf.collect(Some(1), 0), Err(StoreError::DiskFull { .. })));
    assert_eq!(names(&shelf), before);
    std::fs::remove_file(folder.join("filler")).unwrap();
    std::fs::write(&reserve, kept).unwrap();

    for (round, seconds) in runs().into_iter().enumerate() {
        fill_last_page_of_log(&shelf);
        fill_up(&folder.join(format!("filler {round}")));
        shelf.collect(Some(1), seconds).unwrap();
    }
    assert!(!shelf.has("only in 1") && shelf.has("only in 3"));
    check(&shelf);
}

/// So that the next record, which settles what an import has left behind that a full disk cut off, needs a page that the file
/// does not have yet.
fn fill_last_page_of_log(shelf: &Shelf) {
    let log = shelf.site.store.join("operations.log");
    let lock = shelf.store().lock().unwrap();
    loop {
        let publish = Operation::Publish { release: 5, digest: Digest::sha256(b"release 5") };
        lock.log(at(9), publish).unwrap();
        if std::fs::metadata(&log).unwrap().len() % 4096 > 4096 - 150 {
            return;
        }
    }
}
