//! The project's own tasks. `cargo xtask --help` lists them.

mod lab;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The sealed lab: real machines, real parts, no way out
    Lab(lab::LabArgs),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Lab(args) => lab::command(args),
    }
}
