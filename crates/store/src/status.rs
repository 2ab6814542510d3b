//! What there is to know of a store at a glance.

use jiff::Timestamp;
use rustix::fs::statvfs;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{IoContext, StoreError};
use crate::gc::{Amount, Plan};
use crate::lent::Lent;
use crate::scrub::Verified;
use crate::store::Store;

/// A store at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Everything that there is.
    pub blobs: Amount,
    /// What of it bundles lend that were taken in, until it is migrated.
    #[serde(default)]
    pub lent: Lent,
    /// What the garbage collector would take in the end.
    pub reclaimable: Amount,
    /// Why the garbage collector would delete nothing.
    pub doubts: Vec<String>,
    /// What somebody needs, and is not there as it was.
    pub missing: Vec<Digest>,
    /// What has rotted, and was taken out.
    pub quarantined: Vec<Digest>,
    /// When a blob was hashed last.
    pub last_scrub: Option<Timestamp>,
    /// The longest that a blob was not hashed; none where one never was, or there is none.
    pub oldest_verified: Option<Timestamp>,
    /// What was never hashed since it came.
    pub never_verified: Amount,
    /// Imports that are not finished, by the digest of their bundle's manifest.
    pub staging: Vec<String>,
    /// Bytes that can still be written on the store's filesystem.
    pub free: u64,
    /// Bytes of that filesystem.
    pub capacity: u64,
}

impl Store {
    /// The store at a glance; `plan` is what the garbage collector says.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn status(&self, plan: &Plan, now: Timestamp) -> Result<Status, StoreError> {
        let known = Verified::read(&self.layout, now)?;
        let (mut blobs, mut never_verified, mut oldest) = (Amount::default(), Amount::default(), None);
        self.each_blob(&mut |digest, size| {
            blobs.add(size);
            match known.at(&digest) {
                Some(at) => oldest = Some(oldest.map_or(at, |oldest: Timestamp| oldest.min(at))),
                None => never_verified.add(size),
            }
        })?;
        let filesystem = statvfs(self.path()).during("read the free space of", self.path())?;
        Ok(Status {
            blobs,
            lent: self.lent()?,
            reclaimable: plan.reclaimable(),
            doubts: plan.doubts.clone(),
            missing: plan.missing.iter().map(|missing| missing.digest.clone()).collect(),
            quarantined: self.quarantined()?,
            last_scrub: known.newest(),
            oldest_verified: oldest.filter(|_| never_verified.blobs == 0),
            never_verified,
            staging: self.stagings()?,
            free: self.free_bytes()?,
            capacity: filesystem.f_blocks.saturating_mul(filesystem.f_frsize),
        })
    }
}
