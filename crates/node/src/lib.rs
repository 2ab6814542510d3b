//! Sealock node: touches one machine: steps, files, services, containerd, kubeadm, network.
//!
//! A [`Step`] is one repeatable action with a probe, an effect, a check and an undo. Steps arrive from the planner in a
//! [`RunRequest`], and `runner::run` carries them out under a journal and a fence. Everything a step does to the
//! machine goes through a `Host`, and what was there before is kept by `changes`, so that a reset can give it back.

pub mod admission;
pub mod backup;
pub mod certificates;
pub mod changes;
pub mod context;
pub mod credential;
pub mod error;
pub mod external_etcd;
pub mod facts;
pub mod fence;
pub mod gap;
pub mod host;
pub mod image_programs;
pub mod journal;
pub mod kubernetes_certificates;
pub mod local_proxy;
mod locked;
mod mounts;
pub mod os_packages;
pub mod pull;
pub mod request;
pub mod requests;
pub mod runner;
pub mod served;
pub mod source;
pub mod step;
pub mod suitable;
pub mod time;
mod wait;

pub use context::Context;
pub use error::StepError;
pub use facts::HostFacts;
pub use host::{Host, Local};
pub use locked::Locked;
pub use request::{Event, EventKind, RunRequest};
pub use step::{Class, Probe, Step, StepKind};
