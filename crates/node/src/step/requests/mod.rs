//! Keys and requests that a host makes, and the certificates that an authority outside has signed for them.

mod requested;
mod signed;

pub use requested::CertificatesRequested;
pub use signed::CertificatesSigned;
