//! Sealock node: touches one machine: steps, files, services, containerd, kubeadm, network.
//!
//! A [`Step`] is one repeatable action with a probe, an effect, a check and an undo. Steps arrive from the planner in a
//! [`RunRequest`], and `runner::run` carries them out under a journal and a fence. Everything a step does to the
//! machine goes through a `Host`, and what was there before is kept by `changes`, so that a reset can give it back.

pub mod facts;
pub mod host;
pub mod request;
pub mod step;

pub use facts::HostFacts;
pub use request::{Event, EventKind, RunRequest};
pub use step::{Class, Probe, Step, StepKind};
