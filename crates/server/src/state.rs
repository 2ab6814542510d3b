//! What requests see: the view of the current release, swapped as a whole.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sealock_store::{Store, StoreError};
use sealock_trust::KeySet;

use crate::view::View;
use crate::view::name::{is_repository, upstream_prefix};

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct State {
    store: Store,
    site_keys: KeySet,
    /// The registry's own names and addresses, lower case, with and without port.
    names: Vec<String>,
    view: ArcSwap<View>,
    /// Held while a view is built, so that an older one never replaces a newer one.
    building: Mutex<()>,
}

impl State {
    /// The state at start: the current release, whose signature must hold.
    pub(crate) fn load(store: Store, site_keys: KeySet, names: &[String]) -> Result<Self, StoreError> {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let state = Self { store, site_keys, names, view: ArcSwap::default(), building: Mutex::new(()) };
        state.reload()?;
        Ok(state)
    }

    /// Reads the current release again. Where that fails the old one stays.
    pub(crate) fn reload(&self) -> Result<Option<u64>, StoreError> {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.store.current_release(&self.site_keys)?;
        let view = View::build(&self.store, published.as_ref());
        let release = view.release;
        tracing::info!(?release, problems = view.problems.len(), "serving");
        self.view.store(Arc::new(view));
        Ok(release)
    }

    /// Whether the store has another current release than the one that is served.
    pub(crate) fn is_stale(&self) -> bool {
        self.store.current_number().is_ok_and(|number| number != self.view.load().release)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
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
