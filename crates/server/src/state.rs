//! What requests see: the view of the current release, swapped as a whole.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sealock_store::gc::protocol::Terms;
use sealock_store::gc::{Guard, Serving};
use sealock_store::pushed::{Pushed, Snapshot};
use sealock_store::{Bound, Published, Store};
use sealock_trust::KeySet;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::audit::Audit;
use crate::bound::bound;
use crate::clock::{Clock, ticks};
use crate::condition::Condition;
use crate::config::{Limits, RevocationSource, ServeConfig};
use crate::error::ServeError;
use crate::observe::{Observer, Standing};
use crate::revoked::{Revocations, RevokedError};
use crate::view::View;
use crate::view::name::{is_repository, upstream_prefix};
use crate::view::vouched::Verdicts;

/// Manifests that are taken into memory at a time: each may have 4 MiB.
const MANIFESTS_AT_ONCE: usize = 16;

/// Bodies of uploads that are taken at a time: each has a thread, and pulls need some of these too.
const WRITERS_AT_ONCE: usize = 128;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct State {
    store: Store,
    site_keys: KeySet,
    source: Option<RevocationSource>,
    /// How many releases beside the current one are served.
    retain: Option<u64>,
    /// Where it stands what was made from which release.
    clusters: Option<PathBuf>,
    /// The registry's own names and addresses, lower case, with and without port.
    names: Vec<String>,
    access: Arc<Access>,
    /// What replies have promised.
    guard: Arc<Guard>,
    /// None where nothing is pushed.
    pushed: Option<Arc<Pushed>>,
    /// Held for as long as promises are given; none where another process keeps the store, or this one may not.
    serving: Option<Serving>,
    /// What there is where nothing is pushed.
    nothing: Arc<Snapshot>,
    /// Manifests that are taken into memory at a time.
    manifests: Semaphore,
    /// Bodies of uploads that are taken at a time.
    writers: Semaphore,
    limits: Limits,
    view: ArcSwap<View>,
    /// What was revoked and in use when the view was built.
    revocations: ArcSwap<Revocations>,
    observer: Arc<Observer>,
    condition: Condition,
    verdicts: Verdicts,
    audit: Audit,
    clock: Clock,
    /// Held while a view is built, so that an older one never replaces a newer one.
    building: Mutex<()>,
}

impl State {
    /// The state at start: the current release, whose signature must hold, less what is revoked.
    pub(crate) fn load(config: &ServeConfig, observer: Observer) -> Result<Self, ServeError> {
        let serving = begin_serving(config)?;
        let terms = Terms { lease: config.upkeep.lease.as_secs(), grace: config.upkeep.grace.as_secs() };
        let guard = Arc::new(Guard::new(terms, ticks()));
        let open = |settings| Pushed::open(&config.store, settings, guard.clone(), config.clock.moment()).map(Arc::new);
        let state = Self {
            access: Arc::new(Access::open(config.access.clone(), config.clock.clone())?),
            pushed: config.pushed.as_ref().map(open).transpose()?,
            guard,
            serving,
            nothing: Arc::default(),
            manifests: Semaphore::new(MANIFESTS_AT_ONCE),
            writers: Semaphore::new(WRITERS_AT_ONCE),
            limits: config.limits,
            store: config.store.clone(),
            site_keys: config.site_keys.clone(),
            source: config.revocations.clone(),
            retain: config.upkeep.retain,
            clusters: config.upkeep.clusters.clone(),
            names: config.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            view: ArcSwap::default(),
            revocations: ArcSwap::default(),
            observer: Arc::new(observer),
            condition: Condition::new(config.limits.headroom),
            verdicts: Verdicts::default(),
            audit: Audit::default(),
            clock: config.clock.clone(),
            building: Mutex::new(()),
        };
        state.reload()?;
        // Who asks for health need not wait for the first look.
        state.free_bytes();
        Ok(state)
    }

    /// Reads the current release, and what is revoked, again. Where that fails the old view stays.
    pub(crate) fn reload(&self) -> Result<Option<u64>, RevokedError> {
        let reloaded = self.try_reload();
        self.condition.reloaded(&reloaded);
        reloaded
    }

    fn try_reload(&self) -> Result<Option<u64>, RevokedError> {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.store.current_release(&self.site_keys)?;
        let revocations = self.read_revocations()?;
        let older = published.as_ref().map_or_else(Vec::new, |current| self.older(current.release.number));
        let view = View::build(&self.store, published.as_ref(), &older, &revocations);
        let release = view.release;
        tracing::info!(?release, problems = view.problems.len(), revoked = view.affected.len(), "serving");
        self.view.store(Arc::new(view));
        self.revocations.store(Arc::new(revocations));
        Ok(release)
    }

