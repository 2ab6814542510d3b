//! What is done to a store while something goes wrong: one row for each.

mod lends;
mod pushes;
mod releases;
mod upkeep;

use std::path::Path;

use sealock_store::pushed::PushError;

use super::place::{Place, copy, scratch};
use super::told::{Client, Told};

/// What a piece of work comes to; [`PushError`] wraps what a store says.
pub(crate) type Outcome = Result<(), PushError>;

/// Something that is done to a store.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// As the table calls it.
    pub(crate) name: &'static str,
    /// What was done before.
    pub(crate) prepare: fn(&Place, &mut Client<'_>),
    /// Does it, as often as it takes.
    pub(crate) run: fn(&Place, &mut Client<'_>) -> Outcome,
    /// What is done later, in any case, before one looks whether all is as it should be.
    pub(crate) finish: fn(&Place),
    /// The step that fails for want of room in any case: which one, and how often it works before.
    pub(crate) full: Option<(&'static str, usize)>,
}

/// What most work has.
const PLAIN: Work = Work { name: "", prepare: |_, _| {}, run: |_, _| Ok(()), finish: |_| {}, full: None };

/// Every work.
pub(crate) fn all() -> Vec<Work> {
    [releases::WORKS, lends::WORKS, pushes::WORKS, upkeep::WORKS].concat()
}

/// The work of that name.
pub(crate) fn named(name: &str) -> Work {
    let found = all().into_iter().find(|work| work.name == name);
    found.unwrap_or_else(|| panic!("there is no work called {name}"))
}

/// A place where a work can be done again and again, each time in a copy.
pub(crate) struct Start {
    pub(crate) work: Work,
    folder: tempfile::TempDir,
    /// What was told while it was prepared.
    pub(crate) told: String,
}

impl Start {
    pub(crate) fn of(work: Work) -> Self {
        let folder = scratch();
        let mut told = String::new();
        let mut hear = |line: &str| told.push_str(&format!("{line}\n"));
        (work.prepare)(&Place::new(folder.path()), &mut Client::new(&mut hear));
        Self { work, folder, told }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of it.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let folder = scratch();
        copy(self.folder.path(), folder.path());
        folder
    }

    /// What was told before.
    pub(crate) fn told(&self) -> Told {
        Told::of(&self.told)
    }

    /// What a place looks like where all went well.
    pub(crate) fn shape_in_the_end(&self) -> Vec<String> {
        let folder = self.copy();
        let place = Place::new(folder.path());
        self.do_again(&place, &mut self.told());
        place.shape()
    }

    /// Does the work without any fault, and all that comes after it.
    pub(crate) fn do_again(&self, place: &Place, told: &mut Told) {
        let mut hear = |line: &str| told.hear(line);
        let done = (self.work.run)(place, &mut Client::new(&mut hear));
        done.unwrap_or_else(|error| panic!("once more, it fails: {error:?}"));
        (self.work.finish)(place);
    }
}
