//! What a machine needs to run an etcd member by itself. The membership is not changed here: that is spoken over the network.

mod aside;
mod certificates;
mod give_back;
mod program;
mod restored;
mod stopped;

pub use aside::SetAside;
pub use certificates::{EtcdCertificates, certificate_files};
pub use give_back::GiveBack;
pub use program::{LocalFile, LocalProgram};
pub use restored::EtcdRestored;
pub(crate) use restored::mark as restored_mark;
pub use stopped::EtcdStopped;

/// Where etcd keeps everything, below its data directory.
const MEMBER: &str = "member";
