//! The cases: each breaks one thing, and looks at the answer.

pub mod access;
pub mod app;
pub mod bundle;
pub mod cluster;
pub mod gap;
pub mod import;
pub mod node;
pub mod outside;
pub mod running_site;
pub mod serve;
