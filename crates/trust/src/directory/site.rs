//! The site root in the trust directory.

use super::{DirectoryError, TrustDirectory};
use crate::site::{SiteKeys, SiteRoot};

const SITE_ROOT: &str = "site-root.json";

impl TrustDirectory {
    /// The site root, once there is one.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] and [`DirectoryError::SiteRoot`].
    pub fn site_root(&self) -> Result<Option<SiteRoot>, DirectoryError> {
        let bytes = self.read(&self.path().join(SITE_ROOT))?;
        bytes.map(|bytes| SiteRoot::open(&bytes)).transpose().map_err(DirectoryError::SiteRoot)
    }

    /// Keeps the root of `site`: the first one, the same again, or the one that follows what is there. What was enrolled
    /// before is sealed with it.
    ///
    /// # Errors
    /// [`DirectoryError::SiteRoot`] for one that does not follow; [`DirectoryError::Seal`]; [`DirectoryError::Io`].
    pub fn keep_site_root(&self, site: &SiteKeys) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        let root = site.root();
        let present = self.site_root()?;
        if let Some(present) = present.as_ref().filter(|present| *present != root) {
            present.accept_next(root.as_bytes()).map_err(DirectoryError::SiteRoot)?;
        }
        // Cut off between the two writes, the state is sealed under the new root already.
        let keys: Vec<_> = present.iter().flat_map(|present| [present.site_keys(), root.site_keys()]).collect();
        let mut state = self.read_state(&keys)?.state;
        if state.site_root.as_ref() != Some(&root.fingerprint()) {
            state.site_root = Some(root.fingerprint());
            state.generation += 1;
            self.write_state(&state, Some(site))?;
        }
        if present.as_ref() == Some(root) {
            return Ok(());
        }
        self.replace(&self.path().join(SITE_ROOT), root.as_bytes())
    }
}
