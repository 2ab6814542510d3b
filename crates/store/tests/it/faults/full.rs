//! A disk that is really full, at every step: so many pages are left, and not one more.

use std::path::{Path, PathBuf};

use super::inject::quietly;
use super::invariants::{HELD, hold, leaves_nothing};
use super::place::{Place, copy};
use super::told::Client;
use super::work::{self, Start};
use crate::site::fill_up;

const FOLDER: &str = "SEALOCK_TEST_SMALL_DISK";

/// Pages that are left, of 4 KiB.
const LEFT: [usize; 14] = [0, 1, 2, 3, 5, 9, 22, 60, 310, 320, 330, 345, 400, 700];

#[test]
fn on_a_disk_that_is_really_full_every_work_fails_whole_or_is_done() {
    let printed = sealock_testkit::small_disk::run("faults::full::on_a_small_disk", "12m", FOLDER);
    println!();
    printed.lines().filter(|line| line.contains("  ")).for_each(|line| println!("{line}"));
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var(FOLDER).unwrap());
    let mut failures = Vec::new();
    println!("{:<22}  {:>6}  {:>6}  invariants", "work on a full disk", "failed", "done");
    for work in work::all().into_iter().filter(|work| work.full.is_none()) {
        let start = Start::of(work);
        let shape = start.shape_in_the_end();
        let (mut failed, mut done) = (0, 0);
        for pages in LEFT {
            let at = format!("{}: {pages} pages are left", work.name);
            let result = quietly(&at, || match with_pages(&start, &disk, pages, &shape) {
                true => done += 1,
                false => failed += 1,
            });
            failures.extend(result.err());
            clear(&disk);
        }
        println!("{:<22}  {failed:>6}  {done:>6}  {HELD}", work.name);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Does the work where so many pages are left, and then once more where there is room. Answers whether it was done at once.
fn with_pages(start: &Start, disk: &Path, pages: usize, shape: &[String]) -> bool {
    let folder = disk.join("place");
    copy(start.path(), &folder);
    let place = Place::new(&folder);
    let filler = disk.join("filler");
    let room = disk.join("room");
    std::fs::write(&room, vec![1; pages * 4096]).unwrap();
    fill_up(&filler);
    std::fs::remove_file(&room).unwrap();
    let mut told = start.told();
    let mut hear = |line: &str| told.hear(line);
    let result = (start.work.run)(&place, &mut Client::new(&mut hear));
    std::fs::remove_file(&filler).unwrap();
    if let Err(error) = &result {
        assert!(error.is_environment() && !error.is_refusal(), "{error:?}");
    }
    hold(&place, &told);
    start.do_again(&place, &mut told);
    hold(&place, &told);
    leaves_nothing(&place);
    assert_eq!(place.shape(), shape, "I5: something is missing, or left over");
    result.is_ok()
}

fn clear(disk: &Path) {
    for entry in std::fs::read_dir(disk).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
}
