//! Pushed content: what comes in, what stays, and what a crash, a full disk or damage leaves of it.

mod broken;
mod contents;
mod damage;
mod full;
mod garbage;
mod model;
mod rebuild;
pub(crate) mod support;
mod uploads;
mod vectors;
