//! Where things come from.

pub(crate) mod oci;
