//! The connections of an execution, each replaced when it was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Connection, ExecuteError};

/// One connection per host.
#[derive(Debug)]
pub(super) struct Pool(BTreeMap<String, Mutex<Arc<Connection>>>);

impl Pool {
    pub(super) fn new(connections: &[Arc<Connection>]) -> Self {
        Self(connections.iter().map(|one| (one.host().to_owned(), Mutex::new(Arc::clone(one)))).collect())
    }

    /// The newest connection to `host`.
    pub(super) fn current(&self, host: &str) -> Result<Arc<Connection>, ExecuteError> {
        let missing = || ExecuteError::InvalidPlan { problem: format!("there is no connection to host {host}") };
        let slot = self.0.get(host).ok_or_else(missing)?;
        Ok(Arc::clone(&slot.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Connects to `host` again, as long as it takes.
    pub(super) async fn renew(&self, host: &str) -> Result<(), ExecuteError> {
        let new = self.current(host)?.reopen().await?;
        self.put(host, new);
        Ok(())
    }

    /// The same, for as long as `time`.
    pub(super) async fn renew_within(&self, host: &str, time: Duration) -> Result<(), ExecuteError> {
        let new = self.current(host)?.open_anew(time).await?;
        self.put(host, new);
        Ok(())
    }

    fn put(&self, host: &str, new: Connection) {
        let new = Arc::new(new);
        if let Some(slot) = self.0.get(host) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }
}
