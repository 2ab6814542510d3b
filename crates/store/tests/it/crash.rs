//! Cut off, or failed, at every durable step, an import loses nothing that was acknowledged, and the same call finishes it.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use sealock_store::failpoint;

use crate::dying::came_to_its_end;
use crate::site::{Bundle, Site};

const FIRST: Bundle = Bundle { stream: "base", sequence: 1 };
const SECOND: Bundle = Bundle { stream: "base", sequence: 2 };

const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const STEP: &str = "SEALOCK_TEST_STEP";
const BUNDLE: &str = "SEALOCK_TEST_BUNDLE";

/// More steps than this would mean that the count never ends.
const MOST_STEPS: usize = 500;

#[test]
fn killed_at_every_step_of_the_first_import_the_next_run_finishes_it() {
    let steps = kill_at_every_step(FIRST, |_| {});
    assert!(steps > 40, "only {steps} steps were seen");
}

#[test]
fn killed_at_every_step_of_an_import_the_store_serves_the_old_release_or_the_new_one() {
    let steps = kill_at_every_step(SECOND, |site| {
        site.import(FIRST).unwrap();
    });
    assert!(steps > 30, "only {steps} steps were seen");
}

fn kill_at_every_step(bundle: Bundle, prepare: impl Fn(&Site)) -> usize {
    for step in 0..MOST_STEPS {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::new(folder.path());
        prepare(&site);
        let before = current_number(&site);
        let finished = import_in_another_process(folder.path(), bundle, step);
        if site.store.join("format").exists() {
            site.check();
            let number = current_number(&site);
            assert!(number == before || number == before + 1, "killed at step {step}: release {number}");
            assert!(!finished || number == before + 1);
        }
        let published = site.import(bundle).unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
        assert_eq!(published.release.number, before + 1, "after step {step}");
        site.check_clean();
        if finished {
            return step;
        }
    }
    panic!("an import has more than {MOST_STEPS} steps")
}

/// Whether the import came to its end before the step at which it was to be killed.
fn import_in_another_process(folder: &Path, bundle: Bundle, step: usize) -> bool {
    let folder = folder.to_str().unwrap().to_owned();
    let variables = [(FOLDER, folder), (STEP, step.to_string()), (BUNDLE, bundle.sequence.to_string())];
    came_to_its_end("crash::import_and_die", &variables)
}

#[test]
#[ignore = "started by kill_at_every_step in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn import_and_die() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let site = Site::new(Path::new(&variable(FOLDER)));
    let at_step: usize = variable(STEP).parse().unwrap();
    let bundle = Bundle { stream: "base", sequence: variable(BUNDLE).parse().unwrap() };
    let mut step = 0;
    failpoint::set(move |_| {
        if step == at_step {
            // Like SIGKILL: no destructor runs.
            std::process::abort();
        }
        step += 1;
        Ok(())
    });
    site.import(bundle).unwrap();
}

#[test]
fn an_error_of_the_disk_at_any_step_leaves_the_store_whole() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        fail_at_every_step(kind);
    }
}

fn fail_at_every_step(kind: io::ErrorKind) {
    for step in 0..MOST_STEPS {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::new(folder.path());
        site.import(FIRST).unwrap();
        let hit = fail_once(step, kind);
        let result = site.import(SECOND);
        failpoint::set(|_| Ok(()));

        site.check();
        if hit.get() {
            // Steps that only tidy up may fail without a word.
            if let Err(error) = &result {
                assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error:?}");
            }
        }
        assert_eq!(site.import(SECOND).unwrap().release.number, 2, "after step {step}");
        site.check_clean();
        if !hit.get() {
            result.unwrap();
            assert!(step > 30, "only {step} steps were seen");
            return;
        }
    }
    panic!("an import has more than {MOST_STEPS} steps")
}

fn fail_once(at_step: usize, kind: io::ErrorKind) -> Rc<Cell<bool>> {
    let hit = Rc::new(Cell::new(false));
    let seen = hit.clone();
    let mut step = 0;
    failpoint::set(move |_| {
        step += 1;
        if step == at_step + 1 {
            seen.set(true);
            return Err(kind.into());
        }
        Ok(())
    });
    hit
}

fn current_number(site: &Site) -> u64 {
    if !site.store.join("format").exists() {
        return 0;
    }
    site.current().map_or(0, |published| published.release.number)
}
