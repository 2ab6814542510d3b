//! The crate as a whole: bundles built, signed, attacked, read by others' tools, and imported.

mod attacks;
mod build;
mod crash;
mod hostile_tar;
mod imports;
mod readers;
mod support;