    /// The releases before the current one that are served still, newest first: those that the site retains, that are pinned,
    /// and that something was made from. What cannot be found out is left out: serving the current one matters more.
    fn older(&self, current: u64) -> Vec<Published> {
        let failed = |error: &dyn std::error::Error| tracing::error!(%error, "older releases are not all served");
        let standing = self.store.standing().inspect_err(|error| failed(error)).unwrap_or_default();
        let bound = self.clusters.as_deref().map_or_else(|| Ok(Bound::new()), bound);
        let bound = bound.inspect_err(|error| failed(error)).unwrap_or_default();
        let retained = usize::try_from(self.retain.unwrap_or(0)).unwrap_or(usize::MAX);
        let live = (1..current).rev().filter(|number| standing.is_live(*number)).enumerate();
        let served = live.filter(|(place, number)| {
            *place < retained || standing.pinned.contains(number) || bound.contains_key(number)
        });
        let read = |(_, number)| self.store.release(number, &self.site_keys).inspect_err(|error| failed(error)).ok();
        served.filter_map(read).collect()
    }

    /// Whether there is another current release than the one that is served, or something else is revoked or in use.
    pub(crate) fn is_stale(&self) -> bool {
        let is_another = |number| number != self.view.load().release;
        self.store.current_number().is_ok_and(is_another)
            || self.read_revocations().is_ok_and(|revocations| revocations != **self.revocations.load())
    }

    fn read_revocations(&self) -> Result<Revocations, RevokedError> {
        let Some(RevocationSource { trust, clusters }) = &self.source else { return Ok(Revocations::default()) };
        Revocations::read(trust, clusters, &self.store, &self.site_keys)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// What Prometheus is told. Asks the filesystem, so it may block.
    pub(crate) fn metrics_text(&self) -> String {
        let view = self.view();
        let blocked = view.affected.iter().filter(|affected| affected.blocked).count();
        self.observer.metrics.text(Standing {
            release: view.release.unwrap_or_default(),
            problems: view.problems.len(),
            blocked,
            alarms: view.affected.len() - blocked,
            free: self.free_bytes(),
            is_ready: self.condition.fault().is_none(),
            is_low: self.condition.is_low(),
            dropped_lines: self.observer.dropped_lines(),
            lost: self.snapshot().lost().count(),
            uploads: self.pushed.as_ref().map_or(0, |pushed| pushed.open_uploads()),
            lent: self.lent_bytes(),
        })
    }

    /// Bytes of blobs that wait in bundles.
    fn lent_bytes(&self) -> u64 {
        let lent = self.store.lent().inspect_err(|error| tracing::error!(%error, "what bundles lend is not known"));
        lent.map_or(0, |lent| lent.blobs.bytes)
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Looks at the free space, and says so once where it becomes low. Asks the filesystem, so it may block.
    pub(crate) fn free_bytes(&self) -> u64 {
        let free = self.store.free_bytes().unwrap_or_default();
        self.condition.measured(free);
        free
    }

    /// All pushed content as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.pushed.as_ref().map_or_else(|| self.nothing.clone(), |pushed| pushed.snapshot())
    }

    /// Pushed content, to be changed; none where nothing is pushed.
    pub(crate) fn pushed(&self) -> Option<&Arc<Pushed>> {
        self.pushed.as_ref()
    }

    /// What replies have promised; none where this process does not keep the store.
    pub(crate) fn keeping(&self) -> Option<&Arc<Guard>> {
        self.serving.as_ref().map(|_| &self.guard)
    }

    /// How much of logins and refusals is recorded.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What time it is.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What of pushed content was vouched for.
    pub(crate) fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Who may do what.
    pub(crate) fn access(&self) -> &Arc<Access> {
        &self.access
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Each permit is for one manifest in memory.
    pub(crate) fn manifests(&self) -> &Semaphore {
        &self.manifests
    }

    /// Each permit is for one upload whose bytes come.
    pub(crate) fn writers(&self) -> &Semaphore {
        &self.writers
    }

    /// Gives up the uploads to which nothing came for too long.
    pub(crate) fn expire_uploads(&self) {
        let Some(pushed) = &self.pushed else { return };
        match pushed.expire_uploads(self.clock.moment()) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "uploads to which nothing came were given up"),
            Err(error) => tracing::error!(%error, "uploads cannot be given up"),
        }
    }

    pub(crate) fn site_keys(&self) -> &KeySet {
        &self.site_keys
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The repository that `name` means to a client that believes to talk to the upstream registry `ns`. Nothing for an
    /// illegal name.
    pub(crate) fn repository_name(&self, name: &str, ns: Option<&str>) -> Option<String> {
        let repository = match ns {
            Some(ns) if !self.is_own(ns) => format!("{}/{name}", upstream_prefix(ns)?),
            _ => name.to_owned(),
        };
        is_repository(&repository).then_some(repository)
    }

    fn is_own(&self, ns: &str) -> bool {
        let ns = ns.to_ascii_lowercase();
        self.names.contains(&ns)
    }
}

/// Takes the right to give promises. Without it nothing may be pushed: whoever collects garbage elsewhere would not know of them.
fn begin_serving(config: &ServeConfig) -> Result<Option<Serving>, ServeError> {
    match Serving::begin(&config.store) {
        Ok(serving) => Ok(Some(serving)),
        Err(error) if config.pushed.is_some() => Err(RevokedError::from(error).into()),
        Err(error) => {
            tracing::warn!(%error, "this server neither collects garbage nor looks for rot");
            Ok(None)
        }
    }
}
