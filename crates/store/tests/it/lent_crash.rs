//! Whatever cuts off taking a bundle in, and migrating it: the bundle is where it was given, or lends.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use sealock_store::failpoint;

use crate::dying::came_to_its_end;
use crate::lent::{check_clean, check_whole, loan};
use crate::loan::{Loan, migrate};
use crate::shelf::Shelf;

const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const STEP: &str = "SEALOCK_TEST_STEP";

/// More steps than this would mean that the count never ends.
const MOST_STEPS: usize = 500;

#[test]
fn killed_at_every_step_the_bundle_is_where_it_was_given_or_lends() {
    let mut steps = 0;
    for step in 0..MOST_STEPS {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        shelf.publish("base", 1, &["one"]).unwrap();
        let loan = Loan::of(2, &["one", "two"]);
        let path = loan.file(&shelf);
        let variables = [(FOLDER, folder.path().to_str().unwrap().to_owned()), (STEP, step.to_string())];
        let finished = came_to_its_end("lent_crash::lend_and_die", &variables);
        let number = shelf.site.current().unwrap().release.number;
        assert!(number == 1 || number == 2, "killed at step {step}: release {number}");
        let release = shelf.site.current().unwrap().release;
        shelf.store().check_whole(&release).unwrap();
        assert!(number == 2 || path.exists(), "killed at step {step}: the bundle is gone, and nothing serves it");
        if path.exists() {
            assert_eq!(loan.take_in(&shelf, &path).unwrap().release.number, 2, "after step {step}");
        }
        check_whole(&shelf, &loan);
        // A second name that was left behind is the importer's.
        assert!(!path.exists() || !loan.taken(&shelf).exists(), "after step {step}");
        migrate(&shelf).unwrap();
        check_whole(&shelf, &loan);
        assert!(!loan.taken(&shelf).exists(), "after step {step}");
        check_clean(&shelf);
        if finished {
            steps = step;
            break;
        }
    }
    assert!(steps > 60, "only {steps} steps were seen");
}

/// Takes a bundle in, and migrates it.
#[test]
#[ignore = "started by the test above in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn lend_and_die() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let folder = variable(FOLDER);
    let shelf = Shelf::new(Path::new(&folder));
    let at_step: usize = variable(STEP).parse().unwrap();
    let loan = Loan::of(2, &["one", "two"]);
    let mut step = 0;
    failpoint::set(move |name| {
        if name == "read blob" || name == "read manifest" {
            return Ok(());
        }
        if step == at_step {
            // Like SIGKILL: no destructor runs.
            std::process::abort();
        }
        step += 1;
        Ok(())
    });
    loan.take_in(&shelf, &Path::new(&folder).join("bundle-2.tar")).unwrap();
    migrate(&shelf).unwrap();
}

#[test]
fn an_error_of_the_disk_at_any_step_loses_nothing() {
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
        let mut steps = 0;
        for step in 0..MOST_STEPS {
            let folder = tempfile::tempdir().unwrap();
            let shelf = Shelf::new(folder.path());
            let path = loan().file(&shelf);
            let hit = fail_once(step, kind);
            let result = loan().take_in(&shelf, &path).and_then(|_| migrate(&shelf));
            failpoint::set(|_| Ok(()));
            if let Err(error) = &result {
                assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error:?}");
            }
            if path.exists() {
                loan().take_in(&shelf, &path).unwrap();
            }
            check_whole(&shelf, &loan());
            migrate(&shelf).unwrap();
            check_whole(&shelf, &loan());
            assert!(!loan().taken(&shelf).exists(), "after step {step}");
            assert_eq!(shelf.store().quarantined().unwrap(), [], "after step {step}");
            if !hit.get() {
                result.unwrap();
                steps = step;
                break;
            }
        }
        assert!(steps > 60, "only {steps} steps were seen");
    }
}

fn fail_once(at_step: usize, kind: std::io::ErrorKind) -> Rc<Cell<bool>> {
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
