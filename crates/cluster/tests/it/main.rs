//! Integration tests of the crate `cluster`: from a spec on disk to a plan.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod adopt;
mod authorities;
mod components;
mod custody;
mod etcd;
mod external;
mod fan_out;
mod fixture;
mod health;
mod large;
mod machine;
mod member;
mod needs;
mod node_upgrade;
mod os_packages;
mod plan;
mod requests;
mod rescue;
mod restore;
mod revoked;
mod rollback;
mod spec;
mod upgrade;
