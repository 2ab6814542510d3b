//! What a control plane has whose etcd is elsewhere: files to show there, and a mark in it that says whose it is.

mod claim;
mod client;

pub use claim::EtcdClaim;
pub(super) use claim::MARK;
pub use client::EtcdClient;
pub(super) use client::RECORD;
