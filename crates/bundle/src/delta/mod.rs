//! Deltas: bundles that leave out what a site's receipt says is there already (docs/formats/manifest.md, "Deltas").
//!
//! Outside, [`Baseline`] turns lock and receipt into a manifest. Inside, [`check_base`] answers whether the site has what
//! the delta leaves out, or which blobs it wants. A delta gives nothing: what it relies on must stand in the store under
//! its own digest, brought there by a bundle of the same publisher.

mod base;
mod baseline;
mod error;
mod needs;
mod patches;
mod shelf;
mod want;

pub(crate) use base::check_stored;
pub use base::{Inside, check_base};
pub(crate) use base::{manifests_held, wanted_whole};
pub use baseline::{Baseline, Bases};
pub use error::{BaseMissing, DeltaError};
pub use patches::{Making, Patches, Step};
pub use shelf::Shelf;
pub use want::{FORMAT as WANT_FORMAT, WantError, WantList, WantedBlob};
