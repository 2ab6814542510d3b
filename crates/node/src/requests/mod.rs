//! Certificates that an authority outside issues: what a host shows, what it asks for, and whether what was signed is that.
//!
//! The keys of a cluster's authorities may stay with the site's own PKI. A host then makes keys and requests (PKCS #10) with kubeadm, the
//! requests cross to the station, and the certificates come back. A request from a host that was broken into is hostile, and a certificate
//! that was signed by hand may be any: both are held against one table, [`Expected`].

mod expected;
mod request;
mod signed;
mod unfit;

pub(crate) use expected::every;
pub use expected::{Expected, Usage, expected, expected_at};
pub use request::{MOST, Request};
pub use signed::check_signed;
pub use unfit::Unfit;
