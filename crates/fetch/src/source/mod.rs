//! Where things come from.

pub(crate) mod apt;
pub(crate) mod helm;
pub(crate) mod layout;
pub(crate) mod oci;
pub(crate) mod referrers;
