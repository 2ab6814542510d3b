//! Keys and requests that a host makes, and the certificates that an authority outside has signed for them.

mod kubeconfig;
mod kubelet;
mod pair;
mod requested;
mod signed;
mod waiting;

pub use requested::CertificatesRequested;
pub(super) use requested::NEW as BEING_MADE;
pub use signed::CertificatesSigned;
pub(super) use signed::OUTSIDE;

pub(super) use kubelet::show as kubelet_shows;
pub(super) use pair::Signed;
pub(super) use waiting::FOLDER as WAITING;
pub(crate) use waiting::waiting;
