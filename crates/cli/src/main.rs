//! The `sealock` command.
//!
//! `args` is what a person types, `commands/<noun>/<verb>.rs` what happens then, `ui` how it is shown and `error` how it
//! goes wrong. Only this crate reads the environment, the clock and the home directory, and only it prints.

#![expect(unreachable_pub, reason = "a binary has no API")]

mod amounts;
mod args;
mod commands;
mod context;
mod environment;
mod error;
mod files;
mod hsm;
mod identity;
mod interrupt;
mod keys;
mod mirrors;
#[cfg(feature = "outside")]
mod outside;
mod paths;
mod settings;
mod station;
mod time;
mod ui;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match context::Context::new(&args.global).and_then(|context| commands::run(args.command, &context)) {
        Ok(code) => code,
        Err(error) => error::report(&error),
    }
}
