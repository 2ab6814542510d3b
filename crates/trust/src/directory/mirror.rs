//! Mirrors: whoever keeps a generation of the trust state elsewhere can tell an older copy from the newest one.
//!
//! A seal proves that the site wrote a state, not that it is the last one it wrote: whoever restores a snapshot restores
//! a genuine seal. What was written elsewhere since then is not restored with it.

use serde::{Deserialize, Serialize};

use super::{DirectoryError, TrustDirectory};
use crate::json::{Limits, jcs};
use crate::names::Justification;
use crate::site::SiteKeys;

const FROZEN: &str = "frozen.json";

/// A generation of the trust state that is known from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where it stands, in words.
    pub place: String,
    /// The generation.
    pub generation: u64,
}

/// A regression that a person has settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// The generation that the state had come back with.
    pub found: u64,
    /// The mirror that told.
    pub mirror: Mirror,
    /// What the person said.
    pub reason: Justification,
}

impl TrustDirectory {
    /// Whether the state is as new as `mirror` says that it was. Where it is not, imports stay frozen.
    ///
    /// # Errors
    /// [`DirectoryError::Regression`].
    pub fn compare(&self, mirror: &Mirror) -> Result<(), DirectoryError> {
        let found = self.generation()?;
        if mirror.generation <= found {
            return Ok(());
        }
        // Not sealed: whoever finds it out need not have the site's key, and to remove it is no more than to restore.
        let path = self.path().join(FROZEN);
        if self.frozen()?.is_none_or(|known| known.generation < mirror.generation) {
            let bytes = jcs::to_vec(mirror).map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
            self.replace(&path, &bytes)?;
        }
        Err(DirectoryError::Regression { found, mirror: mirror.clone() })
    }

    /// The mirror that froze imports, if one did.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn frozen(&self) -> Result<Option<Mirror>, DirectoryError> {
        let path = self.path().join(FROZEN);
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let mirror: Mirror = jcs::from_slice(&bytes, &Limits::DOCUMENT)
            .map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
        // The state was settled, and only the removal of the file was cut off.
        Ok(Some(mirror).filter(|mirror| self.generation().is_ok_and(|found| found < mirror.generation)))
    }

    /// Refuses while imports are frozen.
    ///
    /// # Errors
    /// [`DirectoryError::Regression`].
    pub fn check_not_frozen(&self) -> Result<(), DirectoryError> {
        match self.frozen()? {
            Some(mirror) => Err(DirectoryError::Regression { found: self.generation()?, mirror }),
            None => Ok(()),
        }
    }

    /// Settles a regression: the state counts on from behind the mirror, and remembers who said why.
    ///
    /// # Errors
    /// [`DirectoryError::NotFrozen`], [`DirectoryError::SealNeeded`], [`DirectoryError::Io`].
    pub fn resolve(&self, reason: &Justification, seal: &SiteKeys) -> Result<Resolution, DirectoryError> {
        let mirror = self.frozen()?.ok_or(DirectoryError::NotFrozen)?;
        let resolution = self.change(Some(seal), |state| {
            let resolution = Resolution { found: state.generation, mirror: mirror.clone(), reason: reason.clone() };
            state.generation = state.generation.max(mirror.generation);
            state.resolutions.push(resolution.clone());
            Ok::<_, DirectoryError>(resolution)
        })?;
        let path = self.path().join(FROZEN);
        std::fs::remove_file(&path).map_err(DirectoryError::io("remove", &path))?;
        Ok(resolution)
    }

    /// The regressions that were settled, oldest first.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn resolutions(&self) -> Result<Vec<Resolution>, DirectoryError> {
        Ok(self.state()?.resolutions)
    }
}
