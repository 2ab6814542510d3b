//! What requests see: the view of the current release, swapped as a whole.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sealock_store::Store;
use sealock_trust::KeySet;

use crate::condition::Condition;
use crate::config::{RevocationSource, ServeConfig};
use crate::observe::{Observer, Standing};
use crate::revoked::{Revocations, RevokedError};
use crate::view::View;
use crate::view::name::{is_repository, upstream_prefix};

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct State {
    store: Store,
    site_keys: KeySet,
    source: Option<RevocationSource>,
    /// The registry's own names and addresses, lower case, with and without port.
    names: Vec<String>,
    view: ArcSwap<View>,
    /// What was revoked and in use when the view was built.
    revocations: ArcSwap<Revocations>,
    observer: Arc<Observer>,
    condition: Condition,
    /// Held while a view is built, so that an older one never replaces a newer one.
    building: Mutex<()>,
}

impl State {
    /// The state at start: the current release, whose signature must hold, less what is revoked.
    pub(crate) fn load(config: &ServeConfig, observer: Observer) -> Result<Self, RevokedError> {
        let state = Self {
            store: config.store.clone(),
            site_keys: config.site_keys.clone(),
            source: config.revocations.clone(),
            names: config.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            view: ArcSwap::default(),
            revocations: ArcSwap::default(),
            observer: Arc::new(observer),
            condition: Condition::new(config.limits.headroom),
            building: Mutex::new(()),
        };
        state.reload()?;
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
        let view = View::build(&self.store, published.as_ref(), &revocations);
        let release = view.release;
        tracing::info!(?release, problems = view.problems.len(), revoked = view.affected.len(), "serving");
        self.view.store(Arc::new(view));
        self.revocations.store(Arc::new(revocations));
        Ok(release)
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
        })
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
