//! TLS: the site's own certificate authority, and the certificate the server shows.

mod authority;
mod client;
mod resolver;

pub use authority::{IssuedCertificate, SiteCa};
pub(crate) use client::{Authorities, ClientCertificates};
pub(crate) use resolver::Certificate;
