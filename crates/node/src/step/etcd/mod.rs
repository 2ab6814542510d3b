//! What a machine needs to run an etcd member by itself, and what takes a lost member of control planes out and looks at it when it has come again.

mod aside;
mod certificates;
mod give_back;
mod member;
mod program;
mod restored;
mod stopped;

pub use aside::SetAside;
pub use certificates::{EtcdCertificates, certificate_files};
pub use give_back::GiveBack;
pub use member::{ApiServerBack, MemberAside, MemberRemoved, MembersAgree};
pub use program::{LocalFile, LocalProgram};
pub use restored::EtcdRestored;
pub(crate) use restored::mark as restored_mark;
pub use stopped::EtcdStopped;

/// Where etcd keeps everything, below its data directory.
const MEMBER: &str = "member";
