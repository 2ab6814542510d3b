//! Pushed content: what comes in, what stays, and what a crash, a full disk or damage leaves of it.

mod contents;
mod crash;
mod damage;
mod full;
mod garbage;
mod model;
mod support;
mod uploads;
mod vectors;
