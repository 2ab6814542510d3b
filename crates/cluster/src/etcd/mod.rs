//! etcd, spoken to over gRPC, one connection per endpoint.
//!
//! etcd's errors are ambiguous: a change whose reply was lost may have happened, may happen still, or not at all, and a retry
//! then answers with an error that looks like a refusal. So nothing is inferred from an error here. Every change is decided by
//! reading again from a voter, linearizably; only where the cluster cannot be read is the outcome called unknown.
//!
//! [`Connection`] talks to one endpoint, [`Etcd`] knows all of them and the membership, [`quorum`] judges (pure) whether a change
//! may be begun, [`machine`] is what one machine needs to run a member.

mod client;
mod connection;
mod connector;
mod downgrade;
mod endpoint;
mod error;
pub mod external;
pub mod machine;
mod member;
mod membership;
mod proto;
pub mod quorum;
pub mod restore;
pub mod snapshot;
mod upkeep;

pub use client::{Endpoints, Etcd, MemberState, Survey};
pub use connection::{Connection, Credentials, Health, KeyCount, Pair, Status};
pub use downgrade::MinorVersion;
pub use endpoint::Endpoint;
pub use error::{CallError, EtcdError, Outcome};
pub use member::{Alarm, AlarmKind, Member, MemberId, Membership};
pub use membership::{CATCH_UP, Lag};
pub use upkeep::{Defragmented, HashCheck, HashVerdict};
