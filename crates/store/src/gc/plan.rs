//! The plan: everything in the store is held against the mark, and nothing is changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sealock_trust::{Digest, KeySet};

use super::guard::{Guard, Run};
use super::mark::{self, Mark, blobs, mark};
use super::report::{Amount, Garbage, GarbageState, Live, Plan, chain};
use super::roots::{self, Releases};
use crate::error::StoreError;
use crate::liveness::{Bound, Standing};
use crate::oci::Manifest;
use crate::operations::Operation;
use crate::pushed::Snapshot;
use crate::release::Published;
use crate::store::Store;

/// What the garbage collector has to be told.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The keys that sign releases.
    pub keys: &'a KeySet,
    /// How many releases are retained beside the current one; all where nobody says.
    pub retain: Option<u64>,
    /// What clusters and applications were made from.
    pub bound: &'a Bound,
    /// What was pushed, as the one who writes it knows it; read from its log where there is nobody.
    pub pushed: Option<&'a dyn Fn() -> Arc<Snapshot>>,
    /// What is in use by another account than that of the mark: what a server answers for at this moment. The two must agree.
    pub in_use: &'a dyn Fn() -> Vec<Digest>,
}

impl<'a> Request<'a> {
    /// Of a store that nobody serves.
    pub fn new(keys: &'a KeySet, retain: Option<u64>, bound: &'a Bound) -> Self {
        Self { keys, retain, bound, pushed: None, in_use: &Vec::new }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("retain", &self.retain).field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// A plan, and what it was made of.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) kept: HashMap<Digest, super::roots::Keeper>,
}

/// Says what would go, and why. `at` is the run that would do it, and the guard that knows the promises.
///
/// # Errors
/// [`StoreError`] where the store cannot be read at all. What is only in doubt stands in the plan.
pub(super) fn make(store: &Store, request: &Request<'_>, at: Option<(&Guard, Run)>) -> Result<Planned, StoreError> {
    let mut doubts = Vec::new();
    let standing = store.standing().unwrap_or_else(|error| {
        doubts.push(format!("which releases are live is not known: {}", chain(&error)));
        Standing::default()
    });
    let current = store.current_number()?.unwrap_or(0);
    let retire = request.retain.map_or_else(Vec::new, |retain| standing.leaving(current, retain, request.bound));
    let releases = Releases::read(store, request.keys, &standing, &retire)?;
    // Before the roots, so that what is put to use meanwhile makes no doubt.
    let in_use = (request.in_use)();
    let pushed = match request.pushed {
        Some(pushed) => roots::of_pushed(&pushed()),
        None => store.pushed_content().map(|snapshot| roots::of_pushed(&snapshot)).unwrap_or_else(|error| {
            doubts.push(format!("what was pushed is not known: {}", chain(&error)));
            Vec::new()
        }),
    };
    let Mark { kept, missing, doubts: found } = mark(store, &releases, &pushed);
    doubts.extend(found);
    doubts.extend(check_current(store, current)?);
    if let Some(digest) = in_use.iter().find(|digest| !kept.contains_key(digest)) {
        doubts.push(format!("the server answers for {digest}, and the mark found no way to it"));
    }
    let all = blobs(store)?;
    let (stays, goes): (Vec<_>, Vec<_>) = all.into_iter().partition(|(digest, _)| kept.contains_key(digest));
    let spans = Spans::of(store, &releases.retired, goes.iter().map(|(digest, _)| digest));
    let mut garbage: Vec<_> = goes.into_iter().map(|(digest, size)| spans.describe(digest, size, at)).collect();
    garbage.sort_by(|a, b| a.digest.cmp(&b.digest));
    let plan = Plan {
        live: live(&releases, current, request, &standing),
        retire,
        garbage,
        kept: stays.into_iter().map(|(_, size)| size).collect::<Amount>(),
        missing,
        doubts,
    };
    Ok(Planned { plan, kept })
}

/// A pointer that was turned back, or a folder that holds more than it may, would make live releases look like none.
fn check_current(store: &Store, current: u64) -> Result<Vec<String>, StoreError> {
    let mut doubts = Vec::new();
    let newest = store.release_numbers()?.into_iter().max().unwrap_or(0);
    if newest > current {
        doubts.push(format!("release {newest} is in the store, and the current one is {current}"));
    }
    let mut last = 0;
    // Where it cannot be read, the standing of releases is in doubt already.
    let _ = store.each_operation(|record| {
        if let Operation::Published { release } = record.operation {
            last = release;
        }
    });
    if last > current {
        doubts.push(format!("release {last} was published, and the current one is {current}"));
    }
    Ok(doubts)
}

fn live(releases: &Releases, current: u64, request: &Request<'_>, standing: &Standing) -> Vec<Live> {
    let mut numbers: Vec<u64> = releases.live.iter().map(|published| published.release.number).collect();
    numbers.extend(releases.unreadable.iter().map(|(number, _)| *number));
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let describe = |release: u64| {
        let mut because = Vec::new();
        if release == current {
            because.push("it is the current one".to_owned());
        }
        if standing.pinned.contains(&release) {
            because.push("it is pinned".to_owned());
        }
        because.extend(request.bound.get(&release).into_iter().flatten().map(|who| format!("{who} was made from it")));
        if because.is_empty() {
            because.push(request.retain.map_or_else(
                || "the site retains every release".to_owned(),
                |retain| format!("the site retains {retain} releases beside the current one"),
            ));
        }
        Live { release, because }
    };
    numbers.into_iter().map(describe).collect()
}

/// Which retired releases kept a blob, as far as that can still be read.
struct Spans(HashMap<Digest, (u64, u64)>);

impl Spans {
    fn of<'a>(store: &Store, retired: &[Published], garbage: impl Iterator<Item = &'a Digest>) -> Self {
        let garbage: BTreeSet<&Digest> = garbage.collect();
        let mut spans = HashMap::new();
        let mut children = HashMap::new();
        for published in retired {
            for digest in reached(store, published, &garbage, &mut children) {
                let number = published.release.number;
                spans.entry(digest).or_insert((number, number)).1 = number;
            }
        }
        Self(spans)
    }

