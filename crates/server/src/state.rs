//! What requests see: the view of the current release, swapped as a whole.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sealock_store::{Bound, Published, Store};
use sealock_trust::KeySet;

use crate::bound::bound;
use crate::config::{RevocationSource, ServeConfig};
use crate::revoked::{Revocations, RevokedError};
use crate::view::View;
use crate::view::name::{is_repository, upstream_prefix};

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
    view: ArcSwap<View>,
    /// What was revoked and in use when the view was built.
    revocations: ArcSwap<Revocations>,
    /// Held while a view is built, so that an older one never replaces a newer one.
    building: Mutex<()>,
}

impl State {
    /// The state at start: the current release, whose signature must hold, less what is revoked.
    pub(crate) fn load(config: &ServeConfig) -> Result<Self, RevokedError> {
        let state = Self {
            store: config.store.clone(),
            site_keys: config.site_keys.clone(),
            source: config.revocations.clone(),
            retain: config.upkeep.retain,
            clusters: config.upkeep.clusters.clone(),
            names: config.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            view: ArcSwap::default(),
            revocations: ArcSwap::default(),
            building: Mutex::new(()),
        };
        state.reload()?;
        Ok(state)
    }

    /// Reads the current release, and what is revoked, again. Where that fails the old view stays.
    pub(crate) fn reload(&self) -> Result<Option<u64>, RevokedError> {
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