    fn describe(&self, digest: Digest, size: u64, at: Option<(&Guard, Run)>) -> Garbage {
        let span = self.0.get(&digest);
        let state = at.map_or(GarbageState::Found, |(guard, run)| match () {
            () if guard.may_delete(&digest, run) => GarbageState::Due,
            () if guard.condemned(&digest).is_some() => GarbageState::Condemned,
            () if guard.is_promised(&digest, run.now) => GarbageState::Promised,
            () => GarbageState::Found,
        });
        let (oldest_release, newest_release) = (span.map(|span| span.0), span.map(|span| span.1));
        Garbage { digest, size, oldest_release, newest_release, state }
    }
}

/// What of `garbage` the release led to. What cannot be read leads nowhere.
fn reached(
    store: &Store,
    published: &Published,
    garbage: &BTreeSet<&Digest>,
    children: &mut HashMap<Digest, Vec<Digest>>,
) -> BTreeSet<Digest> {
    let release = &published.release;
    let mut reached = BTreeSet::new();
    let mut open: Vec<Digest> = release.references.iter().map(|reference| reference.digest.clone()).collect();
    for selection in &release.streams {
        open.push(selection.manifest.clone());
        if garbage.contains(&selection.manifest) {
            open.extend(mark::listing(store, selection).unwrap_or_default().into_iter().map(|listed| listed.digest));
        }
    }
    while let Some(digest) = open.pop() {
        if garbage.contains(&digest) && reached.insert(digest.clone()) {
            open.extend(children.entry(digest).or_insert_with_key(|digest| named_by(store, digest)).iter().cloned());
        }
    }
    reached
}

/// What the blob names, if it is a manifest.
fn named_by(store: &Store, digest: &Digest) -> Vec<Digest> {
    let Ok(manifest) = Manifest::read(store, digest, "") else { return Vec::new() };
    let parts = manifest.parts;
    let all = parts.manifests.into_iter().chain(parts.config).chain(parts.layers);
    all.map(|descriptor| descriptor.digest).collect()
}
